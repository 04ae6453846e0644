"""A sound store, and a copy of it to be spoilt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from stored import board, of, written


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("sound") / "b.zarr", of(), board())


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy.zarr"))
