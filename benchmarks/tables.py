"""The stored results as the tables of docs/measured.md, which pages.py writes. Knows benchmarks/results."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

SETTINGS = (
    "The settings, for few sequences: `BiLSTMClassifier(pooling='max', input_noise=0.6, label_smoothing=0.1, "
    "validation_fraction=0, max_epochs=80)`."
)
BUSY = 0.1  # processor cores that others take
LAYERS = ("layer", "layer_avx512", "layer_amx")  # the same on one sort of processor after the other
RESULTS = Path(__file__).resolve().parent / "results"


def stored(name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return result


def made_on(result: dict[str, Any]) -> str:
    facts = result["circumstances"]
    return (
        f"{facts['cores']} cores ({facts['processor']}, {facts['vector_instructions']}), "
        f"torch {facts['versions']['torch']}, {facts['date']}"
    )


def accuracy() -> str:
    result = stored("accuracy")
    lines = [
        "Boston housing, test RMSE in 1,000 $ over 20 random 90/10 splits (seeds 0 to 19); scalers and early",
        "stopping see the training rows only. Published on such splits: MC-dropout 2.97, PBP 3.01, ensembles 3.28.",
        "",
        "| model | RMSE, mean ± deviation | seconds a fit, one core |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {_code(row['model'])} | {row['rmse']:.2f} ± {row['deviation']:.2f} | {row['seconds']:.1f} |"
        for row in result["boston"]
    ]
    lines += [
        "",
        "Japanese Vowels (270 utterances, 9 speakers), accuracy in 10-fold cross-validation by scikit-learn's",
        "`cross_val_score`, seeds 0, 1, 2 (one utterance is 0.004):",
        "",
        "| model | folds in file order | folds shuffled |",
        "| --- | --- | --- |",
    ]
    lines += [
        f"| {_code(row['model'])} | {_figures(row['in file order'])} | {_figures(row['shuffled'])} |"
        for row in result["japanese_vowels"]
    ]
    lines += ["", SETTINGS, "", f"Made by `benchmarks/accuracy.py` on {made_on(result)}{provisional(result)}."]
    return "\n".join(lines)


def speed() -> str:
    result, training = stored("layer"), stored("training")
    threads, epochs = result["circumstances"]["threads"], training["milliseconds_an_epoch"]
    lines = [
        f"The layer in float32, milliseconds (threads: {threads}). Lengths differ as those of sentences do",
        f"({result['lengths']}); *packed* is",
        "`nn.LSTM` on a packed sequence, PyTorch's own way. Padded `nn.LSTM` reads the padding: another answer.",
        "",
        *comparison(result, "unequal", "packed", {"training": ["torch packed"], "inference": ["torch packed"]}),
        "",
        "All lengths equal; in inference *peer* is the fastest of torch, ONNX Runtime and OpenVINO, in training torch:",
        "",
        *comparison(
            result, "all equal", "peer", {"training": ["torch"], "inference": ["torch", "onnxruntime", "openvino"]}
        ),
        "",
        f"A whole epoch of the classic Boston job: {epoch(epochs['boston'])}.",
        f"Of a tagger over {training['sentences']:,} sentences: {epoch(epochs['sentences'])}.",
        "",
        f"Made by `benchmarks/layer.py` and `training.py` on {made_on(result)}{provisional(result, training)}.",
        "",
        "In bfloat16, inference, how many times as fast as `nn.LSTM` in bfloat16, from the least to the most of all",
        "shapes (lengths differ: packed). Ours multiplies bfloat16 in AMX alone, elsewhere it multiplies float32:",
        "",
        "| machine | lengths differ | all lengths equal |",
        "| --- | --- | --- |",
        *map(_in_bfloat16, LAYERS),
    ]
    return "\n".join(lines)


def _in_bfloat16(name: str) -> str:
    result = stored(name)
    cells = [" to ".join(ratios(result, lengths, "inference", "bf16")) for lengths in ("unequal", "all equal")]
    return f"| {made_on(result)} | {' | '.join(cells)} |"


def others() -> str:
    """The taggers that others wrote, before and after `accelerate`."""
    result = stored("surgery")
    lines = [
        "Taggers that others wrote, before and after `accelerate`, milliseconds for 640 sentences; their predictions,",
        "losses and gradients are compared first:",
        "",
        "| model | inference: theirs | accelerated | ratio | training: theirs | accelerated | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, row in result["models"].items():
        cells = [f"{name.capitalize()} {result['circumstances']['versions'][name]}"]
        for task in ("inference", "training"):
            cells += _ratio(row[task]["theirs"], row[task]["accelerated"])
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", f"Made by `benchmarks/surgery.py` on {made_on(result)}{provisional(result)}."]
    return "\n".join(lines)


LANGUAGE = {  # task: words for the table, figure, published for BiLSTMs on the test halves
    "ewt": ("UD English EWT, parts of speech, dev", "accuracy", "about 95.4 from raw text (Stanza)"),
    "wnut": ("WNUT-17, emerging entities, dev", "entity f1", "0.40 to 0.42"),
    "trec": ("TREC-6, 10-fold cross-validation", "accuracy", "0.930"),
    "sst": ("SST-2, sentences, dev", "accuracy", "0.875 with phrases and 300-d vectors"),
    "phrases": ("SST-2, with phrases, dev", "accuracy", "0.875 with 300-d vectors"),
}


def language() -> str:
    """How good the models of language are, and what a tagger costs beside plain PyTorch."""
    result, cost = stored("accuracy_language"), stored("tagging")
    lines = [
        "Text and tagging with 50-d GloVe vectors and the defaults (but WNUT: 256 units, 0.6 of a word's numbers",
        "dropped; TREC: 100 units, 20 epochs, rate 0.002, label smoothing 0.1; phrases: 4 epochs), trained on the",
        "whole training part to the last epoch; no dev set stops or calibrates. Seconds and words a second are those",
        f"of {result['circumstances']['threads']} thread(s):",
        "",
        "| task | figure | mean ± deviation | seeds | seconds a fit | words a second | published, on test halves |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, (name, figure, published) in LANGUAGE.items():
        if task in result:
            row = result[task]
            spread = f" ± {row['deviation']:.4f}" if len(row["each"]) > 1 else ""
            lines.append(
                f"| {name} | {figure} | {row['mean']:.4f}{spread} | {len(row['each'])} | "
                f"{row['seconds']:.0f} | {row['words_a_second']:,} | {published} |"
            )
    training, prediction = cost["training"], cost["prediction"]
    lines += [
        "",
        f"A tagger's epoch over {training['tokens']:,} words takes {training['ours']:.2f} s, in plain PyTorch with",
        f"pytorch-crf {training['plain']:.2f} s ({training['plain'] / training['ours']:.1f} times as long); to tag"
        f" {prediction['sentences']:,} sentences takes {prediction['ours']:.2f} s and {prediction['plain']:.2f} s "
        f"({prediction['plain'] / prediction['ours']:.1f}).",
        "",
        f"Made by `benchmarks/accuracy_language.py` on {made_on(result)}{provisional(result)}; the tagger's times by "
        f"`tagging.py` on {made_on(cost)}{provisional(cost)}.",
    ]
    return "\n".join(lines)


LSTMA = {  # mean squared errors of the Informer paper (Zhou et al. 2021), by horizon
    "multivariate": {"24": 0.650, "48": 0.702, "168": 1.212, "336": 1.424, "720": 1.960},
    "univariate": {"24": 0.114, "48": 0.193, "168": 0.236, "336": 0.590, "720": 0.683},
}
RULES = ("last value", "drift", "seasonal naive", "linear model")


def forecasts() -> str:
    """How good the forecaster is beside simple rules, published figures and neuralforecast."""
    result = stored("forecasting")
    lines = [
        "Forecasts with the defaults. ETTh1 by the Informer paper's protocol (mean squared error of z-scored columns",
        "over all test windows), all seven columns from all seven and OT from OT alone; the linear model has the same",
        "window:",
        "",
        "| columns | hours ahead | window | ours | linear model | last value | LSTMa, published "
        "| 80 % / 95 % interval held | BiLSTM's share | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, published in LSTMA.items():
        for horizon, theirs in published.items():
            row = result[task][horizon]
            errors = " | ".join(f"{row[name]:.4f}" for name in ("mse", "linear model mse", "last value mse"))
            columns = "seven" if task == "multivariate" else "OT"
            lines.append(
                f"| {columns} | {horizon} | {row['history']} | {errors} | {theirs:.3f} | "
                f"{row['coverage_80']:.1%} / {row['coverage_95']:.1%} | {row['share']:.2f} | {row['seconds']:.0f} |"
            )
    lines += [
        "",
        "S&P 500, walked forward over the last four years, fitted anew before each; MASE beside each rule's, and the",
        "share of right directions with its 95 % interval:",
        "",
        f"| days ahead | ours | {' | '.join(RULES)} | direction | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for horizon, row in result["stocks"].items():
        errors = " | ".join(f"{row[name]:.3f}" for name in ("mase", *(f"{rule} mase" for rule in RULES)))
        direction = f"{row['direction']:.1%} ({row['direction_low']:.1%} to {row['direction_high']:.1%})"
        lines.append(f"| {horizon} | {errors} | {direction} | {row['verdict']} |")
    lines += _race(result.get("neuralforecast"))
    made = result["multivariate made"]
    lines += [
        "",
        f"Made by `benchmarks/forecasting.py` on {made_on(result)}. The seconds of ETTh1",
        f"are those of {made['threads']} thread(s) beside other work (others kept {made['busy_cores']:g} cores busy).",
    ]
    return "\n".join(lines)


def speech() -> str:
    """How well the transcriber understands, what a look-ahead costs, and how long a step takes beside plain PyTorch."""
    an4, cost = stored("speech_an4"), stored("transcription")
    run = next(iter(an4["seeds"].values()))
    learned, unheard = run["recordings"], run["held_out"]
    minutes, share = run["training_seconds"] / 60, run["real_time_factor"]
    lines = [
        f"AN4, spelled names, numbers and dates: trained with the defaults on {learned} recordings to the last epoch,",
        f"measured on the {unheard} of speakers that it never heard. Published, on AN4's test half, by a far larger",
        "network: WER .096, CER .0515 (deepspeech.pytorch).",
        "",
        "| read by | WER | CER |",
        "| --- | --- | --- |",
    ]
    for way, name in (("greedy", "best characters"), ("beam", "beam search"), ("lm", "with the unigrams of AN4")):
        lines.append(f"| {name} | {mean_of(an4, way, 'wer')} | {mean_of(an4, way, 'cer')} |")
    streamed = [f"{row['wer']:.3f}" for row in run["look_ahead"].values()]
    lines += [
        "",
        f"Training took {minutes:.1f} minutes; to transcribe takes {share:.4f} of",
        "the time that the sound lasts. The same model as a stream in blocks of 0.25 s, best characters:",
        "",
        f"| look-ahead, s | {' | '.join(run['look_ahead'])} | whole |",
        f"| --- |{' --- |' * (len(streamed) + 1)}",
        f"| WER | {' | '.join(streamed)} | {run['greedy']['wer']:.3f} |",
    ]
    lines += _digits()
    lines += [
        "",
        "A training step of the acoustic model, 3 layers of 320, beside the same with a packed `nn.LSTM` and torch's",
        "CTC loss; batches of neighbours in length, as training has them, or at random:",
        "",
        "| recordings | batches | ours, s | plain PyTorch, s | times as long |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in cost["rows"]:
        lines.append(
            f"| {row['batch']} | {row['order']} | {row['ours']:.3f} | {row['plain']:.3f} | {row['ratio']:.1f} |"
        )
    lines += [
        "",
        f"Made by `benchmarks/accuracy_speech.py` on {made_on(an4)}; the steps by `transcription.py` on",
        f"{made_on(cost)}{provisional(cost)}.",
    ]
    return "\n".join(lines)


def _digits() -> list[str]:
    """Spoken digits, on held-out recordings and on each speaker; nothing before both were measured."""
    if not all((RESULTS / f"{name}.json").exists() for name in ("speech_fsdd", "speech_fsdd_speakers")):
        return []
    digits = stored("speech_fsdd")
    lines = [
        "",
        "Spoken digits (2 layers of 128, 40 epochs, 0.3 of the units dropped, rate 0.002), share of words that are",
        "right; published for a random split: .973.",
        "",
        "| held out | best characters | beam search | only digits allowed |",
        "| --- | --- | --- | --- |",
        f"| every fifth recording index, {len(digits['seeds'])} seeds | {mean_of(digits, 'greedy', 'exact')} | "
        f"{mean_of(digits, 'beam', 'exact')} | {mean_of(digits, 'lm', 'exact')} |",
    ]
    for name, ways in next(iter(stored("speech_fsdd_speakers")["seeds"].values())).items():
        shares = " | ".join(f"{ways[way]['exact']:.4f}" for way in ("greedy", "beam", "lm"))
        lines.append(f"| the speaker {name} | {shares} |")
    return lines


def mean_of(result: dict[str, Any], way: str, figure: str) -> str:
    """The mean over seeds, with the deviation where there are several."""
    values = [run[way][figure] for run in result["seeds"].values()]
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def _race(race: dict[str, Any] | None) -> list[str]:
    """neuralforecast beside ours, if both have run."""
    if race is None:
        return []
    theirs, last = race["theirs"], race["ours"][-1]
    reached = last["mse"] <= theirs["mse"]
    return [
        "",
        f"neuralforecast {race['versions']['neuralforecast']}'s LSTM as it comes, OT 24 hours ahead from the same",
        f"window: {theirs['seconds']:.1f} s to an error of {theirs['mse']:.4f}; ours",
        f"{'reaches' if reached else 'ends with'} {last['mse']:.4f} after {last['seconds']:.1f} s",
        f"({theirs['seconds'] / last['seconds']:.1f} times as fast; the linear model alone "
        f"{race['linear model mse']:.4f}).",
    ]


def ratios(result: dict[str, Any], lengths: str, task: str, precision: str = "fp32") -> tuple[str, str]:
    """How many times as fast as torch, packed where lengths differ: the least and the most of all shapes."""
    peer = "torch packed" if lengths == "unequal" else "torch"
    kind = (lengths, task, precision)
    times = [row["ms"] for row in result["rows"] if (row["lengths"], row["task"], row["precision"]) == kind]
    found = [each[peer] / each["bilstm"] for each in times]
    return f"{min(found):.1f}", f"{max(found):.1f}"


def comparison(result: dict[str, Any], lengths: str, peer: str, peers: dict[str, list[str]]) -> list[str]:
    """A table with one line a shape: both tasks, the fastest of the peers, ours, and the ratio."""
    lines = [
        f"| B, T, F, H, layers | training: {peer} | ours | ratio | inference: {peer} | ours | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [row for row in result["rows"] if (row["lengths"], row["precision"]) == (lengths, "fp32")]
    for name in dict.fromkeys(row["shape"] for row in rows):
        found = {row["task"]: row for row in rows if row["shape"] == name}
        cells = [", ".join(str(size) for size in found["training"]["dimensions"])]
        for task, names in peers.items():
            times = found[task]["ms"]
            cells += _ratio(min(times[name] for name in names if name in times), times["bilstm"])
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _ratio(theirs: float, ours: float) -> list[str]:
    return [_milliseconds(theirs), _milliseconds(ours), f"{theirs / ours:.1f}"]


def epoch(times: dict[str, float]) -> str:
    theirs, ours, ratio = _ratio(times["plain"], times["ours"])
    return f"{theirs} ms in plain PyTorch, {ours} ms here, {ratio} times as fast"


def _milliseconds(value: float) -> str:
    """Three digits, never as a power of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def provisional(*results: dict[str, Any]) -> str:
    """Said of results that were made while others were at work, or may have been."""
    if any("busy_cores" not in result for result in results):
        return " (provisional: whether others were at work was not recorded)"
    busy = max(result["busy_cores"] for result in results)
    return f" (provisional: others kept {busy} cores busy)" if busy > BUSY else ""


def _figures(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def _code(model: str) -> str:
    return f"`{model}`" if "(" in model else model
