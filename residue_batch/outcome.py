"""From a board's merged tally to its record: values, status and flags, or a refusal.

A record is plain JSON and holds only what its key determines: no time, host or
attempt. Numbers that do not exist are null.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from residue_batch.config import BoardType, Gates
from residue_batch.errors import Refusal, ResidueError
from residue_batch.matching.light import Light
from residue_batch.matching.registration import Registration
from residue_batch.program import AFTER, BEFORE, PHASES, Measured, Program
from residue_batch.tally import Tally, select

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
)
PAIR_LOD = 5e-3
"""Limit of detection without a clean reference: what the light match of two soiled shots leaves open."""
BLOCK = 256
FEW_BLOCKS = 20
NOISE_FACTOR = 3.0


def gate_match(gates: Gates, phase: str, found: Registration | None) -> None:
    """Refuse a match outside the gates of its board type.

    Raises
    ------
    Refusal
        ``rotated``, ``scale`` or ``registration``, with the number and its gate.
    """
    if found is None:
        return
    turn = abs(found.rotation_deg)
    # 'not within': a number that could not be found is outside every gate
    if not turn <= gates.max_rotation_deg:
        raise Refusal(
            "rotated",
            f"the {phase} shot is turned by {found.rotation_deg:.0f} degrees (gate {gates.max_rotation_deg:g})",
            "photograph the board upright, or turn the file",
        )
    low, high = gates.scale
    if not low <= found.scale <= high:
        raise Refusal(
            "scale",
            f"the {phase} shot is {found.scale:.2f} times as large as the frame (gate {low:g} to {high:g})",
            "photograph from the same distance with the same resolution",
        )
    remedy = "check that this is the right board, whole and sharp"
    checks = (
        (found.inliers < gates.min_inliers, f"{found.inliers} matching features (gate {gates.min_inliers})"),
        (
            not found.correlation >= gates.min_correlation,
            f"correlation {found.correlation:.2f} (gate {gates.min_correlation:g})",
        ),
        (
            not found.residual_px <= gates.max_residual_px,
            f"residual {found.residual_px:.2f} px (gate {gates.max_residual_px:g})",
        ),
    )
    for failed, what in checks:
        if failed:
            raise Refusal("registration", f"the {phase} shot does not fit the board frame: {what}", remedy)


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


def conclude(board: Any, scene: Any, tally: Tally, tiles: int) -> Record:
    """The record of a measured board.

    Parameters
    ----------
    board, scene
        ``board.Board`` after its last pass and its ``scene.Scene``.
    tally
        Merged over all tiles.
    tiles
        How many there must be.

    Raises
    ------
    Refusal
        ``low_observable``: too little of the outline can be seen in both shots.
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
    status, bound = _statuses(program, values, setting.board_type, observable)
    _withhold(values, [not _reducible(program, setting.board_type, values, index) for index in range(len(status))])
    if bound is not None:
        values["load_reduction_at_least_pct"] = bound
    flags = [
        _flags(board, scene, values, program, int(tally.get(f"observable/{index}", 0)), index)
        for index in range(len(scene.regions))
    ]
    return {
        "key": board.key,
        "board": board.name,
        "lot": board.lot,
        "board_type": setting.board_type.board_type,
        "outcome": MEASURED,
        "reason": "",
        "message": "",
        "remedy": "",
        "shots": {p: {"sha256": board.shots[p].sha256, "shape": list(board.shapes[p])} for p in PHASES},
        "match": {p: _quality(board.matches[p].registration, board.matches[p].light) for p in PHASES},
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


def _quality(found: Registration | None, light: Light) -> dict[str, Any]:
    quality = {k: v for k, v in asdict(found).items() if k != "transform"} if found else {}
    return {k: _rounded(v) for k, v in {**quality, **light_quality(light)}.items()}


def light_quality(light: Light) -> dict[str, Any]:
    """The numbers of a light match that are reported."""
    return {
        "gain": list(light.gain),
        "film": light.film,
        "light_residual": light.residual,
        "light_share": light.share,
    }


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
    by_phase = {
        phase: [_finalized(measured, select(tally, f"{measured.key}/{phase}/{index}")) for index in range(count)]
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


def load_measure(program: Program) -> Measured | None:
    """The first load of a program over observable pixels: the primary measure, which decides statuses."""
    return next(
        (m for m in program.measures if m.measure.name == "load" and m.inputs[0][2].plane == "observable"), None
    )


def detection_of(board_type: BoardType) -> tuple[float, float]:
    """(limit of detection, limit of blank) of a board type, as loads.

    Without a clean reference the former is at least ``PAIR_LOD``.
    """
    lod, lob = board_type.detection.lod, board_type.detection.lob
    if board_type.reference == "pair":
        lod, lob = max(lod, PAIR_LOD), max(lob, PAIR_LOD / 2)
    return lod, lob


def _statuses(
    program: Program, values: Mapping[str, Any], board_type: BoardType, observable: list[float]
) -> tuple[list[str], list[float] | None]:
    """One status per region, by fixed precedence, and the censored bound of the reduction."""
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES:
        return ["measured" if share > 0 else "unseen" for share in observable], None
    lod, lob = detection_of(board_type)
    status, bound = [], []
    for before, after in zip(*values[primary.key], strict=True):
        least = math.nan
        if math.isnan(before) or math.isnan(after):
            status.append("unseen")
        elif after - before > lod:
            status.append("increase")
        elif before < lod:
            status.append("before_below_lod")
        elif after < lob:
            status.append("after_below_lob")
            # a zero that lies below the limit of detection bounds nothing
            least = 100 * (1 - lod / before) if after > -lod else math.nan
        else:
            status.append("measured")
        bound.append(least)
    return status, bound


def _withhold(values: dict[str, Any], hide: list[bool]) -> None:
    """No reduction where there was nothing to reduce."""
    for name in [n for n in values if n.endswith("_reduction_pct")]:
        values[name] = [_nothing(value) if hidden else value for value, hidden in zip(values[name], hide, strict=False)]


def _reducible(program: Program, board_type: BoardType, values: Mapping[str, Any], index: int) -> bool:
    """Whether there was enough before cleaning to speak of a reduction."""
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES or len(values[primary.key][0]) <= index:
        return True
    before, after = (phase[index] for phase in values[primary.key])
    lod = detection_of(board_type)[0]
    # without a clean reference an increase is known only as a difference: what was there before is not
    unknown = board_type.reference == "pair" and after - before > lod
    return bool(before >= lod) and not unknown


def _nothing(value: Any) -> Any:
    return [math.nan] * len(value) if isinstance(value, list) else math.nan


def _flags(
    board: Any, scene: Any, values: Mapping[str, Any], program: Program, observable_px: int, index: int
) -> list[str]:
    light = [board.matches[p].light for p in PHASES]
    found = {
        "indicative": program.reference == "pair",
        "white_assumed": scene.white_assumed,
        "film_confounded": any(one.film_confounded for one in light),
        "few_blocks": observable_px < FEW_BLOCKS * BLOCK**2,
        "below_zero": _below_zero(program, values, board.setting.board_type, index),
        "tau_below_noise": _tau_below_noise(program, values, index),
        "not_estimated": True,
    }
    return [name for name in FLAGS if found[name]]


def _below_zero(program: Program, values: Mapping[str, Any], board_type: BoardType, index: int) -> bool:
    """Whether a load lies below minus the limit of detection: then the zero of the scale is off."""
    primary = load_measure(program)
    if primary is None or primary.phases != PHASES:
        return False
    lod, _ = detection_of(board_type)
    return any(phase[index] < -lod for phase in values[primary.key] if len(phase) > index)


def _tau_below_noise(program: Program, values: Mapping[str, Any], index: int) -> bool:
    """Whether an area's main tau lies below three standard deviations of the opacity's noise."""
    for measured in program.measures:
        parameters = dict(measured.measure.parameters)
        noise = values.get(f"{measured.key}_noise")
        if "main" not in parameters or noise is None:
            continue
        here = [phase[index] for phase in noise if len(phase) > index]
        if any(not math.isnan(sd) and parameters["main"] < NOISE_FACTOR * sd for sd in here):
            return True
    return False


__all__ = ["AFTER", "BEFORE", "FLAGS", "STATUSES", "Record", "conclude", "gate_match", "load_measure", "refused"]
