"""A folder of photographed pairs of known truth, and the lot that an operator would make of it.

One folder per pair: ``before.*``, ``after.*``, ``golden.*`` and ``truth.json``.
Of the truth only what an operator draws reaches the product: the outline of the
board and its white label, carried into the golden shot where that is the frame.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from residue_batch.config.scanning import IMAGES

Points = NDArray[np.float64]
Corners = list[list[float]]

PRODUCT = ("golden", "lot", "pair")
"""The product's estimators: where the clean colour comes from."""
NEEDED = ("level", "kind", "shape", "roi_polygon_frac", "true_load_reduction_pct")
"""Keys without which a truth.json says nothing."""
_NUMBERED = re.compile(r"[^_]*_?\d+_(.+)")


class UnusablePairsError(ValueError):
    """Folders that look like pairs and cannot be used: one line each."""


@dataclass(frozen=True)
class Pair:
    """One pair: its photographs (``golden`` may be missing) and its truth."""

    folder: Path
    before: Path
    after: Path
    golden: Path | None
    truth: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.truth.get("id", self.folder.name))

    @property
    def level(self) -> str:
        return str(self.truth["level"])

    @property
    def kind(self) -> str:
        return str(self.truth["kind"])

    @property
    def reduction_pct(self) -> float | None:
        """The true reduction of the load; None where there was nothing to reduce."""
        value = self.truth["true_load_reduction_pct"]
        return None if value is None else float(value)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the before-shot."""
        height, width = self.truth["shape"][:2]
        return int(height), int(width)

    @property
    def outline(self) -> Points:
        """Corners of the board, [x, y] px of the before-shot."""
        # 0 and 1 are the picture's edges, half a pixel beyond the outermost centres
        return np.array(self.truth["roi_polygon_frac"], np.float64) * self.shape[::-1] - 0.5

    @property
    def label(self) -> Points | None:
        """Corners of the white label, [x, y] px of the before-shot."""
        if not self.truth.get("white_zone_xywh"):
            return None
        x, y, width, height = (float(v) for v in self.truth["white_zone_xywh"])
        corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]
        return np.array(corners, np.float64) - 0.5


def read_pairs(folder: Path, only: Sequence[str] = ()) -> list[Pair]:
    """Every pair of a folder, sorted by name; ``only`` selects by name.

    Raises
    ------
    UnusablePairsError
        With everything that is wrong: no pair at all, a name that is not there,
        a pair whose truth or photographs cannot be used.
    """
    if not folder.is_dir():
        raise UnusablePairsError(f"{folder} is not a folder")
    # a truth without any photograph is something else's
    places = [path.parent for path in sorted(folder.glob("*/truth.json")) if any(_shots(path.parent)[:2])]
    if not places:
        raise UnusablePairsError(f"{folder} holds no pair: a folder with before.*, after.* and truth.json")
    missing = sorted(set(only) - {place.name for place in places})
    problems = [f"{folder} has no pair {name}" for name in missing]
    found = []
    for place in places:
        if only and place.name not in only:
            continue
        try:
            found.append(_read(place))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    names = [pair.id for pair in found]
    problems += [f"{folder}: two pairs are called {name}" for name in sorted({n for n in names if names.count(n) > 1})]
    if problems:
        raise UnusablePairsError("\n".join(problems))
    return found


def _read(place: Path) -> Pair:
    """One pair; ValueError says what is wrong with it."""
    truth = json.loads((place / "truth.json").read_text(encoding="utf-8"))
    if not isinstance(truth, dict):
        raise ValueError("truth.json is no map of keys")  # noqa: TRY004  a wrong file, not a wrong call
    before, after, golden = _shots(place)
    if before is None or after is None:
        raise ValueError(f"there is no photograph {'before' if before is None else 'after'}.*")
    needed = (*NEEDED, "H_before_to_golden") if golden else NEEDED
    if lacking := [key for key in needed if key not in truth]:
        raise ValueError(f"truth.json has no {', '.join(lacking)}")
    pair = Pair(place, before, after, golden, truth)
    try:
        _ = pair.reduction_pct, pair.outline, pair.label
        if golden:
            _in_golden(pair)(pair.outline)
    except (TypeError, ValueError) as error:
        raise ValueError(f"truth.json cannot be used: {error}") from None
    return pair


def _shots(place: Path) -> tuple[Path | None, Path | None, Path | None]:
    return _image(place, "before"), _image(place, "after"), _image(place, "golden")


def kind_of_board(pair: Pair) -> str:
    """The board type of a pair out of a lot: what its folder's name has after the number."""
    name = pair.folder.name
    found = _NUMBERED.fullmatch(name)
    return found[1] if found else name.rpartition("_")[2]


