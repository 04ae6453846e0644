"""A lot of rendered boards with its board type, written once and used again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from residue_batch.synthetic import write_lot

LOT = "speed"


def rendered_lot(folder: Path, boards: int, megapixels: float, form: str = "jpg") -> Path:
    """The lot's file. Rendering takes some ten seconds per board of 12 MP, so it is kept in ``folder``."""
    place = folder / f"{boards}x{megapixels:g}mp-{form}"
    lot = place / "lot.yaml"
    if lot.exists():
        return lot
    shape = (round(math.sqrt(megapixels * 1e6 * 3 / 4)), round(math.sqrt(megapixels * 1e6 * 4 / 3)))
    truth = write_lot(place, boards=boards, seed=1, shape=shape, format=form, lot=LOT)
    plain = json.loads((place / "truth.json").read_text(encoding="utf-8"))
    _write(place / "board_type.yaml", _board_type(plain, truth.golden))
    # last: its presence says that all of it is there
    pattern = "shots/{lot}/{board}_{phase}.*"
    _write(lot, {"schema": 1, "lot": LOT, "board_type": "./board_type.yaml", "pattern": pattern})
    return lot


def _board_type(truth: dict[str, Any], golden: str) -> dict[str, Any]:
    """As much as a real board type has: label, bars to ignore, six regions."""
    regions = {f"element_{number}": {"box": box} for number, box in enumerate(truth["elements"], 1)}
    head = {"schema": 1, "board_type": "speed_board", "reference": "golden", "golden": golden}
    if golden.endswith((".png", ".tif")):
        head["tone"] = "srgb"
    return head | {
        "outline": {"polygon": truth["outline"]},
        "white": {"box": list(truth["label"])},
        "ignore": [{"box": list(box)} for box in (truth["label"], *truth["bars"])],
        "regions": regions,
    }


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
