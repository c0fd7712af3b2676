"""The shape of the house: who may import whom, how long a file may be, what the public list is, what help costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bilstm

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "bilstm"
FILES = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
NATIVE = sorted((ROOT / "native").glob("*.[ch]pp"))

# each room may import itself and the rooms before it; rooms on one line may import each other
ROOMS = [
    ["errors"],
    ["data"],
    ["nn"],
    [
        "workers",
        "tensor_file",
        "history",
        "checkpoint",
        "progress",
        "training",
        "metrics",
        "speech_metrics",
        "baselines",
        "forecast_comparison",
        "forecast_metrics",
    ],
    ["estimators", "model_file"],
    ["surgery", "xray", "plots", "charts", "tune", "cluster", "export"],
    ["demo", "demo_data", "doctor", "report", "server"],
    [
        "cli",
        "cli_cluster",
        "cli_export",
        "cli_fit",
        "cli_folder",
        "cli_predict",
        "cli_report",
        "cli_see",
        "cli_series",
        "cli_serve",
        "cli_sound",
        "cli_tune",
    ],
]
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}


def imported_rooms(path: Path) -> set[str]:
    """Rooms of the package that a file imports anywhere, inside functions too."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "bilstm":
            names += [f"bilstm.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return {name.split(".")[1] for name in names if name.startswith("bilstm.")} - {"__version__"}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    for other in imported_rooms(path):
        assert RANK[other] <= RANK[room], f"{room} imports {other}, which stands to the right of it"


def test_the_layers_know_batches_but_no_other_data():
    for path in (SOURCE / "nn").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("bilstm.data"):
                assert node.module == "bilstm.data.batch", path


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_no_file_takes_a_private_name_of_another(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bilstm"):
            assert not [alias.name for alias in node.names if alias.name.startswith("_") and alias.name[:2] != "__"]


def test_one_file_knows_the_compiled_module():
    assert [path.name for path in SOURCE.rglob("*.py") if "bilstm._native" in path.read_text()] == ["native.py"]


@pytest.mark.parametrize("path", FILES + NATIVE, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_passes_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_function_passes_60_lines_without_saying_why(path):
    lines = path.read_text().splitlines()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno - node.lineno >= 60:
            above = lines[node.lineno - 2].strip()
            assert re.fullmatch(r"# long: \w.{20,}", above), f"{node.name} is long; a line above its def is to say why"


@pytest.mark.parametrize("path", FILES + NATIVE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_opens_with_what_it_knows(path):
    text = path.read_text()
    opens = text.startswith("// ") if path in NATIVE else not text.strip() or ast.get_docstring(ast.parse(text))
    assert opens, "the file has no opening sentence"


def test_the_public_list_is_complete_sorted_and_short():
    assert bilstm.__all__ == sorted(bilstm.__all__)
    assert set(bilstm.__all__) == set(bilstm._HOMES)
    assert len(bilstm.__all__) <= 25
    for name in bilstm.__all__:
        assert getattr(bilstm, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bilstm.nothing  # noqa: B018


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["fit", "tagger", "--help"],
        ["predict", "--help"],
        ["tune", "--help"],
        ["--version"],
    ],
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom bilstm.cli import main\n"
        f"try:\n    main({arguments!r})\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "heavy = {'torch', 'numpy', 'polars', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, bilstm; assert not {'torch', 'numpy', 'polars'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
