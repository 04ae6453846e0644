"""A board's plan: the stages of its measurement, as a printable value with its cost.

    open -> match -> (fit k)* -> measure

A stage is a function over items whose parts merge; ``then`` takes the merged
part into the board's state. An executor needs nothing else:

    for stage in plan.stages:
        board = stage.then(board, merge(stage.function(board, item) for item in stage.items))
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from residue_batch.geometry import Box, tiles
from residue_batch.laps import Spent, charged, recorded
from residue_batch.program import AS_TAKEN, PHASES, Pass, Program
from residue_batch.step import Kind

BASE_BYTES = 133 << 20
"""Resident memory of a worker before the first board, libraries included."""

ROOMY_BYTES = 400 << 20
"""A board that needs less memory leaves planes from pass to pass, up to as much."""

TASK_SECONDS = 0.5
"""No Dask task does less work than this."""

RATES = {"open": (0.005, 8e-9), "match": (0.3, 20e-9), "fit": (0.01, 25e-9), "measure": (0.01, 70e-9)}
"""Seconds of one core per item, and per pixel of it: estimates for batching, not promises."""

REGION_BYTES = 1
"""A pixel of the region bits, of up to seven regions."""

TARGET_BYTES = 40 << 20
"""The frame's windows and features, made ready for registration."""

BYTES_PER_PIXEL = {Kind.SCALAR: 4, Kind.COLOUR: 12, Kind.RAW: 3, Kind.LIGHT: 6, Kind.MASK: 1, Kind.WHITE: 0}


@dataclass(frozen=True)
class Stage:
    """One step of a plan.

    Parameters
    ----------
    function
        ``function(board, item) -> part``; a pure function of small picklable values.
    merge
        ``merge(part, part) -> part``: associative and commutative.
    then
        ``then(board, merged) -> board``: the state of the board after the stage.
    seconds
        Estimated work of one item.
    beside
        Whether its items may run in threads: they are few, and spend their time in libraries that let go of Python.
    """

    name: str
    function: Callable[[Any, Any], Any]
    items: tuple[Any, ...]
    merge: Callable[[Any, Any], Any]
    then: Callable[[Any, Any], Any]
    seconds: float
    beside: bool = False

    @property
    def batch(self) -> int:
        """How many items make one Dask task."""
        return max(1, math.ceil(TASK_SECONDS / self.seconds))


@dataclass(frozen=True)
class Plan:
    """The stages of one board and what they cost."""

    stages: tuple[Stage, ...]
    shape: tuple[int, int]
    tile: int
    input_pixels: int
    peak_bytes: int
    room: int = 0
    """Bytes of it for planes that are left from pass to pass."""

    @property
    def least_bytes(self) -> int:
        """Peak memory where nothing is left, as in a graph."""
        return self.peak_bytes - self.room

    @property
    def seconds(self) -> float:
        """Estimated work on one core."""
        return sum(stage.seconds * len(stage.items) for stage in self.stages)

    @property
    def tiles(self) -> int:
        return len(self.stages[-1].items)

    @property
    def tasks(self) -> int:
        """Dask tasks when this board is run as a graph."""
        return sum(math.ceil(len(stage.items) / stage.batch) for stage in self.stages)

    def __str__(self) -> str:
        size = f"frame {self.shape[1]} x {self.shape[0]} px, tile {self.tile} px, {self.tiles} tiles"
        lines = [f"{size}, about {self.seconds:.1f} s of one core, peak {self.peak_bytes / 1e6:.0f} MB"]
        lines += [f"  {stage.name:10} {len(stage.items):5} item(s), {stage.batch} per task" for stage in self.stages]
        return "\n".join(lines)


