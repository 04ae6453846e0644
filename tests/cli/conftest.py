"""The command line in an empty folder, and a small lot with good and bad boards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import small
from click.testing import CliRunner, Result

from residue_batch.cli import residue as commands

Residue = Callable[..., Result]


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> small.SmallLot:
    """A cleaned board, one whose file was cut short, one without its after-shot."""
    return small.make_lot(tmp_path_factory.mktemp("mixed"), boards=3, kinds=("reduce", "truncated", "unpaired"))


@pytest.fixture(scope="session")
def finished(mixed: small.SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of that lot; read it, never write into it."""
    runs = tmp_path_factory.mktemp("finished")
    given = ["run", str(mixed.lot), "--workflow", str(mixed.workflow), "--workers", "0", "--out", str(runs)]
    result = CliRunner().invoke(commands, given)
    assert result.exit_code == 3, result.output
    return next(runs.iterdir())


@pytest.fixture
def residue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Residue:
    """The command in an empty folder; never a traceback unless one asks for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESIDUE_PATH", raising=False)

    def invoke(*given: object) -> Result:
        result = CliRunner().invoke(commands, [str(g) for g in given])
        assert isinstance(result.exception, SystemExit | None), result.exception
        if "--debug" not in given:
            assert "Traceback" not in result.output
        return result

    return invoke


@pytest.fixture
def copied(mixed: small.SmallLot, tmp_path: Path) -> Path:
    """A copy of the small lot, to be spoilt."""
    return Path(shutil.copytree(mixed.folder, tmp_path / "copied"))
