"""What README and docs say is run: every Python block, every command, every link; and every docstring's example."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import runpy
import shutil
import textwrap
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bilstm
from bilstm.demo.files import write_demo_data
from tests.lines import run_line
from tests.tables import houses

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = [name for _, name, _ in pkgutil.walk_packages(bilstm.__path__, "bilstm.")]


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The files that the pages speak of: those of `bilstm demo data`, and some that only one page needs."""
    folder = tmp_path_factory.mktemp("pages")
    write_demo_data(folder, lambda line: None)
    frame = houses()
    (folder / "houses").mkdir()
    for part in range(4):
        frame[100 * part :][:100].write_parquet(folder / "houses" / f"part-{part}.parquet")
    generator = np.random.default_rng(0)
    rows = [
        {"utterance": n, "step": t, "lpc1": generator.normal(), "lpc2": generator.normal(), "speaker": n % 3}
        for n in range(30)
        for t in range(3 + n % 4)
    ]
    pl.DataFrame(rows).write_csv(folder / "vowels.csv")
    _write_series(folder)
    _write_sounds(folder)
    return folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """A folder of one's own with these files."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_sounds(folder):
    """Dialled digits of two speakers, and language models of their words."""
    from bilstm.demo.tones import WORDS, write_dial_tones

    table = pl.read_csv(write_dial_tones(folder / "made", 40))
    (folder / "made" / "audio").rename(folder / "recordings")
    table = table.with_columns(pl.col("path").str.replace("audio", "recordings"), pl.Series("speaker", ["a", "b"] * 20))
    table.write_csv(folder / "train.csv")
    table.write_csv(folder / "test.csv")
    (folder / "recording.wav").write_bytes((folder / table["path"][0]).read_bytes())
    grams = "".join(f"-1.1\t{word}\n" for word in ("<s>", "</s>", *WORDS))
    for name in ("digits.arpa", "names.arpa"):
        (folder / name).write_text(f"\\data\\\nngram 1=12\n\n\\1-grams:\n{grams}\n\\end\\\n")


def _write_series(folder):
    """Prices of business days, a newer file of them, and the load of two stations by the hour."""
    generator = np.random.default_rng(1)
    days = pl.date_range(pl.date(2022, 1, 3), pl.date(2023, 9, 1), eager=True)
    days = days.filter(days.dt.weekday() <= 5)
    prices = 100 * np.exp(generator.normal(0, 0.01, len(days)).cumsum())
    frame = pl.DataFrame({"Date": days, "Adj Close": prices, "Volume": generator.integers(10, 99, len(days))})
    frame[:300].write_csv(folder / "sp500.csv")
    frame.write_csv(folder / "newer.csv")
    hours = np.arange(500)
    when = pl.Series(hours * 3600 * 10**6).cast(pl.Datetime("us"))
    load = [50 + 10 * np.sin(2 * np.pi * hours / 24) + generator.normal(0, 1, len(hours)) for _ in range(2)]
    stations = [
        pl.DataFrame({"station": name, "hour": when, "load": values, "holiday": hours // 24 % 7 == 6})
        for name, values in zip("ab", load, strict=True)
    ]
    table = pl.concat(stations).with_columns(pl.col("holiday").cast(pl.Int64))
    table.with_columns(
        load=pl.when(pl.col("hour") < pl.col("hour").max() - pl.duration(hours=23)).then("load")
    ).write_csv(folder / "load.csv", datetime_format="%Y-%m-%d %H:%M")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, folder):
    names = {}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)


def commands(page):
    return [line for block in blocks(page, "sh") for line in block.splitlines()]


def bare(line):
    """A line without its comment."""
    return line.partition("  #")[0].strip()


@pytest.mark.parametrize(
    "page",
    # workers on a Ray cluster take most of a minute to come together, and again to part
    [pytest.param(page, marks=pytest.mark.slow) if page.name == "scale.md" else page for page in PAGES[2:]],
    ids=lambda page: page.name,
)
def test_the_commands_of_a_page_run_in_their_order(page, folder):
    for line in commands(page):
        run_line(line)


def test_the_commands_of_both_readmes_are_those_that_a_newcomer_types():
    """Which tests/test_newcomer.py runs, all of them."""
    assert {bare(line) for line in commands(PAGES[1])} <= {bare(line) for line in commands(PAGES[0])}


# those of exported models are called with files, and run where this package is not: tests/export/test_examples.py
EXAMPLES = sorted({*(ROOT / "examples").glob("*.py")} - {*(ROOT / "examples").glob("onnx_*.py")})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_examples_are_short_and_run(path, folder):
    assert len(path.read_text().splitlines()) <= 40
    runpy.run_path(str(path), run_name="__main__")


def test_the_notebook_runs_from_top_to_bottom_and_is_kept_without_outputs(folder):
    cells = json.loads((ROOT / "examples" / "bilstm.ipynb").read_text())["cells"]
    names = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None), cell["id"]
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_the_files_that_a_page_links_to_are_there(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_tree_in_the_readme_is_the_tree():
    text = (ROOT / "README.md").read_text()
    for path in [*(ROOT / "src" / "bilstm").glob("*.py"), *(ROOT / "src" / "bilstm").glob("*/")]:
        if path.name not in ("__init__.py", "errors.py", "__pycache__"):
            assert path.name in text, path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_figures_of_a_page_are_the_stored_ones(page):
    from benchmarks.pages import filled

    assert filled(page.read_text()) == page.read_text(), "python benchmarks/pages.py writes them"


def test_every_table_of_figures_stands_on_a_page():
    from benchmarks.pages import FIGURES, MARKED

    assert {found[1] for page in PAGES for found in MARKED.finditer(page.read_text())} == set(FIGURES)


def test_the_six_equations_of_the_page_are_the_code_that_runs():
    page = ROOT / "docs" / "equations.md"
    code = (ROOT / "src" / "bilstm" / "nn" / "lstm" / "equations.py").read_text()
    [quoted] = blocks(page, "py")
    assert textwrap.indent(quoted, "    ") in code
    step = code.split("def step(")[1].split("return")[0]
    assert quoted.splitlines()[-1].strip() == step.rstrip().splitlines()[-1].strip(), "the page leaves lines out"


def test_the_commands_of_the_readme_that_make_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for word in re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE):
        assert f"\n{word}:" in makefile


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    globals_ = dict(vars(module)) | {"np": np, "pl": pl}
    failed, _ = doctest.testmod(
        module, extraglobs=globals_, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert failed == 0


def test_every_public_name_has_a_docstring_with_an_example_or_a_source():
    for name in bilstm.__all__:
        text = getattr(bilstm, name).__doc__ or ""
        assert len(text) > 40, name
        if name not in ("Batch",):
            assert "Example" in text or "Source" in text, f"{name} shows no example"


@pytest.mark.parametrize(
    # Chinese has no blanks to break a line at
    "page",
    [page for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "benchmarks" / "README.md"] if "zh" not in page.name],
    ids=lambda page: f"{page.parent.name}/{page.name}",
)
def test_lines_of_prose_are_at_most_120_characters_long(page):
    text = re.sub(r"<!-- figures.*?<!-- end", "", page.read_text(), flags=re.DOTALL)  # benchmarks/pages.py writes these
    prose = re.sub(r"^( *)```.*?^\1```", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\]\([^)]*\)|https?://\S+", "", line) for line in prose.splitlines()]
    assert not [line for line in lines if len(line) > 120 and not line.lstrip().startswith(("|", "!["))]
