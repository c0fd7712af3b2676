"""What the command line tells before it works: help with an example for every command, and what a shell completes."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys

import pytest

from bilstm.cli import app
from bilstm.cli.options import NOT_OPTIONS, TASKS, estimator_class
from bilstm.estimators.signatures import declaration, described

COMMANDS = [
    *([command.name or command.callback.__name__] for command in app.registered_commands),
    *([command] for command in ("fit", "tune")),
    *([command, task] for command in ("fit", "tune") for task in TASKS),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_help_of_every_command_has_an_example_of_options_that_it_knows(run, command):
    status, out, _ = run(*command, "--help")
    examples = re.findall(r"^ *Example: (.*(?:\n  +\S.*)*)", out, flags=re.MULTILINE)
    assert status == 0
    assert examples
    for example in examples:
        words = shlex.split(example)
        assert [word for word in words if word in ("bilstm", *command)][: 1 + len(command)] == ["bilstm", *command]
        options = [word for word in words if re.match("--?[a-z]", word)]
        known = run(*words[words.index("bilstm") + 1 :][:2], "--help")[1] if command in (["fit"], ["tune"]) else out
        assert [option for option in options if option not in re.findall(r"--?[a-z-]+", known)] == []


def test_the_command_alone_shows_its_help(run):
    status, out, err = run()
    assert status == 2  # as a call that says nothing is wrong
    assert "Example: bilstm fit" in out + err


def test_a_mistyped_option_is_told_before_anything_is_imported(run):
    status, _, err = run("fit", "regressor", "houses.csv", "--hidden-sise", "3")
    assert status == 2
    assert "--hidden-size" in err


@pytest.mark.parametrize("task", TASKS)
def test_every_constructor_parameter_is_an_option_with_its_default_and_meaning(run, task):
    _, out, _ = run("fit", task, "--help")
    said, meanings = "".join(out.split()), described(estimator_class(task))  # lines are broken at hyphens, too
    for name, parameter in inspect.signature(estimator_class(task)).parameters.items():
        if name in NOT_OPTIONS:
            continue
        option, default = name.replace("_", "-"), parameter.default
        shown = "(none)" if default is None else str(default).replace(" ", "")
        if parameter.annotation == "bool":
            shown = option if default else f"no-{option}"
        meaning = re.escape("".join(meanings[name].split()))
        assert re.search(rf"--{option}.{{0,40}}{meaning}\[default:{re.escape(shown)}\]", said), name


@pytest.mark.parametrize("task", TASKS)
def test_what_the_source_text_says_of_a_constructor_is_what_python_says(task):
    made, kind = declaration(*TASKS[task]), estimator_class(task)
    assert made.parameters == list(inspect.signature(kind).parameters.values())
    assert set(made.texts) >= {parameter.name for parameter in made.parameters} - set(NOT_OPTIONS)
    assert {name: getattr(kind, name) for name in made.attributes} == made.attributes
    assert made.attributes["task"] == task


def completed(line, shell="bash"):
    """What a shell offers behind a line, without torch having been imported; asked as the installed scripts ask."""
    words = f"bilstm {line}"
    code = (
        "import sys; sys.argv = ['bilstm']\nfrom bilstm.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    asked = {"_BILSTM_COMPLETE": f"complete_{shell}"}
    if shell == "bash":
        asked |= {"COMP_WORDS": words, "COMP_CWORD": str(len(f"{words}|".split()) - 1)}
    else:
        asked |= {"_TYPER_COMPLETE_ARGS": words}
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, env={**os.environ, **asked}, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.split()


@pytest.mark.parametrize(
    "line, offered",
    [
        ("ev", ["evaluate"]),
        ("fit ", list(TASKS)),
        ("tune tr", ["transcriber"]),
        ("demo ", [*TASKS, "data"]),
        ("fit regressor houses.csv --hidden", ["--hidden-size"]),
        ("tune tagger train.conll --mi", ["--minutes", "--min-count"]),
        ("serve houses.bilstm --po", ["--port"]),
    ],
)
def test_bash_completes_commands_tasks_and_options(line, offered):
    assert completed(line) == offered


def test_zsh_is_told_what_an_option_means():
    assert '"--stack":"frames' in "".join(completed("fit transcriber calls.csv --sta", shell="zsh"))


def test_the_completion_script_of_a_shell_is_shown(monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # then the shell may be named
    code = "import sys; sys.argv = ['bilstm', '--show-completion', 'bash']\nfrom bilstm.cli import main\nmain()\n"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert "complete -o default -F _bilstm_completion bilstm" in found.stdout
