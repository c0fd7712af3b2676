"""The X-ray: one example through a fitted model, its gates, and what each of its steps contributed.

Knows the order of the work; the parts know the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import nn

from bilstm.data.columns import Array
from bilstm.errors import ParameterError, warn
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.nn.crf.layer import CRF, ruled
from bilstm.training.host import isolated
from bilstm.xray.answers import EACH_STEP, Answer, answer_of
from bilstm.xray.gates import Gates, dead, half_life, saturated
from bilstm.xray.opened import Opened
from bilstm.xray.paths import NODES, Path, integrate
from bilstm.xray.result import Contribution
from bilstm.xray.showing import XRay
from bilstm.xray.subjects import Subject, subject_of

MOST_WORK = 6e11  # multiplications that forward passes may take, about: a text of 2,000 words took two minutes
GRADIENTS = 300  # that an output usually takes where networks are deep and sequences long
FEWEST_STEPS, MOST_STEPS = 100, 5000  # of a sequence that is looked at, whatever the work
FEWEST_PIECES, MOST_PIECES = 50, 2000  # of an output's way, on average


def x_ray(estimator: BiLSTMEstimator, X: Any = None, *, row: int = 0, outputs: int = 12) -> XRay:
    """Look into a fitted model while it reads one example: its gates, and what each step contributed to what it says.

    .. math:: A_i = (x_i - x'_i) \\int_0^1 \\frac{\\partial s}{\\partial x_i}(x' + a (x - x')) \\, da

    x are the network's inputs, x' a baseline, s the output that is explained: a number in the caller's units, or the
    log-odds of a class, tag or character. The amounts A add up to s(x) − s(x').

    Args:
        estimator: any of the five, fitted.
        X: data as ``predict`` takes them; None for a forecaster goes on from the end of its training series.
        row: which example of X; of a forecaster which of several series.
        outputs: how many outputs are explained, where there are many.

    Raises:
        DataError: the data do not fit the estimator, or there is nothing in the example.
        ParameterError: there is no such row, or outputs is below 1.

    The trap: an amount says what the model did with its input, not what is true of the world; and always against the
    baseline, which ``XRay.against`` names.

    Example:
        >>> from bilstm import BiLSTMRegressor, boston
        >>> model = BiLSTMRegressor(hidden_size=8, max_epochs=2).fit(boston())
        >>> ray = x_ray(model, boston(), row=3)
        >>> one = ray.contributions[0]
        >>> abs(float(one.amount.sum()) - (one.value - one.baseline)) < 0.01
        True

    Source: Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks.
    """
    check_is_fitted(estimator)
    if isinstance(outputs, bool) or not isinstance(outputs, (int, np.integer)) or outputs < 1:
        raise ParameterError(f"expected outputs of at least 1, got {outputs!r}")
    outputs, most_steps = _affordable(estimator, int(outputs))
    with isolated():
        subject = subject_of(estimator, X, row, most_steps)
        opened = Opened(estimator.network_, subject.batch)
        answer = answer_of(estimator, opened.outputs(subject.batch.values)[0], subject, opened, outputs)
        paths = _paths(estimator, subject, opened, answer) if answer.names else []
        gates = Gates(*(part.float().numpy() for part in opened.trace()))
        transitions = _transitions(estimator, opened.network)
    L, D = gates.hidden.shape[:2]
    contributions = _contributions(answer, paths)
    return XRay(
        task=estimator.task,
        title=subject.title,
        prediction=answer.prediction,
        against=subject.against,
        steps=subject.steps,
        axis=subject.axis,
        features=subject.features,
        shown=subject.shown or subject.features,
        inputs=subject.inputs,
        gates=gates,
        contributions=contributions,
        half_life=half_life(gates.forget_gate),
        saturated=saturated(gates),
        dead=dead(gates),
        layers=[f"layer {layer + 1} {way}" for layer in range(L) for way in ("forward", "backward")[:D]],
        transitions=transitions,
        notes=[*subject.notes, *answer.notes, *_gaps(contributions, paths, subject)],
        feature=subject.feature,
    )


def _paths(estimator: BiLSTMEstimator, subject: Subject, opened: Opened, answer: Answer) -> list[Path]:
    """How each output came about along the way from the baseline."""
    count = len(answer.names)
    a_piece = len(NODES) * len(subject.steps) * _weights(estimator)
    most = int(np.clip(MOST_WORK / a_piece, FEWEST_PIECES * count, MOST_PIECES * count))
    ways = opened.together if answer.at else opened.directions
    return integrate(opened, subject.baseline, answer.score, count, subject.owners, ways, most_pieces=most)


def _weights(estimator: BiLSTMEstimator) -> int:
    """Weights of the BiLSTM, each of which is multiplied once a step."""
    lstm = estimator.network_.lstm
    assert isinstance(lstm, nn.Module)
    return sum(weight.numel() for weight in lstm.parameters())


def _affordable(estimator: BiLSTMEstimator, outputs: int) -> tuple[int, int]:
    """How many outputs, and how many steps, so that an X-ray takes seconds, not minutes."""
    most = MOST_WORK / (GRADIENTS * _weights(estimator))  # steps of all outputs
    each = isinstance(estimator, EACH_STEP)
    outputs = min(outputs, max(1, int(most / FEWEST_STEPS))) if each else outputs
    return outputs, int(np.clip(most / (outputs if each else 1), FEWEST_STEPS, MOST_STEPS))


def _contributions(answer: Answer, paths: list[Path]) -> list[Contribution]:
    """Paths in the units of the outputs, split into past, future and the rest."""
    scales, shifts = (np.broadcast_to(of, len(paths)).tolist() for of in (answer.scale, answer.shift))
    contributions = []
    for k, (path, scale, shift) in enumerate(zip(paths, scales, shifts, strict=True)):
        amounts = path.amounts * scale
        at = answer.at[k] if answer.at else None
        by_step = amounts.sum(axis=2)  # (ways + 1, T)
        if at is None:
            past, future, direct = by_step
        else:
            steps, total = np.arange(by_step.shape[1]), by_step.sum(axis=0)
            past, future, direct = total * (steps < at), total * (steps > at), total * (steps == at)
        contributions.append(
            Contribution(
                output=answer.names[k],
                unit=answer.units[k],
                value=path.value * scale + shift,
                baseline=path.baseline * scale + shift,
                amount=amounts.sum(axis=0),
                past=past,
                future=future,
                direct=direct,
                at=at,
                gap=path.gap * scale,
            )
        )
    return contributions


def _transitions(estimator: BiLSTMEstimator, network: nn.Module) -> tuple[list[str], Array, Array, Array] | None:
    """The scores of a CRF, −inf where a rule forbids."""
    crf = getattr(network, "crf", None)
    if not isinstance(crf, CRF):
        return None
    classes: Any = estimator.classes_
    transitions, start, end = (scores.detach().numpy() for scores in ruled(crf))
    return [str(tag) for tag in classes.tolist()], transitions, start, end


def _gaps(contributions: list[Contribution], paths: list[Path], subject: Subject) -> list[str]:
    """Say, and warn, where the amounts do not add up as closely as they should."""
    wide = [one for one, path in zip(contributions, paths, strict=True) if abs(path.gap) > path.tolerance]
    if not wide:
        return []
    worst = max(wide, key=lambda one: abs(one.gap))
    message = (
        f"the contributions to {len(wide)} of {len(contributions)} outputs do not add up; the worst, {worst.output}, "
        f"misses {worst.gap:.3g} of {worst.value - worst.baseline:.3g}"
    )
    warn(f"{message} ({subject.title[:60]})", stacklevel=3)
    return [message]
