"""The shape of the house: who may import whom, what a task says of itself, what the public list is, what help costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import bilstm

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "bilstm"
MODULES = sorted(SOURCE.rglob("*.py"))
FILES = sorted(path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
NATIVE = sorted((ROOT / "native").glob("*.[ch]pp"))
TASKS = {"regressor", "classifier", "tagger", "forecaster", "transcriber"}
ESTIMATOR_NAMES = {"estimator", "model", "fitted"}


def relative(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[Path]:
    """Files of the package that a file imports anywhere: inside functions and for annotations too."""
    names = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{relative(path)}: imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return frozenset(found for name in names if (found := file_of(name)) is not None and found != path)


def file_of(name: str) -> Path | None:
    """The file of a dotted name of the package: a module, a package, or what defines a name in one of these."""
    parts = name.split(".")
    if parts[0] != "bilstm":
        return None
    for count in (len(parts), len(parts) - 1):
        path = SOURCE.joinpath(*parts[1:count])
        if path.with_suffix(".py").is_file():
            return path.with_suffix(".py")
        if (path / "__init__.py").is_file():
            return path / "__init__.py"
    return None


def circles(graph: dict[Path, frozenset[Path]]) -> list[set[Path]]:
    """Sets of files that import each other in a loop: what is left when files without imports are taken off, again
    and again, from below and from above."""
    rest = {path: set(found) for path, found in graph.items()}
    while True:
        imported = set().union(*rest.values()) if rest else set()
        ends = {path for path, found in rest.items() if not found or path not in imported}
        if not ends:
            return _groups(rest)
        rest = {path: found - ends for path, found in rest.items() if path not in ends}


def _groups(graph: dict[Path, set[Path]]) -> list[set[Path]]:
    """Files that reach each other."""

    def reached(path: Path) -> set[Path]:
        seen, coming = set(), [path]
        while coming:
            for found in graph[coming.pop()]:
                if found not in seen:
                    seen.add(found)
                    coming.append(found)
        return seen

    reach = {path: reached(path) for path in graph}
    groups: list[set[Path]] = []
    for path in sorted(graph):
        group = {other for other in reach[path] if path in reach[other]}
        if group and group not in groups:
            groups.append(group)
    return groups


# --- who imports whom -----------------------------------------------------------------------------------------


def test_no_files_import_each_other_in_a_circle():
    found = circles({path: imports(path) for path in MODULES})
    assert not found, [sorted(map(relative, group)) for group in found]


def test_a_circle_would_be_found():
    a, b, c = Path("a"), Path("b"), Path("c")
    graph = {a: frozenset({b}), b: frozenset({c}), c: frozenset({b})}
    assert circles(graph) == [{b, c}]
    assert circles({a: frozenset({b}), b: frozenset({c}), c: frozenset()}) == []


def test_no_rooms_import_each_other_in_a_circle():
    """Rooms are the folders at the top; what lists the public names and the old ones imports from everywhere."""
    lists = {SOURCE / "__init__.py", SOURCE / "moved.py"}
    rooms: dict[Path, set[Path]] = {}
    for path in set(MODULES) - lists:
        found = {room_of(other) for other in imports(path) - lists}
        rooms.setdefault(room_of(path), set()).update(found - {room_of(path)})
    left = circles({room: frozenset(found) for room, found in rooms.items()})
    assert not left, [sorted(map(str, group)) for group in left]


def room_of(path: Path) -> Path:
    return Path(path.relative_to(SOURCE).parts[0])


def test_few_files_lie_at_the_top():
    assert len([path for path in MODULES if path.parent == SOURCE]) <= 6


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_file_takes_a_private_name_of_another(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bilstm"):
            assert not [alias.name for alias in node.names if alias.name.startswith("_") and alias.name[:2] != "__"]


def test_no_file_of_the_package_imports_its_public_names():
    """They are imported from where they are: the list of them imports everything."""
    for path in MODULES:
        for node in ast.walk(tree(path)):
            assert not (isinstance(node, ast.ImportFrom) and node.module == "bilstm"), relative(path)


def test_one_file_knows_the_compiled_module():
    assert [relative(path) for path in MODULES if "bilstm._native" in path.read_text()] == ["nn/core.py"]


# --- what a task is, its class says ---------------------------------------------------------------------------


def outside(*rooms: str) -> list[Path]:
    return [path for path in MODULES if path.relative_to(SOURCE).parts[0] not in rooms]


def docstrings(module: ast.Module) -> set[int]:
    """Identities of the constants that are docstrings."""
    return {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def names_a_task(path: Path) -> bool:
    """Whether a file compares an estimator's task with something, or writes a task's name."""
    prose = docstrings(tree(path))
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and node.value in TASKS and id(node) not in prose:
            return True
        if isinstance(node, ast.Compare) and any(
            isinstance(side, ast.Attribute) and side.attr == "task" for side in [node.left, *node.comparators]
        ):
            return True
        if isinstance(node, ast.Match) and isinstance(node.subject, ast.Attribute) and node.subject.attr == "task":
            return True
    return False


@cache
def private_members() -> dict[str, set[Path]]:
    """The folders in which each private method or attribute is made."""
    made: dict[str, set[Path]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            names = []
            if isinstance(node, ast.ClassDef):
                names = [part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))]
                fields = [part.target for part in node.body if isinstance(part, ast.AnnAssign)]
                names += [field.id for field in fields if isinstance(field, ast.Name)]
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names = [node.attr]
            for name in names:
                if name.startswith("_") and not name.startswith("__"):
                    made.setdefault(name, set()).add(path.parent)
    return made


def takes_private_members(path: Path) -> list[str]:
    """Private members of other objects that a file uses though they are made in other folders."""
    return [
        ast.unparse(node)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and ast.unparse(node.value) not in ("self", "cls", "super()")
        and path.parent not in private_members().get(node.attr, {path.parent})
    ]


def types_an_estimator_as_any(path: Path) -> list[str]:
    return [
        node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
        for node in ast.walk(tree(path))
        if ((isinstance(node, ast.arg) and node.arg in ESTIMATOR_NAMES) or isinstance(node, ast.AnnAssign))
        and node.annotation is not None
        and ast.unparse(node.annotation) == "Any"
        and (isinstance(node, ast.arg) or ast.unparse(node.target).removeprefix("self.") in ESTIMATOR_NAMES)
    ]


def test_only_estimators_and_one_list_of_the_command_line_name_a_task():
    found = {relative(path) for path in outside("estimators", "demo") if names_a_task(path)}
    assert found == {"cli/options.py"}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_file_uses_a_private_member_of_another_folder(path):
    assert not takes_private_members(path)


def test_nobody_types_an_estimator_as_any():
    found = {relative(path) for path in MODULES if types_an_estimator_as_any(path)}
    assert not found


# --- files, the public list, help -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES + NATIVE, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_file_opens_with_what_it_knows(path):
    text = path.read_text(encoding="utf-8")
    opens = text.startswith("// ") if path in NATIVE else not text.strip() or ast.get_docstring(ast.parse(text))
    assert opens, "the file has no opening sentence"


def test_the_public_list_is_complete_sorted_and_short():
    assert bilstm.__all__ == sorted(bilstm.__all__)
    assert len(bilstm.__all__) <= 25
    for name in bilstm.__all__:
        assert getattr(bilstm, name) is not None


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match="No bilstm attribute nothing"):
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
