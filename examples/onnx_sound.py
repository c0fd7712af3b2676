"""The text of recordings with numpy and ONNX Runtime alone: python onnx_sound.py MODEL.onnx RECORDING.wav …"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime


def main(model: str, *sources: str) -> None:
    spec = json.loads(Path(model).with_suffix(".json").read_text("utf-8"))
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    sounds = [samples(source, spec["rate"]) for source in sources]
    lengths = np.array([len(sound) for sound in sounds])
    batch = np.zeros((len(sounds), max(spec["least_samples"], *lengths)), np.float32)
    for row, sound in zip(batch, sounds, strict=True):
        row[: len(sound)] = sound
    logs, steps = session.run(["log_probabilities", "steps"], {"samples": batch, "lengths": lengths})
    for source, log, count in zip(sources, logs, steps, strict=True):
        best = log[:count].argmax(axis=1)  # of each step
        said = [n for n, before in zip(best, [spec["blank"], *best], strict=False) if n not in (before, spec["blank"])]
        print(source, " ".join("".join(spec["characters"][n - 1] for n in said).split()), sep="\t")


def samples(source: str, rate: int) -> np.ndarray:
    """A WAV file of 16 bits as one channel in ±1."""
    with wave.open(source) as file:
        if file.getsampwidth() != 2 or file.getframerate() != rate:
            sys.exit(
                f"expected 16 bits at {rate} Hz, got {8 * file.getsampwidth()} at {file.getframerate()} ({source})"
            )
        values = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
    return (values / 2**15).mean(axis=1).astype(np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
