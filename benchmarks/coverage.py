"""Do the 95 % measurement intervals hold the truth? On rendered boards, as many as are wanted.

    python -m benchmarks.coverage [--pairs 200] [--json]

Lots of ten boards, each lot a board type of its own with its golden shot, easy,
medium and hard in turn, cleaned, uncleaned and worse boards. The truth is that
of the rendering: parts that shift, highlights that move, a lens. What mirrors
(large bare metal) is ignored by the board types, as by anyone who sets one up:
no interval knows where a lamp will stand.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml

from benchmarks.accuracy import numbers_of
from benchmarks.leaderboard import LEVELS, Row, leaderboard
from residue_batch.api import run
from residue_batch.synthetic import (
    COLOURS,
    DIFFICULTIES,
    Board,
    clean_residue,
    photograph,
    plant_residue,
    render_board,
    write_shot,
)

SHAPE = (750, 1000)
BOARDS = 10
KINDS = ("reduce", "reduce", "reduce", "null", "worse")
SEED = 400
MIRROR_MM2 = 3.0
"""Bare metal from this area on is ignored."""

Boxes = list[list[int]]


def study(
    folder: Path,
    pairs: int = 200,
    shape: tuple[int, int] = SHAPE,
    workers: int = 0,
    on_lot: Callable[[int, int], None] | None = None,
) -> list[Row]:
    """One row per board, as the accuracy benchmark has them; ``folder`` takes lots and runs."""
    rows: list[Row] = []
    for number, first in enumerate(range(0, pairs, BOARDS)):
        if on_lot:
            on_lot(first, pairs)
        level = LEVELS[number % len(LEVELS)]
        place = folder / f"{level}_{number:02}"
        truth = _write_lot(place, number, level, min(BOARDS, pairs - first), shape)
        measured = run(place / "lot.yaml", out=folder / "runs", workers=workers)
        for name, (kind, true_pct) in truth.items():
            head = {"id": f"{place.name}_{name}", "level": level, "kind": kind, "estimator": "golden"}
            rows.append(head | {"truth_pct": true_pct} | numbers_of(measured.sel(board=name)))
    return rows


def _write_lot(
    place: Path, number: int, level: str, boards: int, shape: tuple[int, int]
) -> dict[str, tuple[str, float]]:
    """A lot on disk; kind and true reduction, per cent, of each board."""
    colours = list(COLOURS)
    seed, colour = SEED + number, colours[number % len(colours)]
    clean = render_board(seed, shape, colour)
    write_shot(place / "golden.jpg", photograph(clean, None, seed, "fixed").pixels, 95)
    ignored = [list(box) for box in (clean.label, *clean.bars)] + mirrors(clean)
    x, y, width, height = clean.label
    board_type = {
        "schema": 1,
        "board_type": place.name,
        "reference": "golden",
        "golden": "golden.jpg",
        "outline": {"polygon": [list(point) for point in clean.outline]},
        "white": {"box": [x + 3, y + 3, width - 6, height - 6]},
        "ignore": [{"box": box} for box in ignored],
        # boards that got much worse are asked for here: they are no exchanged phases
        "gates": {"max_increase_pct": 10000},
    }
    (place / "type.yaml").write_text(yaml.safe_dump(board_type, sort_keys=False), encoding="utf-8")
    lot = {"schema": 1, "lot": place.name, "board_type": "./type.yaml", "pattern": "{board}_{phase}.jpg"}
    counted = clean.counted()
    for left, top, wide, high in ignored:
        counted[top : top + high, left : left + wide] = False
    truth = {}
    for index in range(boards):
        rng = np.random.default_rng([seed, index])
        # each lot begins elsewhere, so that kinds and levels meet
        name, kind = f"B{index + 1:02}", KINDS[(number + index) % len(KINDS)]
        board = render_board(seed, shape, colour, index + 1)
        before = plant_residue(board, int(rng.integers(2**31)), float(rng.uniform(0.02, 0.10)))
        after = before
        if kind == "reduce":
            after = clean_residue(board, before, int(rng.integers(2**31)), float(rng.uniform(0.4, 0.99)))
        if kind == "worse":
            new = plant_residue(board, int(rng.integers(2**31)), float(rng.uniform(0.01, 0.03)))
            after = np.asarray(before + new - before * new, np.float32)
        for phase, opacity in (("before", before), ("after", after)):
            shot = photograph(board, opacity, int(rng.integers(2**31)), level)
            write_shot(place / f"{name}_{phase}.jpg", shot.pixels, DIFFICULTIES[level].quality)
        loads = [float(opacity[counted].mean(dtype=np.float64)) for opacity in (before, after)]
        truth[name] = (kind, 100 * (1 - loads[1] / loads[0]))
    # last: without it there is no lot
    (place / "lot.yaml").write_text(yaml.safe_dump(lot, sort_keys=False), encoding="utf-8")
    return truth


def mirrors(board: Board) -> Boxes:
    """Boxes [x, y, width, height] around large bare metal, a little wider than it."""
    _, _, found, _ = cv2.connectedComponentsWithStats(board.metal.astype(np.uint8))
    edge = max(round(0.3 * board.mm), 2)
    return [
        [int(x) - edge, int(y) - edge, int(w) + 2 * edge, int(h) + 2 * edge]
        for x, y, w, h, area in found[1:]
        if area >= MIRROR_MM2 * board.mm**2 and x > edge and y > edge
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=int, default=200, help="how many boards")
    parser.add_argument("--workers", type=int, default=2, help="Dask workers; 0 for none, in this process")
    parser.add_argument("--out", type=Path, help="keep lots and runs here; default a temporary folder")
    parser.add_argument("--json", action="store_true", help="tidy rows as JSON")
    given = parser.parse_args(arguments)
    if given.pairs < 1:
        parser.error("give at least one pair")
    with tempfile.TemporaryDirectory() as temporary:
        rows = study(given.out or Path(temporary), given.pairs, workers=given.workers, on_lot=_tell)
    print(json.dumps({"rows": rows}, indent=1) if given.json else leaderboard(rows, "rendered boards"))
    return 0


def _tell(done: int, of: int) -> None:
    print(f"{done}/{of} boards", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