def make_plan(
    program: Program,
    shape: tuple[int, int],
    channels: int,
    shot_bytes: int,
    input_pixels: int,
    tile: int,
    codes: bool,
    left: int,
    functions: Any,
) -> Plan:
    """Lay out the stages of a board.

    Parameters
    ----------
    shape
        (height, width) of the frame.
    shot_bytes
        Decoded bytes of both shots.
    input_pixels
        Pixels of both shots.
    codes
        Whether both shots are of 8 bit.
    left
        Bytes that passes leave for each other, by pixel of the frame.
    functions
        Where the stage functions live: the module ``board``.
    """
    boxes = tuple(tiles(shape, tile))
    frame_pixels = shape[0] * shape[1]
    per_tile = frame_pixels / len(boxes)
    phases: tuple[Any, ...] = PHASES
    f = functions
    stages = [
        Stage("open", f.open_shot, phases, f.union, f.opened, _seconds("open", input_pixels / 2), beside=True),
        Stage("match", f.match_shot, phases, f.union, f.matched, _seconds("match", frame_pixels)),
    ]
    for number in range(len(program.passes) - 1):
        items = tuple((number, box) for box in boxes)
        stages.append(Stage(f"fit {number + 1}", f.fit, items, f.add, f.fitted, _seconds("fit", per_tile)))
    stages.append(Stage("measure", f.measure, boxes, f.add, f.measured, _seconds("measure", per_tile)))
    peak = BASE_BYTES + shot_bytes + scene_bytes(program, shape, channels) + working_bytes(program, shape, tile, codes)
    room = max(min(left * frame_pixels, ROOMY_BYTES - peak), 0)
    return Plan(tuple(stages), shape, tile, input_pixels, peak + room, room)


def _seconds(stage: str, pixels: float) -> float:
    fixed, rate = RATES[stage]
    return fixed + rate * pixels


def scene_bytes(program: Program, shape: tuple[int, int], channels: int) -> int:
    """Memory of a scene while it is prepared, as measured: region bits, and for each channel code and blurred light.

    Of a pair it is prepared from the before-shot, which is put into the frame: three times as much.
    """
    pixels = shape[0] * shape[1]
    if program.reference == AS_TAKEN:
        return pixels * REGION_BYTES
    per_pixel = REGION_BYTES + channels * (9 if program.reference == "pair" else 3)
    return pixels * per_pixel + TARGET_BYTES


def working_bytes(program: Program, shape: tuple[int, int], tile: int, codes: bool) -> int:
    """Peak memory of the planes of one tile, from their lifetimes."""
    return max(_peak(visit, shape, tile, codes) for visit in program.passes)


def _peak(visit: Pass, shape: tuple[int, int], tile: int, codes: bool) -> int:
    alive: dict[Any, int] = {}
    peak = 0
    frame = Box.whole(shape)
    square = Box(0, 0, min(tile, shape[0]), min(tile, shape[1]))
    centre = Box(tile, tile, 2 * tile, 2 * tile) if min(shape) > 2 * tile else square
    for node, margin, frees in zip(visit.nodes, visit.margins, visit.frees, strict=True):
        pixels = centre.grow(margin + node.halo, frame).pixels
        alive[node.key] = pixels * (1 if codes and node.codes else BYTES_PER_PIXEL[node.kind])
        # a step works on about two planes of its own beside what it reads and makes
        peak = max(peak, sum(alive.values()) + 2 * 4 * pixels)
        for key in frees:
            alive.pop(key, None)
    return peak


# a profile -----------------------------------------------------------------------


def profiled(plan: Plan) -> Plan:
    """The same stages, each of which adds what it cost to the board's ``spent``; for any executor."""
    return replace(plan, stages=tuple(_profiled(stage) for stage in plan.stages))


def _profiled(stage: Stage) -> Stage:
    return replace(
        stage,
        function=partial(recorded, stage.name, stage.function),
        merge=partial(_merged, stage.merge),
        then=partial(_taken, stage.name, stage.then),
    )


def _merged(merge: Callable[[Any, Any], Any], left: tuple[Any, Spent], right: tuple[Any, Spent]) -> tuple[Any, Spent]:
    return merge(left[0], right[0]), left[1].plus(right[1])


def _taken(name: str, then: Callable[[Any, Any], Any], board: Any, merged: tuple[Any, Spent]) -> Any:
    part, spent = merged
    after, ending = recorded(name, then, board, part)
    return charged(after, spent.plus(ending))
