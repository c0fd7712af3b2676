"""Entities of tagged sentences: their places in the text, their exact probabilities. Knows tags and their scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from bilstm.data.batch import Sequences
from bilstm.data.columns import Array
from bilstm.data.dataset import WORD, Dataset
from bilstm.data.text.reader import joined_spans
from bilstm.data.text.tags import entities
from bilstm.nn.crf.layer import CRF
from bilstm.nn.lstm.equations import valid_steps
from bilstm.training.host import inference
from bilstm.training.loop import PREDICTION_BATCH


class Entity(NamedTuple):
    """One entity of a sentence."""

    text: str  # as it stands in the sentence's text; of a list of words, the words with one blank between them
    type: str
    start: int  # its first character, and the one past its last
    end: int
    first: int  # its first word, and the one past its last
    last: int
    probability: float  # of exactly these words being exactly this entity


class _Place(NamedTuple):
    row: int
    type: str
    first: int
    last: int


def found_entities(
    dataset: Dataset, outputs: Array, codes: Array, classes: list[str], crf: CRF | None
) -> list[list[Entity]]:
    """The entities of each sentence, by the scores (S, K) of its words and the ``codes`` (S,) of their best tags."""
    places = [
        _Place(row, *place)
        for row, (a, t) in enumerate(zip(dataset.starts, dataset.lengths, strict=True))
        for place in entities([classes[code] for code in codes[a : a + t]])
    ]
    with inference():
        chances = _probabilities(places, Sequences(outputs, dataset.lengths), codes, classes, crf)
    result: list[list[Entity]] = [[] for _ in range(len(dataset))]
    words = dataset.steps[WORD].to_list()
    for place, chance in zip(places, chances, strict=True):
        start = int(dataset.starts[place.row])
        if dataset.texts is not None and dataset.spans is not None:
            text, spans = dataset.texts[place.row], dataset.spans[start : start + int(dataset.lengths[place.row])]
        else:
            mine = words[start : start + int(dataset.lengths[place.row])]
            text, spans = " ".join(mine), joined_spans(mine)
        a, b = int(spans[place.first][0]), int(spans[place.last - 1][1])
        result[place.row].append(Entity(text[a:b], place.type, a, b, place.first, place.last, chance))
    return result


def _probabilities(
    places: list[_Place], scores: Sequences, codes: Array, classes: list[str], crf: CRF | None
) -> list[float]:
    """Of each entity: the share of all sequences of tags that hold exactly it."""
    follows = [_goes_on(name, classes) for name in classes]
    tags = torch.from_numpy(codes)
    order = sorted(range(len(places)), key=lambda k: -int(scores.lengths[places[k].row]))
    chances = [0.0] * len(places)
    for chosen in (order[k : k + PREDICTION_BATCH] for k in range(0, len(order), PREDICTION_BATCH)):
        rows = torch.tensor([places[k].row for k in chosen])
        emissions = scores.padded(scores.matrix, rows)  # (M, T, K)
        permitted = torch.ones(emissions.shape, dtype=torch.bool)
        for m, k in enumerate(chosen):
            row, _, first, last = places[k]
            inside = tags[int(scores.starts[row]) + first : int(scores.starts[row]) + last]
            permitted[m, first:last] = False
            permitted[m, torch.arange(first, last), inside] = True
            if last < int(scores.lengths[row]):
                permitted[m, last, follows[inside[-1]]] = False
        logs = _restricted(emissions, scores.lengths[rows], permitted, crf)
        for k, chance in zip(chosen, logs.exp().tolist(), strict=True):
            chances[k] = chance
    return chances


def _restricted(emissions: Tensor, lengths: Tensor, permitted: Tensor, crf: CRF | None) -> Tensor:
    """The logarithm of the probability that every tag is permitted, (M,)."""
    if crf is not None:
        return crf.log_probability(emissions, lengths, permitted)
    inside = valid_steps(lengths, emissions)  # (M, T)
    return (emissions.softmax(dim=2) * permitted).sum(dim=2).log().masked_fill(~inside, 0.0).sum(dim=1)


def _goes_on(last: str, classes: list[str]) -> Tensor:
    """Which tags, (K,), would lengthen an entity whose last word has the tag ``last``."""
    return torch.tensor([len(entities([last, name])) == 1 and entities([last, name])[0][2] == 2 for name in classes])
