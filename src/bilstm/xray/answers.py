"""What there is to explain of each task: outputs on a scale on which contributions add up, and their names.

Knows estimators and what their outputs mean; does not know gradients or gates.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import singledispatch

import numpy as np
import torch
from torch import Tensor

from bilstm.data.columns import Array
from bilstm.data.series.encoder import LOG
from bilstm.errors import BilstmError
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.estimators.classifier import BiLSTMClassifier
from bilstm.estimators.forecaster import BiLSTMForecaster
from bilstm.estimators.regressor import BiLSTMRegressor
from bilstm.estimators.tagger import BiLSTMTagger
from bilstm.estimators.transcriber import BiLSTMTranscriber
from bilstm.estimators.transcripts import Decoding
from bilstm.nn.crf.layer import CRF
from bilstm.nn.ctc.functions import align
from bilstm.xray.opened import Opened, Score
from bilstm.xray.subjects import Subject

OUTSIDE = "O"  # the tag of words that belong to nothing
LOG_ODDS = "log-odds"
MOST_NAMED = 6  # coming steps that the prediction names
EACH_STEP = (BiLSTMTagger, BiLSTMTranscriber)  # their outputs belong to steps: a longer sequence has more of them


@dataclass(frozen=True)
class Answer:
    """The outputs of one example that are explained."""

    prediction: str  # what the model says
    names: list[str]  # of the outputs, K
    units: list[str]  # of each
    score: Score  # outputs of the network and a number in 0…K−1 for each row to what is explained, (M,)
    at: list[int] = field(default_factory=list)  # the step of each output; empty where they belong to the sequence
    scale: Array | float = 1.0  # what a score is multiplied with to have it in its unit, (K,)
    shift: Array | float = 0.0  # and what is added then
    notes: list[str] = field(default_factory=list)  # what a reader has to know


@singledispatch
def answer_of(estimator: BiLSTMEstimator, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    """What the model says of an example, and at most ``most`` outputs of it to explain.

    ``outputs`` are what the network says of it, (K,), or (T, K).
    """
    raise BilstmError(f"There is no X-ray of a {type(estimator).__name__}: nobody knows what its outputs mean.")


def log_odds(scores: Tensor, chosen: Tensor) -> Tensor:
    """log p / (1 − p) of one class a row, p the softmax of scores (M, K): (M,)."""
    here = torch.zeros(scores.shape, dtype=torch.bool).scatter_(1, chosen[:, None], True)
    own = scores.gather(1, chosen[:, None]).squeeze(1)
    return own - scores.masked_fill(here, -torch.inf).logsumexp(dim=1)


# --- outputs of a whole sequence ----------------------------------------------------------------------------


@answer_of.register
def _(estimator: BiLSTMRegressor, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    names, scaler = estimator.target_names_[:most], estimator.scaler_
    values = scaler.inverse(outputs[None].numpy())[0]
    return Answer(
        prediction=", ".join(f"{name} = {value:.5g}" for name, value in zip(scaler.names, values, strict=True)),
        names=names,
        units=names,
        score=lambda out, which: out.gather(1, which[:, None]).squeeze(1),
        scale=scaler.scale[: len(names)],
        shift=scaler.mean[: len(names)],
        notes=_left_out(len(scaler.names), len(names), "targets"),
    )


@answer_of.register
def _(estimator: BiLSTMClassifier, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    chances = estimator.decode(outputs[None].numpy())[0]
    classes, temperature = [str(label) for label in estimator.classes_.tolist()], estimator.temperature_
    best, several = np.array([chances.argmax()]), estimator.several_
    likely = np.flatnonzero(chances >= 0.5) if several else best
    chosen = likely if len(likely) else best
    chosen = chosen[np.argsort(-chances[chosen], kind="stable")][:most]
    numbers = torch.from_numpy(chosen)

    def score(out: Tensor, which: Tensor) -> Tensor:
        scores, own = out / temperature, numbers[which]
        return scores.gather(1, own[:, None]).squeeze(1) if several else log_odds(scores, own)

    return Answer(
        prediction=", ".join(f"{classes[k]} ({chances[k]:.2f})" for k in likely) or "no label",
        names=[f"{'label' if several else 'class'} {classes[k]}" for k in chosen],
        units=[LOG_ODDS] * len(chosen),
        score=score,
        notes=_left_out(len(likely), len(chosen), "labels")
        + ([] if len(likely) else ["no label was found; the likeliest one is looked at"]),
    )


@answer_of.register
def _(estimator: BiLSTMForecaster, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    encoder, h, times = estimator.encoder_, estimator.horizon, subject.coming
    values = encoder.inverse(outputs.view(1, h, -1).numpy())[0, :, 0]
    chosen = np.unique(np.linspace(0, h - 1, min(most, h)).round().astype(int))
    places = torch.from_numpy(chosen * len(encoder.target_columns))
    target, is_log = encoder.target_columns[0], encoder.target_as == LOG
    named = [f"{times[j]}: {values[j]:.5g}" for j in chosen[:MOST_NAMED]] + ["…"] * (len(chosen) > MOST_NAMED)
    return Answer(
        prediction=f"{target} at {', '.join(named)}",
        names=[times[j] for j in chosen],
        units=[f"log {target}" if is_log else target] * len(chosen),
        score=lambda out, which: out.gather(1, places[which][:, None]).squeeze(1),
        scale=np.full(len(chosen), encoder.scale[0]),
        shift=np.full(len(chosen), encoder.mean[0]),
        notes=_left_out(h, len(chosen), "steps to come"),
    )


# --- outputs of a step --------------------------------------------------------------------------------------


@answer_of.register
def _(estimator: BiLSTMTagger, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    emissions, T = outputs[None], len(outputs)
    crf = getattr(opened.network, "crf", None)
    codes = outputs.argmax(dim=1) if crf is None else crf.decode(emissions)[0][0]
    tags = [str(estimator.classes_[int(code)]) for code in codes]
    common = OUTSIDE if OUTSIDE in estimator.classes_ else Counter(tags).most_common(1)[0][0]
    ranked = sorted(range(T), key=lambda t: (tags[t] == common, t))
    at = sorted(ranked[:most])
    places = torch.tensor(at)

    def score(out: Tensor, which: Tensor) -> Tensor:
        return tag_log_odds(out, places[which], codes[places[which]], crf)

    finite = score(emissions.expand(len(at), -1, -1), torch.arange(len(at))).isfinite().tolist()
    notes = _left_out(T, len(at), "words")
    if not all(finite):
        at = [step for step, known in zip(at, finite, strict=True) if known]
        places = torch.tensor(at, dtype=torch.int64)
        notes.append("tags without an alternative that the rules allow need no explanation and have none")
    return Answer(
        prediction=" ".join(f"{word}/{tag}" for word, tag in zip(subject.steps, tags, strict=True)),
        names=[f"{subject.steps[t]} → {tags[t]}" for t in at],
        units=[LOG_ODDS] * len(at),
        score=score,
        at=at,
        notes=notes,
    )


def tag_log_odds(emissions: Tensor, steps: Tensor, tags: Tensor, crf: CRF | None) -> Tensor:
    """log p / (1 − p) of one tag at one step of each row, p its share of all sequences of tags: (M,).

    .. math:: \\log Z_{y_t = k} - \\log Z_{y_t \\ne k}

    Emissions are (M, T, K), steps t and tags k (M,). Without a CRF every word is tagged alone.
    """
    rows = torch.arange(len(emissions))
    if crf is None:
        return log_odds(emissions[rows, steps], tags)
    forced = torch.ones(emissions.shape, dtype=torch.bool)
    forced[rows, steps] = False
    others = torch.ones(emissions.shape, dtype=torch.bool)
    forced[rows, steps, tags], others[rows, steps, tags] = True, False
    lengths = [emissions.shape[1]] * len(emissions)
    return crf.log_probability(emissions, lengths, forced) - crf.log_probability(emissions, lengths, others)


@answer_of.register
def _(estimator: BiLSTMTranscriber, outputs: Tensor, subject: Subject, opened: Opened, most: int) -> Answer:
    characters = estimator.characters_
    text = estimator.decoder(Decoding()).texts([outputs.numpy()])[0]
    numbers = characters.transform(text)
    alignment = align(outputs[None], torch.tensor([numbers], dtype=torch.int64), None, [len(numbers)])[0]
    assert alignment is not None  # what was read fits
    chances = outputs.softmax(dim=1)
    peaks = [
        begin + int(chances[begin:end, number].argmax())
        for begin, end, number in zip(alignment.begin, alignment.end, numbers, strict=True)
    ]
    chosen = np.unique(np.linspace(0, len(numbers) - 1, min(most, len(numbers))).round().astype(int)).tolist()
    places, own = torch.tensor([peaks[k] for k in chosen]), torch.tensor([numbers[k] for k in chosen])
    seconds = estimator.sound_.step_seconds
    return Answer(
        prediction=text,
        names=[f"'{characters.inverse([numbers[k]])}' at {peaks[k] * seconds:.2f} s" for k in chosen],
        units=[LOG_ODDS] * len(chosen),
        score=lambda out, which: log_odds(out[torch.arange(len(out)), places[which]], own[which]),
        at=[peaks[k] for k in chosen],
        notes=_left_out(len(numbers), len(chosen), "characters")
        + ([] if chosen else ["no character was recognised: there is no character to explain"]),
    )


def _left_out(count: int, shown: int, things: str) -> list[str]:
    return [f"{shown} of {count} {things} are looked at"] if shown < count else []
