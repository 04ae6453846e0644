"""The photographs that all ways measure: rendered once, in every format, and laid out as lots of any length."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
import yaml
from numpy.typing import NDArray

from benchmarks.rendered import LOT, rendered_lot

PHASES = ("before", "after")
TIFF_TILE = (256, 256)


def _png(path: Path, picture: NDArray[np.uint8]) -> None:
    path.write_bytes(imagecodecs.png_encode(picture, level=3))


def _tiff(path: Path, picture: NDArray[np.uint8]) -> None:
    tifffile.imwrite(path, picture, tile=TIFF_TILE, compression="zlib", predictor=True, photometric="rgb")


WRITERS: dict[str, Callable[[Path, NDArray[np.uint8]], None]] = {"png": _png, "tif": _tiff}


def photographs(folder: Path, boards: int, megapixels: float, form: str) -> list[tuple[Path, ...]]:
    """(before, after) of each rendered board; PNG and TIFF hold the very pixels of the JPEG."""
    shots = rendered_lot(folder, boards, megapixels).parent / "shots" / LOT
    names = sorted({path.name.rsplit("_", 1)[0] for path in shots.iterdir()})
    pairs = [tuple(shots / f"{name}_{phase}.jpg" for phase in PHASES) for name in names]
    if form == "jpg":
        return pairs
    place = shots.parent / form
    place.mkdir(exist_ok=True)
    return [tuple(_rewritten(path, place / f"{path.stem}.{form}") for path in pair) for pair in pairs]


def _rewritten(source: Path, target: Path) -> Path:
    if not target.exists():
        partial = target.with_name(f"new-{target.name}")
        WRITERS[target.suffix[1:]](partial, np.asarray(imagecodecs.jpeg8_decode(source.read_bytes())))
        partial.rename(target)
    return target


def lay_out(folder: Path, boards: int, megapixels: float, form: str, count: int) -> Path:
    """A folder with ``count`` boards, the rendered ones over and over under names of their own.

    ``pairs.json`` is for scripts, ``workload.yaml`` and ``flux_residue.yaml`` are lots of ours.
    """
    pairs = photographs(folder, boards, megapixels, form)
    rendered = rendered_lot(folder, boards, megapixels).parent
    place = rendered / f"{form}-{count}"
    if (place / "pairs.json").exists():
        return place
    (place / "shots").mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        name, pair = f"B{number:03}", pairs[number % len(pairs)]
        rows.append([name, *map(str, pair)])
        for phase, path in zip(PHASES, pair, strict=True):
            link = place / "shots" / f"{name}_{phase}.{form}"
            if not link.exists():
                link.hardlink_to(path)
    types = {"workload": "as_taken", "flux_residue": str(rendered / "board_type.yaml")}
    for work, board_type in types.items():
        lot = {"schema": 1, "lot": "speed", "board_type": board_type, "pattern": "shots/{board}_{phase}.*"}
        _write(place / f"{work}.yaml", yaml.safe_dump(lot))
    # last: its presence says that all of it is there
    _write(place / "pairs.json", json.dumps(rows))
    return place


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def pair_of(board: str, boards: int) -> int:
    """Which rendered board stands under this name."""
    return int(board.removeprefix("B")) % boards


def largest_difference(found: dict[str, Any], reference: dict[str, Any], boards: int) -> float | None:
    """The largest difference of any reduction that both ways have of the same photographs, points."""
    differences = [
        abs(numbers[name] - against[name])
        for board, numbers in found.items()
        for other, against in reference.items()
        if pair_of(board, boards) == pair_of(other, boards)
        for name in numbers.keys() & against.keys()
        if name.endswith("_reduction_pct")
    ]
    return max(differences, default=None)
