"""The null check: an uncleaned board, photographed twice, must read 0.

Judged in opacity, not in points: on a nearly clean board a thousandth of
opacity is many points of a reduction. On a heavily soiled one, errors of light
grow with the load, so there two points of it are allowed.
"""

from __future__ import annotations

import csv
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from residue_batch.config import BoardType, find
from residue_batch.errors import UsageError
from residue_batch.outcome import detection_of
from residue_batch.trust.reading import OnProgress, Reading, measure, without_number

POINTS = 2.0
"""Of the load, allowed where that is more than the limit of detection."""


@dataclass(frozen=True)
class Repeat:
    """One board that was not cleaned between its shots. Loads are shares of full cover."""

    board: str
    board_type: str
    load_before: float
    load_after: float
    reduction_pct: float | None
    low_pct: float | None
    high_pct: float | None
    tolerance: float
    detectable: bool

    @property
    def difference(self) -> float:
        """After minus before; 0 is right."""
        return self.load_after - self.load_before

    @property
    def passed(self) -> bool:
        return abs(self.difference) <= self.tolerance


@dataclass(frozen=True)
class NullCheck:
    """Every null pair, and those without a number."""

    boards: tuple[Repeat, ...]
    no_number: tuple[Reading, ...]

    @property
    def failed(self) -> tuple[Repeat, ...]:
        return tuple(one for one in self.boards if not one.passed)

    @property
    def mean_difference(self) -> float | None:
        """What all pairs have in common; None without a number."""
        return statistics.fmean(one.difference for one in self.boards) if self.boards else None


def nullcheck(
    what: str | Path,
    before: str | Path | None = None,
    after: str | Path | None = None,
    *,
    tolerance: float | None = None,
    workflow: str | Path = "flux_residue",
    board_type: str | Path | None = None,
    out: str | Path = "runs",
    workers: int | None = None,
    sets: Sequence[str] = (),
    on_progress: OnProgress = None,
) -> NullCheck:
    """Measure uncleaned boards that were photographed twice.

    Parameters
    ----------
    what
        A lot of null pairs; with ``before`` and ``after``, the board type of that one pair.
    tolerance
        Largest difference of the loads; default the limit of detection of the
        board type, or ``POINTS`` per cent of the load where that is more.
    workflow, board_type, out, workers, sets, on_progress
        As for ``run``; one pair is measured in this process and leaves nothing behind.

    Raises
    ------
    ConfigError, UsageError, LockedError, StaleRunError, ClusterError
    """
    if (before is None) != (after is None):
        raise UsageError("a null pair has two photographs: give both")
    if tolerance is not None and not 0 < tolerance < 1:
        raise UsageError(f"the tolerance is a load between 0 and 1, not {tolerance:g}")
    if before is not None and after is not None:
        readings, types = _pair(str(what), Path(before), Path(after), workflow, sets)
    else:
        given = {"board_type": board_type, "out": out, "workers": workers, "sets": sets, "on_progress": on_progress}
        readings, types = measure(what, workflow, **given)
    return NullCheck(
        tuple(_judged(one, types[one.board_type], tolerance) for one in readings if one.measured),
        without_number(readings),
    )


def _pair(
    board_type: str, before: Path, after: Path, workflow: str | Path, sets: Sequence[str]
) -> tuple[list[Reading], Mapping[str, BoardType]]:
    """One pair as a lot of one board, in a folder that is gone afterwards."""
    kind = find(board_type, "board_type").path
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with (folder / "boards.csv").open("w", newline="", encoding="utf-8") as manifest:
            rows = csv.writer(manifest)
            rows.writerow(["board", "phase", "path", "board_type"])
            rows.writerow([before.stem, "before", before.absolute(), kind])
            rows.writerow([before.stem, "after", after.absolute(), kind])
        lot = folder / "lot.yaml"
        lot.write_text("schema: 1\nlot: nullcheck\nmanifest: boards.csv\n", encoding="utf-8")
        return measure(lot, workflow, out=folder, workers=0, sets=sets)


def _judged(reading: Reading, board_type: BoardType, tolerance: float | None) -> Repeat:
    assert reading.load_before is not None
    assert reading.load_after is not None
    lod, _ = detection_of(board_type)
    return Repeat(
        board=reading.board,
        board_type=reading.board_type,
        load_before=reading.load_before,
        load_after=reading.load_after,
        reduction_pct=reading.reduction_pct,
        low_pct=reading.low_pct,
        high_pct=reading.high_pct,
        tolerance=max(lod, POINTS / 100 * reading.load_before) if tolerance is None else tolerance,
        detectable=reading.load_before >= lod,
    )
