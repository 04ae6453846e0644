"""The reference of a board type out of the shots of a lot, stage by stage.

    look at shots -> match shots -> combine tiles

Every shot, before and after, is laid over the frame and brought into one light: that of the shot
which looks cleanest, not of the frame image, which may be soiled all over. A pixel's clean colour
is then found over the boards, since residue only ever brightens it. A shot is decoded once per
stage: its task writes it, matched, into a scratch folder, and the tiles' tasks read their part of
every shot. So no task holds more than one photograph, or one tile of all.

A ``Building`` is the state that travels between tasks, as a ``Board`` is for a board; both
executors run it by the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping

from residue_batch.building.combine import combine, combined
from residue_batch.building.shots import look, looked, match, matched
from residue_batch.building.state import BLUR, LEAST_SHOTS, Building, Origin, Seen, found_of, too_few
from residue_batch.geometry import tiles
from residue_batch.stages import BASE_BYTES, TARGET_BYTES, Plan, Stage
from residue_batch.tally import merge

METHOD = 1
"""The version of the method: another one gives another reference."""
MOST_SHOTS = 64
"""More shots than this add cost and no accuracy; boards are then drawn evenly."""
MATCH_SECONDS = (0.3, 150e-9)
"""Seconds of one core per shot and stage, and per pixel of it: an estimate."""
COMBINE_SECONDS = 100e-9
"""Seconds of one core per pixel and shot: an estimate."""


def make_plan(state: Building, pixels: int, channels: int) -> Plan:
    """The stages of a reference, with their cost.

    Parameters
    ----------
    pixels, channels
        Of one shot.
    """
    boxes, frame = tuple(tiles(state.shape, state.tile)), state.shape[0] * state.shape[1]
    count = len(state.shots)
    per_shot = MATCH_SECONDS[0] + MATCH_SECONDS[1] * pixels
    per_tile = 0.005 + COMBINE_SECONDS * count * frame / len(boxes)
    stages = (
        Stage("look", look, tuple(range(count)), union, looked, per_shot),
        Stage("match", match, tuple(range(count)), union, matched, per_shot),
        Stage("combine", combine, boxes, merge, combined, per_tile),
    )
    # a shot, the ground it is matched to, and the shot in the frame; or one tile of every shot, and its order
    matching = pixels * channels * 2 + frame * (4 + 11 * channels)
    combining = frame * (4 + 11 * channels) + count * min(state.tile, max(state.shape)) ** 2 * (4 * channels + 14)
    peak = BASE_BYTES + TARGET_BYTES + max(matching, combining)
    return Plan(stages, state.shape, state.tile, count * pixels, peak)


def union(left: Mapping[int, Seen], right: Mapping[int, Seen]) -> dict[int, Seen]:
    """Parts of different shots together."""
    return {**left, **right}


__all__ = [
    "BLUR",
    "LEAST_SHOTS",
    "METHOD",
    "MOST_SHOTS",
    "Building",
    "Origin",
    "found_of",
    "make_plan",
    "too_few",
]
