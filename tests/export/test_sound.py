"""The features of sound inside a graph: nearer to the exact ones than Kaldi's own, at any length, rate and stacking."""

from __future__ import annotations

import numpy as np
import pytest

from bilstm.data.sound.encoder import SoundEncoder
from bilstm.export import sound
from bilstm.export.graph import Graph
from tests.compare import assert_close
from tests.export import exact
from tests.sounds import noise, sine

ort = pytest.importorskip("onnxruntime")


def features(encoder, samples, lengths):
    """Steps and their counts, by ONNX Runtime."""
    graph = Graph("features")
    given = graph.input("samples", "float", ["B", "S"]), graph.input("lengths", "int64", ["B"])
    steps, count = sound.steps(graph, encoder, *given)
    graph.output("steps", steps, "float", ["B", "T", encoder.input_size])
    graph.output("count", count, "int64", ["B"])
    content = graph.model("features").SerializeToString()
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {"samples": samples, "lengths": lengths})


@pytest.mark.parametrize(
    "rate, mels, stack, normalise",
    [(8000, 24, 1, "running"), (16000, 40, 3, "running"), (16000, 80, 2, "utterance"), (11025, 20, 4, "utterance")],
)
def test_features_are_the_exact_ones_within_twice_kaldis_own_error(rate, mels, stack, normalise):
    encoder = SoundEncoder(rate, mels, stack, normalise)
    samples = (noise(rate) + sine(440, rate)).astype(np.float32)
    samples[rate // 2 :] *= 1e-3  # some of it is nearly silent
    encoder.fit([encoder.mel(samples), encoder.mel(noise(rate, seed=1))])
    lengths = np.array(
        [rate, encoder.window - 1, rate // 2 + 77, 0, encoder.window, encoder.window + 3 * encoder.shift]
    )
    padded = np.where(np.arange(rate) < lengths[:, None], samples, np.nan).astype(np.float32)
    found, count = features(encoder, padded, lengths)
    assert_close(count, [encoder.steps(encoder.frames_of(length)) for length in lengths])
    for row, length in enumerate(lengths):
        truth, kaldis = exact.steps(encoder, samples[:length]), encoder.transform(samples[:length])
        allowed = 2 * np.abs(kaldis - truth).max(initial=0) + 4 * np.finfo(np.float32).eps * np.abs(truth).max(
            initial=1
        )
        assert_close(found[row, : count[row]], truth, atol=allowed, what=f"{length} samples")
