"""The package as pip builds it: with the native core, from the sources that are shipped, and without any compiler."""

from __future__ import annotations

import email
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import bilstm
from bilstm.nn import core

ROOT = Path(__file__).parent.parent
REQUIRED = pytest.mark.skipif(not os.environ.get("BILSTM_REQUIRE_NATIVE"), reason="not known whether C++ compiles here")
PRODUCTS = (".git", ".venv", "build", "dist", "*.so", "__pycache__", ".*_cache", ".hypothesis")

# Run without site, so that no editable installation stands before the one under test.
START = (
    "import site, sys; _, folder, home = sys.argv; site.addsitedir(folder); sys.path.insert(0, folder)\n"
    "import bilstm; assert bilstm.__file__.startswith(home), bilstm.__file__\n"
)
ASIDE = ["--ignore-installed"]  # or pip removes the installation that these tests run in
SDIST = "from scikit_build_core.build import build_sdist; import sys; build_sdist(sys.argv[1])"
SHIPPED = {
    "LICENSE",
    "CITATION.cff",
    "README.md",
    "README.zh-CN.md",
    "CHANGELOG.md",
    "pyproject.toml",
    "CMakeLists.txt",
}
SHIPPED |= {
    "Makefile",
    "constraints.txt",
    "native/lstm.hpp",
    "tests/laws.py",
    "tests/golden/v1.bilstm",
    "docs/decisions.md",
}
SHIPPED |= {"src/bilstm/py.typed", "src/bilstm/data/boston.csv", "src/bilstm/report/report.css", "examples/forecast.py"}
JUNK = (
    "houses.bilstm",
    "houses.bilstm.checkpoint",
    "best.bilstm.study/study.log",
    "demo-data/houses.csv",
    "build/core.o",
)
JUNK += (
    "src/bilstm/_native.cpython-311-x86_64-linux-gnu.so",
    ".venv/bin/python",
    ".mypy_cache/x.json",
    "dist/old.tar.gz",
)
DOCTOR = "from bilstm.cli import main; main(['doctor'])"


@pytest.fixture
def sources(tmp_path):
    """A copy of the tree, so that nothing that was built in it can help."""
    return Path(shutil.copytree(ROOT, tmp_path / "sources", ignore=shutil.ignore_patterns(*PRODUCTS)))


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """A search path with CMake and its tools, and no compiler."""
    (tmp_path / "bin").mkdir()
    for tool in ("cmake", "ninja", "make"):
        if found := shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CC", "hidden")
    monkeypatch.setenv("CXX", "hidden")
    monkeypatch.delenv("BILSTM_REQUIRE_NATIVE", raising=False)


def pip(*arguments):
    """With the build tools of this environment, and no network."""
    quickly = ["--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir"]
    command = [sys.executable, "-m", "pip", *map(str, arguments), *quickly]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def start(code, folder, home=None):
    """Run code with the package that is installed in the folder, and lies there or at home."""
    paths = os.pathsep.join({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    command = [sys.executable, "-S", "-W", "error", "-c", START + code, str(folder), str(home or folder)]
    environment = {**os.environ, "PYTHONPATH": paths}
    finished = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@REQUIRED
def test_the_core_is_built_where_it_is_required():
    assert core.import_error is None


def test_without_a_compiler_the_package_installs_and_doctor_says_what_is_missing(sources, no_compiler, tmp_path):
    pip("install", *ASIDE, "--target", tmp_path / "installed", sources)
    (wheel,) = (tmp_path / "installed").glob("bilstm-*.dist-info/WHEEL")
    assert "Tag: py3-none-any" in wheel.read_text()
    said = start(DOCTOR, tmp_path / "installed")
    assert "not built" in said
    assert "g++" in said
    assert "pip install" in said
    assert "instruction set" not in said


def test_without_a_compiler_an_editable_installation_works_too(sources, no_compiler, tmp_path):
    pip("install", *ASIDE, "--prefix", tmp_path / "prefix", "--editable", sources)
    (folder,) = (tmp_path / "prefix").rglob("site-packages")
    assert "not built" in start(DOCTOR, folder, home=sources)


def test_a_core_that_is_required_and_cannot_be_built_is_an_error(sources, no_compiler, tmp_path, monkeypatch):
    monkeypatch.setenv("BILSTM_REQUIRE_NATIVE", "1")
    with pytest.raises(AssertionError, match="CMake configuration failed"):
        pip("wheel", "--wheel-dir", tmp_path, sources)


def archived(sources, folder):
    """The archive of sources as a release makes it."""
    subprocess.run([sys.executable, "-c", SDIST, folder], cwd=sources, capture_output=True, check=True)
    (archive,) = folder.glob("*.tar.gz")
    return archive


def test_the_archive_of_sources_holds_what_was_written_and_no_products(sources, tmp_path):
    for name in JUNK:
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_text("junk")
    archive = archived(sources, tmp_path)
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
        described = email.message_from_bytes(files.extractfile(f"bilstm-{bilstm.__version__}/PKG-INFO").read())
    assert SHIPPED - names == set()
    assert set(JUNK) & names == set()
    written = {
        str(path.relative_to(ROOT))
        for folder in ("src", "native", "docs", "examples", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".cpp", ".hpp", ".md", ".css", ".jinja")
    }
    assert written - names == set()
    assert archive.stat().st_size < 3_000_000  # pictures of two pages, and nothing larger
    assert (described["Name"], described["Version"]) == ("bilstm", bilstm.__version__)
    assert described["License-Expression"] == "Apache-2.0"


def test_how_to_cite_the_package_is_said_as_the_format_wants():
    yaml = pytest.importorskip("yaml")
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(said)  # what version 1.2.0 of the format requires
    assert (said["cff-version"], said["license"], said["authors"]) == (
        "1.2.0",
        "Apache-2.0",
        [{"name": "The bilstm authors"}],
    )
    assert "version" not in said  # it has one home, pyproject.toml


@REQUIRED
@pytest.mark.slow
def test_what_is_shipped_as_sources_builds_the_core(sources, tmp_path):
    archive = archived(sources, tmp_path)
    pip("wheel", "--wheel-dir", tmp_path, archive)
    (wheel,) = tmp_path.glob("*.whl")
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        files.extractall(tmp_path / "wheel")
    packaged = {str(path.relative_to(ROOT / "src")) for path in (ROOT / "src").rglob("*") if path.is_file()}
    assert {name for name in packaged if not name.endswith((".so", ".pyc"))} <= names
    assert "instruction set" in start(DOCTOR, tmp_path / "wheel")
