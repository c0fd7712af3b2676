"""Transcribers in model files: what a header says of sound and characters is believed only where it makes sense."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bilstm
from bilstm.errors import ModelFileError
from tests.model_files import exchange, hostile, put, try_to_load, with_header
from tests.speech import heard, tiny, untrained


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file's path."""
    path = tmp_path_factory.mktemp("model") / "speech.bilstm"
    untrained().save(path)
    return path


def test_where_it_was_trained_and_what_it_left_out_stay_there(tmp_path, saved):
    """A file knows no paths of its training, and a loaded model no recordings."""
    loaded = bilstm.load(saved)
    assert not hasattr(loaded, "left_out_")
    model = tiny(verbose=0, checkpoint=tmp_path / "c").fit(*heard())
    model.save(tmp_path / "m.bilstm")
    assert str(tmp_path).encode() not in (tmp_path / "m.bilstm").read_bytes()


BAD = {
    "no encoders": put(encoders={}),
    "no characters": lambda h: h["encoders"].pop("characters"),
    "a character less": lambda h: h["encoders"]["characters"]["characters"].pop(),
    "a character twice": lambda h: h["encoders"]["characters"]["characters"].__setitem__(0, "o"),
    "a word among the characters": lambda h: h["encoders"]["characters"]["characters"].__setitem__(0, "one"),
    "characters that are a number": lambda h: h["encoders"]["characters"].update(characters=3),
    "a rate that is none": lambda h: h["encoders"]["sound"].update(rate=1),
    "a rate of text": lambda h: h["encoders"]["sound"].update(rate="fast"),
    "other mels": lambda h: h["encoders"]["sound"].update(mels=9),
    "other stacks": lambda h: h["encoders"]["sound"].update(stack=2),
    "a stack beyond all memory": lambda h: h["encoders"]["sound"].update(stack=10**12),
    "a mean too many": lambda h: h["encoders"]["sound"]["mean"].append(0.0),
    "a scale of zero": lambda h: h["encoders"]["sound"]["scale"].__setitem__(0, 0.0),
    "a mean without end": lambda h: h["encoders"]["sound"]["mean"].__setitem__(0, float("inf")),
    "another way to normalise": lambda h: h["encoders"]["sound"].update(normalise="upside down"),
    "something more": lambda h: h["encoders"]["sound"].update(command="rm"),
    "another hidden size": lambda h: h["parameters"].update(hidden_size=7),
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_of_a_transcriber_that_is_wrong_is_refused(saved, tmp_path, name):
    path = tmp_path / "bad.bilstm"
    path.write_bytes(with_header(saved, BAD[name]))
    with pytest.raises(ModelFileError, match=r"damaged|expected .*bad\.bilstm"):
        bilstm.load(path)


@hostile(100)
@given(st.data())
def test_a_header_with_any_value_exchanged_loads_or_is_refused(saved, tmp_path, data):
    def change(header):
        exchange(header["encoders"] if data.draw(st.booleans()) else header, data)

    try_to_load(tmp_path / "exchanged.bilstm", with_header(saved, change))
