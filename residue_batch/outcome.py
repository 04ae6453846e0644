"""From a board's merged tally to its record: values, status and flags, or a refusal.

A record is plain JSON and holds only what its key determines: no time, host or
attempt. Numbers that do not exist are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, NamedTuple

from residue_batch.config import BoardType, Gates
from residue_batch.errors import Refusal, ResidueError
from residue_batch.evidence import BLOCK
from residue_batch.gates import Clock, gate_change, gate_match
from residue_batch.intervals import Limits, intervals_of
from residue_batch.matching.light import Light
from residue_batch.matching.quality import Quality
from residue_batch.matching.registration import Registration
from residue_batch.program import AFTER, BEFORE, PHASES, Measured, Program, load_measure
from residue_batch.tally import Tally, select
from residue_batch.variables import reductions_of

Record = dict[str, Any]

INTERNAL_ERROR, WORKER_LOST = "internal_error", "worker_lost"
MEASURED, REFUSED = "measured", "refused"
STATUSES = ("measured", "refused", "unseen", "increase", "before_below_lod", "after_below_lob")
FLAGS = (
    "indicative",
    "white_assumed",
    "film_confounded",
    "few_blocks",
    "below_zero",
    "tau_below_noise",
    "not_estimated",
    "phases_may_be_exchanged",
)
CLOCK = "by the camera's clock the after shot was taken first: the two phases may be exchanged"
INCREASE = "more residue after than before: either the board got worse, or the two phases are exchanged"
COMPARE = "look at both photographs; if their file names are exchanged, correct them and run again"
PAIR_LOD = 5e-3
"""Limit of detection without a clean reference: what the light match of two soiled shots leaves open."""
FEW_BLOCKS = 20
NOISE_FACTOR = 3.0


def refused(board: str, lot: str, board_type: str, key: str, error: Refusal) -> Record:
    """The record of a board without a number."""
    return {
        "key": key,
        "board": board,
        "lot": lot,
        "board_type": board_type,
        "outcome": REFUSED,
        "reason": error.reason,
        "message": error.message,
        "remedy": error.remedy,
    }


def conclude(board: Any, scene: Any, tally: Tally, tiles: int, clock: Clock = "") -> Record:
    """The record of a measured board.

    Parameters
    ----------
    board, scene
        ``board.Board`` after its last pass and its ``scene.Scene``.
    tally
        Merged over all tiles.
    tiles
        How many there must be.
    clock
        Which shot was taken first, by the camera's clock.

    Raises
    ------
    Refusal
        ``low_observable``: too little of the outline can be seen in both shots; ``swapped``: far more residue after
        cleaning than before.
    ResidueError
        If a tile is missing behind the numbers.
    """
    counted = int(tally.get("tiles", 0))
    if counted != tiles:
        raise ResidueError(f"board {board.name}: {counted} of {tiles} tiles are accounted for; no number is published")
    setting = board.setting
    program: Program = setting.program
    gates: Gates = setting.board_type.gates
    observable = [_share(tally, index) for index in range(len(scene.regions))]
    if observable[0] < gates.min_observable_pct:
        raise Refusal(
            "low_observable",
            f"{observable[0]:.0f} % of the outline can be seen in both shots (gate {gates.min_observable_pct:g} %)",
            "reduce glare, or photograph the whole board",
        )
    values: dict[str, Any] = {}
    for measured in program.measures:
        values |= _values(measured, tally, len(scene.regions))
    primary = load_measure(program)
    # without a clean reference a load says nothing of the residue that both shots show, and so nothing of how often
    # one is in the other: a board that got worse by a third reads as six times as dirty. There only the clock counts
    if primary is not None and primary.phases == PHASES and (program.reference != "pair" or clock == "reversed"):
        before, after = (phase[0] for phase in values[primary.key])
        gate_change(gates, before, after, detection_of(setting.board_type)[0], clock_reversed=clock == "reversed")
    found = intervals_of(board, scene, tally, values, observable)
    limits = [_limits_of(setting.board_type, own) for own in found.limits or [None] * len(observable)]
    values |= found.values
    status, bound = _statuses(program, values, limits, observable)
    _withhold(program, values, [not _reducible(program, values, limits[index], index) for index in range(len(status))])
    _withhold_shares(program, values, limits)
    if bound is not None:
        values["load_reduction_at_least_pct"] = bound
        values["load_lod"] = [list(phase) for phase in zip(*(limit.detection for limit in limits), strict=True)]
    exchanged = clock == "reversed" or (status[0] == "increase" and not clock)
    flags = [
        _flags(board, scene, values, limits[index], int(tally.get(f"observable/{index}", 0)), index)
        + ["phases_may_be_exchanged"] * exchanged
        for index in range(len(scene.regions))
    ]
    return {
        "key": board.key,
        "board": board.name,
        "lot": board.lot,
        "board_type": setting.board_type.board_type,
        "outcome": MEASURED,
        "reason": "",
        "message": (CLOCK if clock else INCREASE) if exchanged else "",
        "remedy": COMPARE if exchanged else "",
        "shots": {p: {"sha256": board.shots[p].sha256, "shape": list(board.shapes[p])} for p in PHASES},
        "match": {
            p: _quality(board.matches[p]) | {"light_error": _rounded(found.light_error.get(p, math.nan))}
            for p in PHASES
        },
        "regions": list(scene.regions),
        "observable_pct": [_rounded(v) for v in observable],
        "observable_px": [int(tally.get(f"observable/{i}", 0)) for i in range(len(scene.regions))],
        "values": {name: _rounded(value) for name, value in values.items()},
        "status": status,
        "flags": flags,
    }


def _share(tally: Tally, index: int) -> float:
    pixels = int(tally.get(f"pixels/{index}", 0))
    return 100 * int(tally.get(f"observable/{index}", 0)) / pixels if pixels else 0.0


def _quality(match: Any) -> dict[str, Any]:
    found: Registration | None = match.registration
    shot: Quality | None = match.quality
    quality = {k: v for k, v in asdict(found).items() if k != "transform"} if found else {}
    taken = asdict(shot) if shot else {}
    light = light_quality(match.light) if match.light else dict.fromkeys(LIGHT_QUALITY, math.nan)
    return {k: _rounded(v) for k, v in {**quality, **taken, **light}.items()}


LIGHT_QUALITY = ("gain", "film", "light_residual", "light_share")


def light_quality(light: Light) -> dict[str, Any]:
    """The numbers of a light match that are reported."""
    values = (list(light.gain), light.film, light.residual, light.share)
    return dict(zip(LIGHT_QUALITY, values, strict=True))


def _rounded(value: Any) -> Any:
    """Floats to 12 significant digits, NaN to null: the same text from every executor."""
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.12g}") if math.isfinite(value) else None
    return value


def _values(measured: Measured, tally: Tally, regions: int) -> dict[str, Any]:
    """Every output of a measure: ``[phase][region]`` (phases only where it has them), and reductions."""
    count = regions if measured.by_region else 1
    own = select(tally, measured.key)
    by_phase = {
        phase: [_finalized(measured, select(own, f"{phase}/{index}")) for index in range(count)]
        for phase in measured.phases
    }
    values: dict[str, Any] = {}
    for output in measured.outputs:
        table = [[number[output.name] for number in by_phase[phase]] for phase in measured.phases]
        name = measured.variable(output)
        values[name] = table if measured.phases[0] else table[0]
        if output.reducible and measured.phases == PHASES:
            values[f"{name}_reduction_pct"] = [_reduction(b, a) for b, a in zip(*table, strict=True)]
    return values


def _finalized(measured: Measured, tally: Tally) -> Mapping[str, Any]:
    if tally:
        return measured.measure.finalize(tally)
    parameters = dict(measured.measure.parameters)
    return {o.name: [math.nan] * len(parameters[o.dim]) if o.dim else math.nan for o in measured.outputs}


def _reduction(before: Any, after: Any) -> Any:
    """100 (1 - after / before); NaN where there was nothing before."""
    if isinstance(before, list | tuple):
        return [_reduction(b, a) for b, a in zip(before, after, strict=True)]
    return 100 * (1 - after / before) if before > 0 else math.nan


def detection_of(board_type: BoardType) -> tuple[float, float]:
    """(limit of detection, limit of blank) of a board type, as loads.

    Without a clean reference the former is at least ``PAIR_LOD``.
    """
    lod, lob = board_type.detection.lod, board_type.detection.lob
    if board_type.reference == "pair":
        lod, lob = max(lod, PAIR_LOD), max(lob, PAIR_LOD / 2)
    return lod, lob


class _Limits(NamedTuple):
    """Limits of a region's loads, before and after: of its board type, or of its own budget where that is worse."""

    blank: tuple[float, float]
    detection: tuple[float, float]
    change: tuple[float, float] | None
    """95 % interval of load after - load before; None without a budget."""
    before_low: float


