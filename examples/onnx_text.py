"""Labels or tags of text with numpy and ONNX Runtime alone: python onnx_text.py MODEL.onnx (LINES.txt | -)"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(model: str, source: str) -> None:
    spec = json.loads(Path(model).with_suffix(".json").read_text("utf-8"))
    lines = (sys.stdin.read() if source == "-" else Path(source).read_text("utf-8-sig")).splitlines()
    sentences = [[match[0] for match in re.finditer(spec["words"]["pattern"], line, re.I)] for line in lines]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    outputs = session.run(None, numbers(spec["words"], sentences))
    found = dict(zip((output.name for output in session.get_outputs()), outputs, strict=True))
    for row, (line, words) in enumerate(zip(lines, sentences, strict=True)):
        if "tags" in found:
            print("".join(f"{word}\t{spec['labels'][found['tags'][row, n]]}\n" for n, word in enumerate(words)))
        elif spec["several"]:
            chances = zip(spec["labels"], found["probabilities"][row], strict=True)
            print("|".join(label for label, chance in chances if chance >= 0.5))
        else:
            label = found["label"][row]
            print(f"{spec['labels'][label]}\t{found['probabilities'][row, label]:.4f}\t{line}")


def numbers(known: dict, sentences: list[list[str]]) -> dict[str, np.ndarray]:
    """Which distinct word stands where; and of each distinct word its number, vector, case and characters."""
    word_numbers = {word: number for number, word in enumerate(known["words"], 1)}
    vector_numbers = {word: number for number, word in enumerate(known["vectors"], 1)}
    character_numbers = {character: number for number, character in enumerate(known["characters"], 2)}
    places = {word: place for place, word in enumerate(dict.fromkeys(w for s in sentences for w in s), 1)}
    forms, half = np.zeros((len(places) + 1, 3 + known["longest"]), np.int64), known["longest"] // 2
    for word, place in places.items():
        number = word_numbers.get(word.lower() if known["lowercase"] else word, 0)
        forms[place, :3] = number, vector_numbers.get(word) or vector_numbers.get(word.lower(), 0), case(word)
        short = word if len(word) <= 2 * half else word[:half] + word[-half:]
        forms[place, 3 : 3 + len(short)] = [character_numbers.get(character, 1) for character in short]
    lengths = np.array([len(words) for words in sentences])
    ids = [[places[word] for word in words] + [0] * (max(1, *lengths) - len(words)) for words in sentences]
    return {"words": np.array(ids), "forms": forms, "lengths": lengths}


def case(word: str) -> int:
    """lower 0, Title 1, UPPER 2, miXed 3, with digit 4, digits 5, no letters 6, no case 7."""
    letters, digits, lower = sum(map(str.isalpha, word)), sum(map(str.isdigit, word)), word.lower()
    if digits or letters == 0:
        return 6 if digits == 0 else 4 if letters else 5
    if lower == word.upper() or word.islower():
        return 7 if lower == word.upper() else 0
    if word.isupper():
        return 2 if letters > 1 else 1
    return 1 if word[0].isupper() and word[1:] == lower[1:] else 3


if __name__ == "__main__":
    main(*sys.argv[1:])
