"""What the network says of recordings: whole ones, and block by block those that come in or are too long.

Knows blocks, look-ahead and how scores grow into text; the arithmetic of a block is networks/speech.py's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from bilstm.data.columns import Array
from bilstm.data.sound.encoder import SoundEncoder
from bilstm.data.sound.recordings import Recordings
from bilstm.data.sound.utterances import SAME, SoundCache, Utterances, key_of
from bilstm.data.text.encoder import BLANK, CharacterEncoder, plain
from bilstm.errors import ParameterError
from bilstm.estimators.recording_checks import Finding, extract_features
from bilstm.networks.speech import SpeechNetwork, State
from bilstm.training.host import inference
from bilstm.training.loop import predict

TOGETHER = 32  # recordings that are read before the network hears them
LONG = 60.0  # seconds above which a recording is heard in blocks, so that memory does not grow with it
STREAM_BLOCK = 0.25  # seconds of a stream that are written down together
BLOCK, BLOCK_AHEAD = 20.0, 10.0  # seconds of such a block, and of what it sees behind itself


def scores_of(
    network: SpeechNetwork, encoder: SoundEncoder, recordings: Recordings, look_ahead: float | None = None
) -> tuple[list[Array | None], list[Finding]]:
    """Scores (T_i, K) of each recording, None of those that cannot be heard; and what is wrong with which.

    With a ``look_ahead``, so many seconds are heard behind each block, as in a stream; without, the whole recording.
    """
    scores: list[Array | None] = []
    findings: list[Finding] = []
    for first in range(0, len(recordings), TOGETHER):
        part = recordings.take(np.arange(first, min(first + TOGETHER, len(recordings))))
        with SoundCache() as features:
            findings += [f._replace(row=f.row + first) for f in extract_features(part, encoder, features)]
            scores += _scores_of_part(network, encoder, part, features, look_ahead)
    return scores, findings


def _scores_of_part(
    network: SpeechNetwork, encoder: SoundEncoder, part: Recordings, features: SoundCache, look_ahead: float | None
) -> list[Array | None]:
    keys = [key_of(sound) for sound in part.sounds]
    mels = {key: features.get((key, SAME)) for key in dict.fromkeys(keys) if features.has((key, SAME))}
    seconds = {key: encoder.steps(len(mel)) * encoder.step_seconds for key, mel in mels.items()}
    whole = [key for key in mels if (look_ahead is None and seconds[key] <= LONG) or seconds[key] <= 0]
    block, behind = (BLOCK, BLOCK_AHEAD) if look_ahead is None else (STREAM_BLOCK, look_ahead)
    count, ahead = max(1, encoder.whole_steps(block)), encoder.whole_steps(behind)
    by_key = {
        key: np.concatenate(list(in_blocks(network, [encoder.encoded(mel)], count, ahead)))
        for key, mel in mels.items()
        if key not in set(whole)
    }
    if whole:
        utterances = Utterances(whole, features, encoder)
        outputs = predict(network, utterances, next(network.parameters()).device).numpy()  # (S, K)
        by_key |= dict(zip(whole, np.split(outputs, np.cumsum(utterances.lengths.numpy())[:-1]), strict=True))
    return [by_key.get(key) for key in keys]


def texts_of_stream(
    network: SpeechNetwork,
    encoder: SoundEncoder,
    characters: CharacterEncoder,
    chunks: Iterable[Array],
    look_ahead: float,  # seconds that are heard behind a block before it is written down
    block: float,  # seconds
) -> Iterator[str]:
    """The whole text of waveforms (n,) so far, each time that it has grown: the best character of every step.

    An encoder that needs the whole recording is a ParameterError.
    """
    if not (0 < block < math.inf and 0 <= look_ahead < math.inf):
        got = f"got {block} and {look_ahead}"
        raise ParameterError(f"expected a block above 0 seconds and a look-ahead of at least 0, {got}")
    ahead = encoder.whole_steps(look_ahead)
    numbers, last, said = [], BLANK, ""
    for scores in in_blocks(network, _encoded(encoder, chunks), max(1, encoder.whole_steps(block)), ahead):
        for number in scores.argmax(axis=1).tolist():
            if number not in (BLANK, last):
                numbers.append(number)
            last = number
        text = plain(characters.inverse(numbers))
        if text != said:
            said = text
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
        with inference():
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
