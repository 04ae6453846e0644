"""The rules of the house: floors, sizes, words, and what a worker has to import."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import residue_batch

HOUSE = Path(residue_batch.__file__).parent
ROOT = HOUSE.parent
ROOMS = sorted(HOUSE.rglob("*.py"))
LINES = 400

# one word, one meaning: these would be second words for things that have one
BANNED = re.compile(
    r"(?<![A-Za-z])(jobs?|pipelines?|roi|recipes?|processors?|managers?|utils?|helpers?)(?![A-Za-z])", re.IGNORECASE
)
# what belongs to others and cannot be renamed
FOREIGN = re.compile(r"contextmanager|nanny|job queue")


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.relative_to(HOUSE).as_posix())
def test_a_room_can_be_held_in_mind(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.relative_to(HOUSE).as_posix())
def test_a_room_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", ROOMS, ids=lambda p: p.relative_to(HOUSE).as_posix())
def test_words_have_one_meaning(path: Path) -> None:
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for word in (line, re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", line))
        if BANNED.search(FOREIGN.sub("", word))
    ]
    assert not found, sorted(set(found))


def test_a_module_imports_only_what_stands_above_it() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or shutil.which("lint-imports")
    if command is None or not (ROOT / "pyproject.toml").exists():
        pytest.skip("import-linter and the project's pyproject.toml are needed")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"xarray", "pandas", "skimage", "dask.array", "dask.dataframe", "scipy", "bokeh", "matplotlib"}


def test_a_worker_imports_no_tables_and_no_second_image_library() -> None:
    loaded = imported_by("import residue_batch.engine.inline")
    assert not loaded & (HEAVY | {"dask", "distributed", "jinja2", "click", "rich"})


def test_the_driver_imports_dask_and_no_tables() -> None:
    loaded = imported_by("import residue_batch.engine.driver")
    assert "distributed" in loaded
    assert not loaded & {"xarray", "skimage", "dask.array", "dask.dataframe"}


def test_naming_the_package_loads_nothing() -> None:
    loaded = imported_by("import residue_batch")
    assert not loaded & {"numpy", "cv2", "pydantic", "yaml", "dask", "residue_batch.api"}


def test_checking_a_configuration_needs_no_images() -> None:
    loaded = imported_by("import residue_batch.config, residue_batch.errors")
    assert not loaded & {"cv2", "dask", "distributed", "xarray", "zarr", "residue_batch.photo"}


def test_the_public_calls_are_listed_and_documented() -> None:
    for name in residue_batch.__all__:
        assert getattr(residue_batch, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = residue_batch.nothing


@pytest.mark.parametrize("word", ["time.time", "datetime.now", "gethostname", "random.random", "np.random", "getpid"])
def test_what_decides_a_number_knows_no_clock_host_or_chance(word: str) -> None:
    rooms = [
        "tile",
        "scene",
        "outcome",
        "program",
        "compiler",
        "tally",
        "geometry",
        "results",
        "store",
        "layout",
        "picture",
    ]
    paths = [
        *(HOUSE / f"{name}.py" for name in rooms),
        *(HOUSE / "steps").glob("*.py"),
        *(HOUSE / "measures").glob("*.py"),
    ]
    assert [p.name for p in paths if p.exists() and word in p.read_text(encoding="utf-8")] == []


def test_no_bytes_are_unpickled_from_files() -> None:
    for path in set(ROOMS) - {HOUSE / "testing.py"}:  # which asks whether steps can travel
        names = {
            n.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import) for n in node.names
        }
        assert not names & {"pickle", "joblib", "dill", "cloudpickle"}, path
