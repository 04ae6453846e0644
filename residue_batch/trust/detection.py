"""Limits of blank and of detection of a board type, from clean boards that were photographed twice."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from residue_batch.config import BoardType
from residue_batch.errors import UsageError
from residue_batch.outcome import PAIR_LOD
from residue_batch.statistics.detection import ENOUGH, limit_of_blank, limit_of_detection, repeatability
from residue_batch.trust.reading import OnProgress, Reading, measure, without_number

LEAST = 3
"""Boards without which there is no limit: six readings."""
NOT_CLEAN = 0.01
"""A load that no clean board has: ten times the default limit of detection."""
APART = 6.0
"""A board that lies so many standard deviations above the other blanks is none."""

Pairs = list[tuple[float, float]]


@dataclass(frozen=True)
class Blanks:
    """What blanks say about one board type. Loads are shares of full cover.

    ``lob`` and ``lod`` are None where ``problem`` says why there are none.
    """

    board_type: str
    boards: int
    readings: int
    method: str
    mean: float | None
    sd: float | None
    lowest: float | None
    highest: float | None
    low_boards: int
    low_sd: float | None
    lob: float | None
    lod: float | None
    problem: str
    remedy: str
    notes: tuple[str, ...]
    loads: tuple[Reading, ...]
    no_number: tuple[Reading, ...]

    @property
    def yaml(self) -> str:
        """The line for the board type; empty where there are no limits."""
        if self.lob is None or self.lod is None:
            return ""
        return f"detection: {{lob: {_plain(self.lob)}, lod: {_plain(self.lod)}}}"


def blanks(
    lots: str | Path | Sequence[str | Path],
    *,
    low: Sequence[str | Path] = (),
    workflow: str | Path = "flux_residue",
    board_type: str | Path | None = None,
    out: str | Path = "runs",
    workers: int | None = None,
    sets: Sequence[str] = (),
    on_progress: OnProgress = None,
) -> tuple[Blanks, ...]:
    """Limits of blank and of detection, one result per board type.

    Parameters
    ----------
    lots
        One lot or several, whose boards are clean in both shots.
    low
        Lots of boards with a little residue, not cleaned between their shots;
        without any, the blanks themselves say how readings scatter.
    workflow, board_type, out, workers, sets, on_progress
        As for ``run``.

    Raises
    ------
    ConfigError, UsageError, LockedError, StaleRunError, ClusterError
    """
    named = [lots] if isinstance(lots, str | Path) else list(lots)
    if not named:
        raise UsageError("name a lot whose boards are clean in both shots")
    given = {"board_type": board_type, "out": out, "workers": workers, "sets": sets, "on_progress": on_progress}
    clean, types = _measured(named, workflow, given)
    little, _ = _measured(list(low), workflow, given)
    stray = sorted({one.board_type for one in little} - {one.board_type for one in clean})
    if stray:
        raise UsageError(f"there are low samples of {', '.join(stray)} and no blanks of it")
    return tuple(
        _judged(types[name], [r for r in clean if r.board_type == name], [r for r in little if r.board_type == name])
        for name in sorted({one.board_type for one in clean})
    )


def _measured(
    lots: Sequence[str | Path], workflow: str | Path, given: Mapping[str, Any]
) -> tuple[list[Reading], dict[str, BoardType]]:
    readings: list[Reading] = []
    types: dict[str, BoardType] = {}
    for lot in lots:
        found, kinds = measure(lot, workflow, **given)
        readings += found
        types |= kinds
    return readings, types


def _judged(board_type: BoardType, clean: Sequence[Reading], little: Sequence[Reading]) -> Blanks:
    """The limits of one board type, or why there are none."""
    pairs, low = _pairs(clean), _pairs(little)
    loads = [load for pair in pairs for load in pair]
    problem, remedy = _problem(clean, pairs)
    lob = lod = low_sd = None
    method = ""
    spread = statistics.stdev(loads) if len(loads) > 1 else None
    if not problem and spread is not None:
        blank, method = limit_of_blank(loads, len(pairs))
        # a limit below nothing would call noise residue
        lob = _up(max(blank, 0.0))
        low_sd = repeatability(low) if low else spread
        lod = _up(limit_of_detection(lob, low_sd, len(low) or len(pairs)))
    return Blanks(
        board_type=board_type.board_type,
        boards=len(pairs),
        readings=len(loads),
        method=method,
        mean=statistics.fmean(loads) if loads else None,
        sd=spread,
        lowest=min(loads, default=None),
        highest=max(loads, default=None),
        low_boards=len(low),
        low_sd=low_sd if low else None,
        lob=lob,
        lod=lod,
        problem=problem,
        remedy=remedy,
        notes=tuple(_notes(board_type, loads, lod)) if not problem else (),
        loads=tuple(one for one in clean if one.measured),
        no_number=(*without_number(clean), *without_number(little)),
    )


def _pairs(readings: Sequence[Reading]) -> Pairs:
    return [(r.load_before, r.load_after) for r in readings if r.load_before is not None and r.load_after is not None]


def _problem(clean: Sequence[Reading], pairs: Pairs) -> tuple[str, str]:
    """Why these are no blanks to take limits from, and what to do; empty when they are."""
    if len(pairs) < LEAST:
        found = f"{len(pairs)} of {len(clean)} boards have a number"
        return f"too few blanks: {found}, {LEAST} are needed", (
            f"photograph at least {LEAST} clean boards twice; {ENOUGH // 2} make a percentile"
        )
    again = "clean them again, or take them out of the lot: one soiled board raises the limits of every night"
    soiled = [r.board for r in clean if r.measured and max(r.load_before or 0, r.load_after or 0) > NOT_CLEAN]
    if soiled:
        return f"not clean: {_named(soiled)} read more than {NOT_CLEAN:.0%} of full cover", again
    below = [r.board for r in clean if r.measured and min(r.load_before or 0, r.load_after or 0) < -NOT_CLEAN]
    if below:
        return (
            f"{_named(below)} read cleaner than the clean reference, by more than {NOT_CLEAN:.0%} of full cover",
            "look at the golden shot: it may carry residue, or be lit from another side",
        )
    middle = [statistics.fmean(pair) for pair in pairs]
    centre = statistics.median(middle)
    scatter = 1.4826 * statistics.median(abs(m - centre) for m in middle)
    # both shots of a soiled board agree; the light of one shot concerns one shot
    reach = APART * max(scatter, repeatability(pairs), 1e-5)
    apart = [r.board for r in clean if r.measured and min(r.load_before or 0, r.load_after or 0) - centre > reach]
    if apart:
        return f"not clean: {_named(apart)} read far above the other blanks, in both shots", again
    return "", ""


def _named(boards: Sequence[str]) -> str:
    return ", ".join(boards[:5]) + (f" and {len(boards) - 5} more" if len(boards) > 5 else "")


def _notes(board_type: BoardType, loads: Sequence[float], lod: float | None) -> Iterator[str]:
    if len(loads) < ENOUGH:
        yield (
            f"{len(loads)} readings: the limit of blank is mean + 1.645 sd, corrected for so few; with {ENOUGH} "
            f"({ENOUGH // 2} boards) it is their 95th percentile"
        )
    mean, error = statistics.fmean(loads), statistics.stdev(loads) / math.sqrt(len(loads))
    if mean < -3 * error:
        yield (
            f"blanks read {-mean:.2g} below nothing on average: the golden shot may carry a faint haze, and faint "
            "residue is under-read by as much"
        )
    if board_type.reference == "pair" and lod is not None and lod < PAIR_LOD:
        yield f"without a clean reference the limit of detection is {PAIR_LOD:g} at least: these limits have no effect"


def _up(value: float) -> float:
    """Rounded up to three digits: a limit is never better than measured."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / step - 1e-9) * step:.3g}")


def _plain(value: float) -> str:
    """Digits without an exponent: people read limits side by side."""
    return f"{value:.12f}".rstrip("0").rstrip(".")
