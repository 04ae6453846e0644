"""Accuracy of the load reduction on pairs of known truth, for every estimator a user might pick.

    python -m benchmarks.accuracy --pairs DIR --lot DIR [--json]

``--pairs``: single pairs of any board types, each measured with its golden shot
and from the two shots alone. ``--lot``: pairs that make lots, told apart by the
end of the folder name (``lot_01_TYPE``), measured also with the reference that
is built from the lot. All are run on a local cluster as a user would, and
compared with the truth and with what is done by hand (``naive``). Points are
percentage points.

Ends with 0 when everything was measured or refused, with 1 when the product
could not run an estimator (its rows say why), with 2 when a folder cannot be used.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.leaderboard import Row, leaderboard
from benchmarks.naive import NAIVE, Grey, Naive
from benchmarks.pairs import PRODUCT, Pair, UnusablePairsError, board_of, kind_of_board, lay_out, read_pairs
from residue_batch import photo
from residue_batch.api import run
from residue_batch.errors import ConfigError, Refusal, ResidueError

ALONE = tuple(name for name in PRODUCT if name != "lot")
"""What can be measured where there is no lot."""
FAILED = "failed: "


def measure(
    pairs: Sequence[Pair],
    folder: Path,
    workflow: str = "flux_residue",
    workers: int = 2,
    on_progress: Callable[[Any], None] | None = None,
    *,
    lots: bool = False,
) -> list[Row]:
    """One row per pair and estimator; ``folder`` takes the lots and the runs.

    With ``lots`` the pairs are boards of lots, one lot per board type.
    """
    estimators = PRODUCT if lots else ALONE
    groups = {name: {name: list(pairs)} for name in ALONE}
    if lots:
        kinds = sorted({kind_of_board(pair) for pair in pairs})
        groups["lot"] = {f"lot_{kind}": [p for p in pairs if kind_of_board(p) == kind] for kind in kinds}
    found: dict[tuple[str, str], Row] = {}
    for estimator in estimators:
        for place, members in groups[estimator].items():
            numbers = _measured(members, estimator, folder, place, workflow, workers, on_progress)
            found |= {(board, estimator): row for board, row in numbers.items()}
    rows = []
    for pair in pairs:
        rows += [_row(pair, name) | found.get((pair.id, name), {}) for name in estimators]
        rows += _all_by_hand(pair)
    return rows


def _measured(
    pairs: Sequence[Pair],
    estimator: str,
    folder: Path,
    place: str,
    workflow: str,
    workers: int,
    on_progress: Callable[[Any], None] | None,
) -> Mapping[str, Row]:
    """The numbers of each board by one estimator; a reason in all of them where the product cannot run it."""
    lot = lay_out(pairs, estimator, folder / place)
    if lot is None:
        return {}
    try:
        measured = run(lot, workflow, out=folder / "runs", workers=workers, on_progress=on_progress)
    except ResidueError as error:
        if estimator in ALONE and len(pairs) > 1:
            # one golden shot that cannot be used must not cost the others their numbers
            rest = (workflow, workers, on_progress)
            alone = [_measured([pair], estimator, folder / place, pair.id, *rest) for pair in pairs]
            return {board: row for part in alone for board, row in part.items()}
        print(f"error: no number by '{estimator}' for {', '.join(pair.id for pair in pairs)}: {error}", file=sys.stderr)
        # without file and line: those are of a folder that is gone
        why = error.problems[0].message if isinstance(error, ConfigError) else str(error)
        return {pair.id: {"status": FAILED + why.partition("\n")[0]} for pair in pairs}
    return {str(board): numbers_of(measured.sel(board=board)) for board in measured["board"].values}


def _row(pair: Pair, estimator: str) -> Row:
    nothing = dict.fromkeys(("estimate_pct", "low_pct", "high_pct", "load_before"))
    head = {"id": pair.id, "level": pair.level, "kind": pair.kind, "estimator": estimator}
    return head | {"truth_pct": pair.reduction_pct} | nothing | {"status": "no_golden_shot"}


def numbers_of(board: Any) -> Row:
    """The numbers of a board, as they stand in the lot's dataset."""
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
    pixels = photo.read(path, tone="srgb", any_profile=True).pixels
    code = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return np.asarray(cv2.cvtColor(code, cv2.COLOR_RGB2GRAY) if code.shape[2] == 3 else code[:, :, 0], np.uint8)


def _all_by_hand(pair: Pair) -> list[Row]:
    try:
        grey = [_grey(path) for path in (pair.before, pair.after)]
    except Refusal as error:
        return [_row(pair, name) | {"status": f"refused: {error.reason}"} for name in NAIVE]
    return [_row(pair, name) | _by_hand(naive, grey, pair) for name, naive in NAIVE.items()]


def _by_hand(naive: Naive, grey: Sequence[Grey], pair: Pair) -> Row:
    board = board_of(pair)
    same_size = [shot if shot.shape == board.shape else cv2.resize(shot, board.shape[::-1]) for shot in grey]
    before, after = naive(np.asarray(same_size[0], np.uint8), np.asarray(same_size[1], np.uint8), board)
    estimate = 100 * (1 - after / before) if before > 0 else None
    status = "measured" if before > 0 else "nothing_found"
    return {"estimate_pct": estimate, "load_before": before, "status": status}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__, formatter_class=form)
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="a folder with one folder per pair")
    parser.add_argument("--lot", type=Path, metavar="DIR", help="a folder with one folder per board of a lot")
    parser.add_argument("--only", nargs="*", default=(), metavar="NAME", help="these pairs only (of --pairs)")
    parser.add_argument("--workflow", default="flux_residue", help="a name or a path")
    parser.add_argument("--workers", type=int, default=2, help="Dask workers; 0 for none, in this process")
    parser.add_argument("--out", type=Path, help="keep the lots and the runs here; default a temporary folder")
    parser.add_argument("--json", action="store_true", help="tidy rows as JSON")
    given = parser.parse_args(arguments)
    if given.pairs is None and given.lot is None:
        parser.error("give --pairs, --lot or both")
    try:
        pairs = read_pairs(given.pairs, given.only) if given.pairs else []
        boards = read_pairs(given.lot) if given.lot else []
    except UnusablePairsError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as temporary:
        out = given.out or Path(temporary)
        alone = measure(pairs, out / "pairs", given.workflow, given.workers, _tell) if pairs else []
        lots = measure(boards, out / "lot", given.workflow, given.workers, _tell, lots=True) if boards else []
    if given.json:
        print(json.dumps({"rows": alone + lots}, indent=1))
    else:
        parts = [leaderboard(rows, title) for title, rows in (("pairs", alone), ("lots", lots)) if rows]
        print("\n\n\n".join(parts))
    return 1 if any(row["status"].startswith(FAILED) for row in alone + lots) else 0


def _tell(progress: Any) -> None:
    if progress.board:
        print(f"{progress.done}/{progress.total} {progress.board} {progress.outcome}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
