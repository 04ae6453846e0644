"""Records of boards that never were, as `outcome.conclude` and `outcome.refused` make them."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from residue_batch.compiler import compile_program
from residue_batch.config import load_workflow
from residue_batch.errors import Refusal
from residue_batch.outcome import refused
from residue_batch.program import Program

TAU = (0.02, 0.05, 0.1)
WORKFLOW = """
schema: 1
workflow: made up
planes:
  opacity: {step: unmix}
measures:
  load: {measure: load, of: opacity}
  area: {measure: area, of: opacity, tau: [0.02, 0.05, 0.1], main: 0.05}
  shine: {measure: intensity, of: opacity, by: whole}
limits: {load_reduction_pct: {min: 85}}
"""


@cache
def program(text: str = WORKFLOW) -> Program:
    """A compiled workflow, from its YAML."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "workflow.yaml")
        path.write_text(text, encoding="utf-8")
        return compile_program(load_workflow(path), reference="golden")


def measured(board: str, **given: Any) -> dict[str, Any]:
    """The record of a measured board; ``loads`` are (before, after) for each region."""
    chance = random.Random(board)
    regions = given.get("regions", ["whole", "chips"])
    loads = given.get("loads", [(0.1, 0.01)] * len(regions))
    pixels = given.get("pixels", [1_000_000, 200_000][: len(regions)])
    table = [[pair[p] for pair in loads] for p in (0, 1)]
    areas = [[[5 * x, 3 * x, x] for x in row] for row in table]
    values = {
        "load": table,
        "load_saturated_pct": [[1.0 for _ in row] for row in table],
        "load_clipped_pct": [[0.0 for _ in row] for row in table],
        "load_noise": [[0.004 for _ in row] for row in table],
        "area": areas,
        "area_main": [[x[1] for x in row] for row in areas],
        "area_noise": [[0.004 for _ in row] for row in table],
        "load_reduction_pct": [_reduction(b, a) for b, a in loads],
        "area_reduction_pct": [[_reduction(b, a)] * len(TAU) for b, a in loads],
        "area_main_reduction_pct": [_reduction(b, a) for b, a in loads],
        "shine_mean": [[0.2], [0.1]],
        "shine_mean_reduction_pct": [50.0],
        **given.get("values", {}),
    }
    quality = {
        "inliers": chance.randint(200, 900),
        "matches": 1200,
        "windows": 64,
        "correlation": round(chance.uniform(0.8, 0.98), 3),
        "residual_px": round(chance.uniform(0.05, 0.3), 3),
        "scale": 1.01,
        "rotation_deg": 0.4,
        "displacement_px": 12.5,
        "perspective": 0.001,
        "gain": given.get("gain", [1.02, 0.99, 1.01]),
        "film": 0.001,
        "light_residual": 0.006,
        "light_share": 0.8,
    }
    return {
        "key": given.get("key", f"key of {board}"),
        "board": board,
        "lot": given.get("lot", "L1"),
        "board_type": given.get("board_type", "panel A"),
        "outcome": "measured",
        "reason": "",
        "message": "",
        "remedy": "",
        "shots": {p: {"sha256": f"{p[0]}" * 64, "shape": [3000, 4000]} for p in ("before", "after")},
        "match": {"before": dict(quality), "after": {**quality, **given.get("after_match", {})}},
        "regions": list(regions),
        "observable_pct": [88.0, 71.0][: len(regions)],
        "observable_px": list(pixels),
        "values": values,
        "status": given.get("status", ["measured"] * len(regions)),
        "flags": given.get("flags", [["not_estimated"]] * len(regions)),
        "tiles": 4,
    }


def _reduction(before: float, after: float) -> float | None:
    return 100 * (1 - after / before) if before > 0 else None


def turned_away(board: str, reason: str = "registration", **given: Any) -> dict[str, Any]:
    """The record of a refused board."""
    message = "the after shot does not fit the board frame: correlation 0.21 (gate 0.5)"
    remedy = "check that this is the right board, whole and sharp"
    error = Refusal(reason, given.get("message", message), given.get("remedy", remedy))
    return refused(board, given.get("lot", "L1"), given.get("board_type", "panel A"), f"key of {board}", error)


def lot_of(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """A lot with most kinds of trouble in it."""
    chance = random.Random(seed)
    return [_board(f"SN{index:05d}", chance) for index in range(count)]


def _board(name: str, chance: random.Random) -> Mapping[str, Any]:
    fate = chance.random()
    if fate < 0.02:
        return turned_away(name)
    if fate < 0.03:
        return turned_away(
            name,
            "low_observable",
            message="22 % of the outline can be seen in both shots (gate 30 %)",
            remedy="reduce glare, or photograph the whole board",
        )
    before = chance.uniform(0.04, 0.16)
    left = min(chance.betavariate(2, 22), 0.9)
    status, values = "measured", {}
    if fate < 0.035:
        left, status = 1.15, "increase"
    elif fate < 0.045:
        left, status = 0.004, "after_below_lob"
        values = {"load_reduction_at_least_pct": [100 * (1 - 0.001 / before), None]}
    elif fate < 0.05:
        before, status = 0.0004, "before_below_lod"
        none = [None, None]
        values = {"load_reduction_pct": none, "area_main_reduction_pct": none, "area_reduction_pct": [[None] * 3] * 2}
    chips = (before * 1.4, before * 1.4 * min(left * 1.6, 1.3))
    flags = [["not_estimated"], ["few_blocks", "not_estimated"]]
    if fate > 0.95:
        flags = [["film_confounded", *f] for f in flags]
    return measured(name, loads=[(before, before * left), chips], status=[status, status], values=values, flags=flags)
