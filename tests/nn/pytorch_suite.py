"""PyTorch's own tests that make an nn.LSTM, run for nn.LSTM as it is and for one that was accelerated.

The tests are those of PyTorch 2.6, as Debian's source package ``pytorch`` has them: fetched by apt, unpacked in a cache
folder, and run from there, each file in a process of its own. Nothing of them is kept here. By hand::

    python -m tests.nn.pytorch_suite test_nn.py torch         # outcomes for nn.LSTM
    python -m tests.nn.pytorch_suite test_nn.py accelerated   # and for the accelerated one
"""

from __future__ import annotations

import ast
import functools
import importlib.machinery
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import types
import warnings
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("BILSTM_TEST_CACHE", Path.home() / ".cache" / "bilstm-tests"))
VERSION = "2.6.0+dfsg"
SOURCES = """Types: deb-src
URIs: http://deb.debian.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
EXPORTER = "torch.onnx._internal.torchscript_exporter"
ONE_OPSET = "opset_version_17_is_script_False_keep_initializers_as_inputs_False"
LIMIT = 1500  # seconds for the tests of one file


class NotFetched(Exception):
    """PyTorch's tests could not be had, and why."""


def tests_folder() -> Path:
    """Where PyTorch's tests are unpacked; fetched by apt where they are not."""
    folder = CACHE / f"pytorch-{VERSION}"
    if not folder.is_dir():
        archive = CACHE / f"pytorch_{VERSION}.orig.tar.xz"
        if not archive.exists():
            _fetch(archive)
        unpacked = folder.with_suffix(".part")
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(archive) as file:
            members = [member for member in file.getmembers() if member.name.split("/")[1:2] == ["test"]]
            file.extractall(unpacked, members, filter="data")
        next(unpacked.iterdir()).rename(folder)
        shutil.rmtree(unpacked)
    return folder / "test"


