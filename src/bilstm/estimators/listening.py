"""Hears a recording block by block: while it comes in, or because it is too long to be heard at once.

Knows blocks, look-ahead and how scores grow into text; the arithmetic of a block is nn/speech.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from bilstm.data.columns import Array
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.text.encoder import BLANK, CharacterEncoder, plain
from bilstm.errors import ParameterError
from bilstm.networks.speech import SpeechNetwork, State


def texts_of_stream(
    network: SpeechNetwork,
    encoder: SoundEncoder,
    characters: CharacterEncoder,
    chunks: Iterable[Array],
    look_ahead: float,
    block: float,
) -> Iterator[str]:
    """The whole text so far, each time that it has grown; the best character of every step, by itself.

    Args:
        chunks: waveforms (n,) at the rate of ``encoder``, one behind the other.
        look_ahead: seconds that are heard behind a block before it is written down.
        block: seconds of a block.

    Raises:
        ParameterError: a time out of its range, or an encoder that needs the whole recording.
    """
    if not (0 < block < math.inf and 0 <= look_ahead < math.inf):
        raise ParameterError(
            f"expected a block above 0 seconds and a look-ahead of at least 0, got {block} and {look_ahead}"
        )
    ahead = encoder.whole_steps(look_ahead)
    numbers, last, told = [], BLANK, ""
    for scores in in_blocks(network, _encoded(encoder, chunks), max(1, encoder.whole_steps(block)), ahead):
        for number in scores.argmax(axis=1).tolist():
            if number not in (BLANK, last):
                numbers.append(number)
            last = number
        text = plain(characters.inverse(numbers))
        if text != told:
            told = text
            yield text


def in_blocks(network: SpeechNetwork, steps: Iterable[Array], count: int, ahead: int) -> Iterator[Array]:
    """Scores (n, K) of steps (m, F) that come in parts of any size: ``count`` at a time with ``ahead`` of look-ahead.

    What is left at the end is one block, all of which is seen.
    """
    device = next(network.parameters()).device
    waiting: Array | None = None
    states: list[State] | None = None
    network.eval()

    def heard(values: Array, count: int) -> Array:
        nonlocal states
        with torch.inference_mode():
            scores, states = network.block(torch.from_numpy(values)[None].to(device), count, states)
        result: Array = scores[0].cpu().numpy()
        return result

    for part in steps:
        waiting = part if waiting is None else np.concatenate([waiting, part])
        while len(waiting) >= count + ahead:
            yield heard(waiting[: count + ahead], count)
            waiting = waiting[count:]
    if waiting is not None and len(waiting):
        yield heard(waiting, len(waiting))


def _encoded(encoder: SoundEncoder, chunks: Iterable[Array]) -> Iterator[Array]:
    """Waveforms as the network's steps, as soon as they are whole."""
    stream = encoder.stream()
    for chunk in chunks:
        yield stream.push(chunk)
    yield stream.end()