def _image(folder: Path, name: str) -> Path | None:
    return next((p for p in sorted(folder.glob(f"{name}.*")) if p.suffix.lower() in IMAGES), None)


def board_of(pair: Pair) -> NDArray[np.bool_]:
    """The board without its label in the before-shot, as a mask; for counting by hand."""
    mask = np.zeros(pair.shape, np.uint8)
    cv2.fillPoly(mask, [np.rint(pair.outline).astype(np.int32)], 1)
    if pair.label is not None:
        cv2.fillPoly(mask, [np.rint(pair.label).astype(np.int32)], 0)
    return mask.astype(np.bool_)


# laying out ----------------------------------------------------------------------


def lay_out(pairs: Sequence[Pair], estimator: str, folder: Path) -> Path | None:
    """Write a lot of these pairs for one of the product's estimators: board types, manifest and lot.

    With ``golden`` and ``pair`` each pair is a board type of its own; with
    ``lot`` all of them are boards of one type, whose frame is the first
    board's before-shot.

    Returns
    -------
    The lot's file; None when no pair has what the estimator needs.
    """
    able = [pair for pair in pairs if estimator != "golden" or pair.golden]
    if not able:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "boards.csv").open("w", newline="", encoding="utf-8") as manifest:
        rows = csv.writer(manifest)
        rows.writerow(["board", "phase", "path", "board_type"])
        for pair in able:
            document = _of_lot(able[0]) if estimator == "lot" else _board_type(pair, estimator)
            board_type = folder.absolute() / f"{document['board_type']}.yaml"
            board_type.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
            for phase, shot in (("before", pair.before), ("after", pair.after)):
                rows.writerow([pair.id, phase, shot.absolute(), board_type])
    lot = folder / "lot.yaml"
    document = {"schema": 1, "lot": f"pairs_{estimator}", "manifest": "boards.csv"}
    lot.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return lot


def _of_lot(first: Pair) -> dict[str, Any]:
    """The board type of a whole lot: nobody has seen a clean board; drawn on the first board before cleaning."""
    head = {"schema": 1, "board_type": kind_of_board(first), "reference": "lot"}
    return head | {"frame": str(first.before.absolute())} | _drawn(first, lambda points: points)


def _board_type(pair: Pair, estimator: str) -> dict[str, Any]:
    """The board type of one pair, as YAML."""
    head = {"schema": 1, "board_type": pair.id, "reference": estimator}
    if estimator == "golden":
        return head | {"golden": str((pair.golden or Path()).absolute())} | _drawn(pair, _in_golden(pair))
    size = np.array(pair.shape[::-1], np.float64)
    return head | {"units": "fraction"} | _drawn(pair, lambda points: (points + 0.5) / size)


def _in_golden(pair: Pair) -> Callable[[Points], Points]:
    """From pixels of the before-shot to pixels of the golden shot."""
    matrix = np.array(pair.truth["H_before_to_golden"], np.float64).reshape(3, 3)

    def carried(points: Points) -> Points:
        moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
        return np.asarray(moved[:, :2] / moved[:, 2:])

    return carried


def _drawn(pair: Pair, place: Callable[[Points], Points]) -> dict[str, Any]:
    """What an operator draws: the outline and the white label."""
    drawn = {"outline": {"polygon": _rounded(place(pair.outline))}}
    if pair.label is not None:
        drawn["white"] = {"polygon": _rounded(place(pair.label))}
    return drawn


def _rounded(points: Points) -> Corners:
    return [[round(float(x), 6), round(float(y), 6)] for x, y in points]