def _fetch(archive: Path) -> None:
    """Let apt fetch the package, and check its signature, with lists of its own: the system's stay as they are."""
    if shutil.which("apt-get") is None:
        raise NotFetched("apt-get, which fetches PyTorch's tests, is not here")
    lists = CACHE / "apt"
    for name in ("lists/partial", "archives/partial"):
        (lists / name).mkdir(parents=True, exist_ok=True)
    (lists / "debian.sources").write_text(SOURCES)
    options = {
        "Dir::Etc::sourcelist": lists / "debian.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": lists / "lists",
        "Dir::Cache": lists,
        "APT::Sandbox::User": "root",
        "Acquire::http::Timeout": 20,
        "Acquire::Retries": 1,
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    for command in (["update"], ["source", "--download-only", "pytorch"]):
        try:
            subprocess.run(["apt-get", *words, *command], cwd=CACHE, check=True, capture_output=True, timeout=300)
        except (subprocess.SubprocessError, OSError) as error:
            raise NotFetched(f"PyTorch's tests could not be fetched: {error}") from error
    if not archive.exists():
        raise NotFetched(f"Debian has another version of PyTorch now than {VERSION}")


def outcomes(file: str, *, accelerated: bool) -> dict[str, str]:
    """How each test of a file that makes an nn.LSTM ends, by its name: passed, skipped, or failed and why."""
    tests_folder()
    kind = "accelerated" if accelerated else "torch"
    result = CACHE / f"{file.replace('/', '-')}-{kind}.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.nn.pytorch_suite", file, kind, str(result)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    here, log = Path(__file__).parents[2], result.with_suffix(".log")
    with log.open("w") as output:
        subprocess.run(command, cwd=here, env=environment, stdout=output, stderr=output, timeout=LIMIT)
    assert result.exists(), f"{file} broke off: {log.read_text()[-2000:]}"
    found: dict[str, str] = json.loads(result.read_text())
    return found


# -- in the process of one file ------------------------------------------------------------------------------------


class Collector:
    """A plugin of pytest that keeps the tests that make an nn.LSTM, and notes how they end."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}

    def pytest_collection_modifyitems(self, items: list) -> None:
        items[:] = [item for item in items if _makes_an_lstm(item)]

    def pytest_runtest_logreport(self, report) -> None:
        name = report.nodeid.split("::", 1)[-1]
        if report.failed:
            self.outcomes[name] = f"failed: {str(report.longrepr)[-1500:]}"
        elif report.skipped:
            self.outcomes.setdefault(name, "skipped")
        elif report.when == "call":
            self.outcomes.setdefault(name, "passed")


def _makes_an_lstm(item) -> bool:
    if "opset_version_" in item.nodeid and ONE_OPSET not in item.nodeid:
        return False  # the same tests again for each version of ONNX
    name = item.name.lower()
    if item.path.name == "test_modules.py":
        # its second orders take minutes; those of the same samples are looked at beside this file
        return "_nn_lstm_" in name and "gradgrad" not in name
    if any(word in name for word in ("gru", "elman", "rnn_tanh", "rnn_relu", "nn_rnn", "cuda")):
        return False
    if "lstm" in name or "_rnn" in name:
        return True
    try:
        source = inspect.getsource(inspect.unwrap(item.function))
    except (OSError, TypeError):
        return False
    return bool(re.search(r"LSTM\b|_dispatch_rnn_test|rnn_modules", source))


def accelerate_every_lstm() -> None:
    """From now on, in this process, every nn.LSTM is accelerated as soon as it is made."""
    from torch import nn

    from bilstm import accelerate

    made = nn.LSTM.__init__

    @functools.wraps(made)
    def make_and_accelerate(self, *args, **kwargs):
        made(self, *args, **kwargs)
        if type(self) is nn.LSTM:
            accelerate(self)

    nn.LSTM.__init__ = make_and_accelerate


class Absent(list):
    """What PyTorch's tests import and torch of today has no more: no value, a decorator that changes nothing."""

    def __call__(self, *args, **kwargs):
        return args[0] if len(args) == 1 and not kwargs and callable(args[0]) else self

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __mro_entries__(self, bases) -> tuple[type, ...]:
        return ()


class AbsentModule(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent()


def bring_back() -> None:
    """What stood in ``torch.onnx`` until 2.8, under its old names."""
    for name in ("verification", "utils", "symbolic_helper", "_globals"):
        old = _imported(f"torch.onnx.{name}")
        for attribute, value in vars(importlib.import_module(f"{EXPORTER}.{name}")).items():
            if attribute not in vars(old):
                setattr(old, attribute, value)


def fill_in(path: Path) -> None:
    """Put something in the place of every name that a file, or one beside it, imports in vain at its top."""
    for node in ast.parse(path.read_text()).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        for name in names:
            module = _imported(name)
            if isinstance(node, ast.ImportFrom):
                for wanted in (alias.name for alias in node.names):
                    if not hasattr(module, wanted) and not _exists(f"{name}.{wanted}"):
                        setattr(module, wanted, Absent())


def _imported(name: str) -> types.ModuleType:
    beside = Path.cwd() / f"{name.replace('.', '/')}.py"
    if beside.exists() and name not in sys.modules and beside.stem not in ("conftest",):
        fill_in(beside)
    try:
        return importlib.import_module(name)
    except Exception:  # whatever goes wrong there, the tests of the LSTM have no need of it
        for k in range(1, name.count(".") + 2):
            part = ".".join(name.split(".")[:k])
            sys.modules.setdefault(part, AbsentModule(part)).__spec__ = importlib.machinery.ModuleSpec(part, None)
        return sys.modules[name]


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def main(file: str, *rest: str) -> None:
    result = next((word for word in rest if word.endswith(".json")), None)
    words = [word for word in rest if word not in ("accelerated", "torch", result)]
    path = tests_folder() / file
    os.chdir(path.parent)
    sys.path[:0] = [str(path.parent), str(tests_folder())]
    sys.argv = [str(path)]
    warnings.simplefilter("ignore")
    if path.parent.name == "onnx":
        bring_back()
    fill_in(path)
    if "accelerated" in rest:
        accelerate_every_lstm()
    collector = Collector()
    options = ["--noconftest", "-q", "-W", "ignore", "-p", "no:cacheprovider"]
    pytest.main([*options, "-c", os.devnull, "--rootdir", str(path.parent), *words, str(path)], plugins=[collector])
    if result is None:
        print(json.dumps(collector.outcomes, indent=1))
    else:
        Path(result).write_text(json.dumps(collector.outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