def _limits_of(board_type: BoardType, own: Limits | None) -> _Limits:
    lod, lob = detection_of(board_type)
    if own is None:
        return _Limits((lob, lob), (lod, lod), None, math.nan)
    blank, detection = own.blank, own.detection
    return _Limits(
        (max(lob, blank[0]), max(lob, blank[1])),
        (max(lod, detection[0]), max(lod, detection[1])),
        own.change,
        own.before[0],
    )


def _statuses(
    program: Program, values: Mapping[str, Any], limits: list[_Limits], observable: list[float]
) -> tuple[list[str], list[float] | None]:
    """One status per region, by fixed precedence, and the censored bound of the reduction.

    `increase` comes first: a board that was clean before and is not any more would hide behind `before_below_lod`.
    """
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES:
        return ["measured" if share > 0 else "unseen" for share in observable], None
    status: list[str] = []
    bound = []
    # a load of the whole board says nothing of its other regions
    loads = zip_longest(*values[primary.key], limits, observable)
    for before, after, own, share in loads:
        if before is None:
            status.append("measured" if share > 0 else "unseen")
            bound.append(math.nan)
            continue
        least = math.nan
        # without a budget, or without a clean reference, a change counts when it can be detected: the interval of the
        # latter is that of what both shots hide
        known = None if program.reference == "pair" else own.change
        rises = after - before > own.detection[1] if known is None else known[0] > 0
        if math.isnan(before) or math.isnan(after):
            status.append("unseen")
        elif rises:
            status.append("increase")
        elif before < own.detection[0]:
            status.append("before_below_lod")
        elif after < own.blank[1]:
            status.append("after_below_lob")
            low = before if math.isnan(own.before_low) else own.before_low
            # a zero that lies below the limit of detection bounds nothing
            least = 100 * (1 - own.detection[1] / low) if after > -own.detection[1] and low > 0 else math.nan
        else:
            status.append("measured")
        bound.append(least)
    return status, bound


