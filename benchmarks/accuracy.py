"""Accuracy of the load reduction on pairs of known truth.

    python -m benchmarks.accuracy --pairs DIR [--json]

Lays out one lot of all pairs, each once with its golden shot and once from the
two shots alone, runs it on a local cluster as a user would, and compares with
the truth and with what is done by hand (``naive``). Points are percentage points.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.naive import NAIVE, Grey, Naive
from benchmarks.pairs import PRODUCT, Pair, board_of, lay_out, read_pairs
from residue_batch import photo
from residue_batch.api import run

Row = dict[str, Any]
LEVELS = ("easy", "medium", "hard")


def measure(
    pairs: Sequence[Pair],
    folder: Path,
    workflow: str = "flux_residue",
    workers: int = 2,
    on_progress: Callable[[Any], None] | None = None,
) -> list[Row]:
    """One row per pair and estimator; ``folder`` takes the lot and the run."""
    found: dict[tuple[str, str], Any] = {}
    for estimator in PRODUCT:
        lot = lay_out(pairs, estimator, folder / estimator)
        if lot:
            measured = run(lot, workflow, out=folder / "runs", workers=workers, on_progress=on_progress)
            found |= {(str(board), estimator): measured.sel(board=board) for board in measured["board"].values}
    rows = []
    for pair in pairs:
        rows += [_row(pair, name) | _product(found.get((pair.id, name))) for name in PRODUCT]
        grey = [_grey(path) for path in (pair.before, pair.after)]
        rows += [_row(pair, name) | _by_hand(naive, grey, pair) for name, naive in NAIVE.items()]
    return rows


def _row(pair: Pair, estimator: str) -> Row:
    nothing = dict.fromkeys(("estimate_pct", "low_pct", "high_pct", "load_before"))
    head = {"id": pair.id, "level": pair.level, "kind": pair.kind, "estimator": estimator}
    return head | {"truth_pct": pair.reduction_pct} | nothing | {"status": "no_golden_shot"}


def _product(board: Any) -> Row:
    """The numbers of a board, as they stand in the lot's dataset."""
    if board is None:
        return {}
    if _meaning(board["outcome"]) == "refused":
        return {"status": f"refused: {board['reason'].item()}"}
    whole = board.sel(region="whole")
    reduction = "load_reduction_pct"
    return {
        "estimate_pct": _number(whole[reduction]),
        "low_pct": _number(whole[f"{reduction}_low"]),
        "high_pct": _number(whole[f"{reduction}_high"]),
        "load_before": _number(whole["load"].sel(phase="before")),
        "status": _meaning(whole["status"]),
    }


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _meaning(code: Any) -> str:
    """The word of a code, by the attributes that CF prescribes."""
    words = str(code.attrs["flag_meanings"]).split()
    values = np.atleast_1d(code.attrs["flag_values"]).tolist()
    return str(words[values.index(int(code))])


def _grey(path: Path) -> Grey:
    pixels = photo.read(path).pixels
    code = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(code, cv2.COLOR_RGB2GRAY) if code.shape[2] == 3 else code[:, :, 0], np.uint8)


def _by_hand(naive: Naive, grey: Sequence[Grey], pair: Pair) -> Row:
    board = board_of(pair)
    same_size = [shot if shot.shape == board.shape else cv2.resize(shot, board.shape[::-1]) for shot in grey]
    before, after = naive(np.asarray(same_size[0], np.uint8), np.asarray(same_size[1], np.uint8), board)
    estimate = 100 * (1 - after / before) if before > 0 else None
    status = "measured" if before > 0 else "nothing_found"
    return {"estimate_pct": estimate, "load_before": before, "status": status}


# the table -------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """Readable: errors by level and estimator, then the pairs that are no ordinary reductions."""
    estimators = [*PRODUCT, *NAIVE]
    lines = ["load reduction, percentage points of error (kind: reduce)", ""]
    lines += [
        f"{'level':8}{'estimator':18}{'n':>4}{'no number':>11}{'mean abs':>10}{'bias':>8}{'worst':>8}  worst pair"
    ]
    reduce = [row for row in rows if row["kind"] == "reduce"]
    for level in _levels(reduce):
        lines += [_summary(level, name, _chosen(reduce, level, name)) for name in estimators]
    lines += ["", "every pair: true, and estimated by each", ""]
    lines += [f"{'pair':26}{'true':>8}" + "".join(f"{name:>17}" for name in estimators)]
    for kind in sorted({row["kind"] for row in rows}, key=lambda k: (k == "reduce", k)):
        for pair in dict.fromkeys(row["id"] for row in rows if row["kind"] == kind):
            mine = {row["estimator"]: row for row in rows if row["id"] == pair}
            cells = "".join(f"{_cell(mine[name]):>17}" for name in estimators)
            lines.append(f"{pair:26}{_points(next(iter(mine.values()))['truth_pct']):>8}{cells}")
    odd = [row for row in rows if row["status"] not in ("measured", "after_below_lob") and row["estimator"] in PRODUCT]
    lines += ["", "product, other than measured:"]
    lines += [f"  {row['id']:26}{row['estimator']:8}{row['status']}, load before {_load(row)}" for row in odd]
    return "\n".join(lines)


def _levels(rows: Iterable[Row]) -> list[str]:
    return sorted({row["level"] for row in rows}, key=lambda v: (LEVELS.index(v) if v in LEVELS else 99, v))


def _chosen(rows: Iterable[Row], level: str, estimator: str) -> list[Row]:
    return [row for row in rows if row["level"] == level and row["estimator"] == estimator]


def _summary(level: str, estimator: str, rows: Sequence[Row]) -> str:
    errors = {
        row["id"]: row["estimate_pct"] - row["truth_pct"]
        for row in rows
        if row["estimate_pct"] is not None and row["truth_pct"] is not None
    }
    head = f"{level:8}{estimator:18}{len(errors):4}{len(rows) - len(errors):11}"
    if not errors:
        return head
    size = statistics.fmean(abs(e) for e in errors.values())
    worst = max(errors, key=lambda name: abs(errors[name]))
    return f"{head}{size:10.2f}{statistics.fmean(errors.values()):8.2f}{errors[worst]:8.2f}  {worst}"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cell(row: Row) -> str:
    return row["status"].removeprefix("refused: ")[:16] if row["estimate_pct"] is None else _points(row["estimate_pct"])


def _load(row: Row) -> str:
    return "-" if row["load_before"] is None else f"{row['load_before']:.5f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True, metavar="DIR", help="a folder with one folder per pair")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="these pairs only")
    parser.add_argument("--workflow", default="flux_residue", help="a name or a path")
    parser.add_argument("--workers", type=int, default=2, help="Dask workers; 0 for none, in this process")
    parser.add_argument("--out", type=Path, help="keep the lot and the run here; default a temporary folder")
    parser.add_argument("--json", action="store_true", help="tidy rows as JSON")
    given = parser.parse_args(arguments)
    pairs = read_pairs(given.pairs, given.only)
    if not pairs:
        parser.error(f"{given.pairs} holds no pair: a folder with before.*, after.* and truth.json")
    with tempfile.TemporaryDirectory() as temporary:
        rows = measure(pairs, given.out or Path(temporary), given.workflow, given.workers, _tell)
    print(json.dumps({"rows": rows}, indent=1) if given.json else table(rows))
    return 0


def _tell(progress: Any) -> None:
    if progress.board:
        print(f"{progress.done}/{progress.total} {progress.board} {progress.outcome}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
