"""A folder with files in it, and the problems of a configuration as short lines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from residue_batch.config import load
from residue_batch.errors import ConfigError


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a text file below an empty current folder; what is shipped is out of reach."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RESIDUE_PATH", raising=False)
    monkeypatch.setattr(load, "shipped", lambda: tmp_path / "nothing is shipped")

    def put(name: str, text: str = "") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.fixture
def shown() -> Callable[[Callable[[], object]], list[str]]:
    """``file:line:column message | remedy`` of everything that a call complains of."""

    def call(failing: Callable[[], object]) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            failing()
        problems = caught.value.problems
        return [f"{p.file}:{p.line}:{p.column} {p.message}" + (f" | {p.remedy}" if p.remedy else "") for p in problems]

    return call