def _withhold(program: Program, values: dict[str, Any], hide: list[bool]) -> None:
    """No reduction, and no interval of one, where there was nothing to reduce."""
    for name in set(reductions_of(program.measures)) & values.keys():
        # what is given of the whole board has one region
        values[name] = [_nothing(value) if hidden else value for value, hidden in zip(values[name], hide, strict=False)]


def _withhold_shares(program: Program, values: dict[str, Any], limits: list[_Limits]) -> None:
    """No share of a load that cannot be detected."""
    primary = load_measure(program)
    name = f"{primary.key}_under_glare_pct" if primary else ""
    if primary is None or name not in values:
        return
    values[name] = [
        [share if load >= own.detection[phase] else math.nan for share, load, own in zip(*row, limits, strict=False)]
        for phase, row in enumerate(zip(values[name], values[primary.key], strict=True))
    ]


def _reducible(program: Program, values: Mapping[str, Any], limits: _Limits, index: int) -> bool:
    """Whether there was enough before cleaning to speak of a reduction."""
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES or len(values[primary.key][0]) <= index:
        return True
    before, after = (phase[index] for phase in values[primary.key])
    lod = limits.detection[0]
    # without a clean reference an increase is known only as a difference: what was there before is not
    unknown = program.reference == "pair" and after - before > lod
    return bool(before >= lod) and not unknown


def _nothing(value: Any) -> Any:
    return [math.nan] * len(value) if isinstance(value, list) else math.nan


def _flags(
    board: Any, scene: Any, values: Mapping[str, Any], limits: _Limits, observable_px: int, index: int
) -> list[str]:
    light, program = [board.matches[p].light for p in PHASES], board.setting.program
    found = {
        "indicative": program.reference == "pair",
        "white_assumed": scene.white_assumed,
        "film_confounded": any(one and one.film_confounded for one in light),
        "few_blocks": observable_px < FEW_BLOCKS * BLOCK**2,
        "below_zero": _below_zero(program, values, limits, index),
        "tau_below_noise": _tau_below_noise(program, values, index),
        "not_estimated": limits.change is None,
    }
    return [name for name, is_so in found.items() if is_so]


def _below_zero(program: Program, values: Mapping[str, Any], limits: _Limits, index: int) -> bool:
    """Whether a load lies below minus its limit of detection: then the zero of the scale is off."""
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES:
        return False
    loads = zip(values[primary.key], limits.detection, strict=True)
    return any(phase[index] < -lod for phase, lod in loads if len(phase) > index)


def _tau_below_noise(program: Program, values: Mapping[str, Any], index: int) -> bool:
    """Whether an area's main tau lies below three standard deviations of the opacity's noise."""
    for measured in program.measures:
        parameters = dict(measured.measure.parameters)
        noise = values.get(f"{measured.key}_noise")
        if "main" not in parameters or noise is None:
            continue
        rows = noise if measured.phases[0] else [noise]
        here = [row[index] for row in rows if len(row) > index]
        if any(not math.isnan(sd) and parameters["main"] < NOISE_FACTOR * sd for sd in here):
            return True
    return False


__all__ = ["AFTER", "BEFORE", "FLAGS", "STATUSES", "Record", "conclude", "gate_match", "load_measure", "refused"]
