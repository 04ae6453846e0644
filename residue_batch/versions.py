"""The versions that a run records, and whether another run may go on with them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from residue_batch import __version__

PINNED = ("numpy", "opencv-python-headless", "imagecodecs", "zarr")
"""Libraries whose version may change a number: a run is not resumed with others unless told."""


def versions() -> dict[str, str]:
    """Versions that a run records."""
    found = {name: version(name) for name in PINNED}
    return {"residue-batch": __version__, "python": platform.python_version(), **found}


def changed(before: Mapping[str, str]) -> str:
    """Which versions are no longer those of an earlier run, but Python's; '' if none."""
    now = {name: one for name, one in versions().items() if name != "python"}
    return ", ".join(f"{k} {before[k]} -> {v}" for k, v in now.items() if before.get(k, v) != v)


def begun_with(state: Path) -> dict[str, str]:
    """The versions that a run was begun with, from its ``run.json``; none where that is missing or damaged."""
    try:
        return dict(json.loads(state.read_text(encoding="utf-8"))["versions"])
    except (OSError, ValueError, LookupError, TypeError):
        return {}
