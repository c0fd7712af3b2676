"""Modules that moved can still be imported by their old names, in every way that Python has, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from bilstm.moved import MOVED


@pytest.fixture
def not_yet_imported():
    """As in a process where nobody has imported an old name."""
    for old in MOVED:
        sys.modules.pop(old, None)
        parent, _, child = old.rpartition(".")
        if parent in sys.modules and child in vars(sys.modules[parent]):
            delattr(sys.modules[parent], child)


@pytest.mark.parametrize("old", MOVED)
def test_an_old_name_gives_the_new_module_itself_and_a_warning(old, not_yet_imported):
    with pytest.warns(DeprecationWarning, match=f"The module {old} is now called {MOVED[old]}.") as told:
        module = importlib.import_module(old)
    assert module is importlib.import_module(MOVED[old])
    assert module.__name__ == module.__spec__.name == MOVED[old]
    assert len(told) == 1


@pytest.mark.parametrize("old", MOVED)
@pytest.mark.parametrize("form", ["import {old} as m", "from {parent} import {child} as m", "import {old}; m = {old}"])
def test_every_form_of_import_finds_it_and_the_warning_names_the_line_of_the_caller(old, form, not_yet_imported):
    parent, _, child = old.rpartition(".")
    names = {}
    with pytest.warns(DeprecationWarning, match="is now called") as told:
        exec(compile(form.format(old=old, parent=parent, child=child), "caller.py", "exec"), names)
    assert names["m"] is sys.modules[MOVED[old]]
    assert [warning.filename for warning in told] == ["caller.py"]


def test_names_are_imported_from_it(not_yet_imported):
    with pytest.warns(DeprecationWarning, match="is now called"):
        from bilstm.data.tones import dial_tones
    from bilstm.demo import tones

    assert dial_tones is tones.dial_tones


def test_a_pickled_name_of_an_old_module_is_found(not_yet_imported):
    """Pickles of other programs, which is what the standard library's loader is for."""
    code = (
        "import importlib, bilstm.nn.lstm.equations as new\n"
        "pickle = importlib.import_module('pickle')\n"
        "text = pickle.dumps(new.Weights, protocol=0).replace(b'bilstm.nn.lstm.equations', b'bilstm.nn.equations')\n"
        "assert b'bilstm.nn.equations' in text and pickle.loads(text) is new.Weights\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_module_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'bilstm\.data\.nothing'"):
        importlib.import_module("bilstm.data.nothing")


def test_the_new_names_are_imported_without_a_warning():
    code = f"import importlib\nfor name in {list(MOVED.values())!r}: importlib.import_module(name)"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:bilstm", "-c", code], check=True, timeout=120)
