"""One tile at a time: the clean colour out of every matched shot, and how well the shots agree on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from residue_batch.building.state import Agreement, Building, ground_of
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, tiles
from residue_batch.matching.quantile import HALO, SPREAD_ONE, cleanest, low_quantile, spread
from residue_batch.scene import ignored_bit
from residue_batch.tally import Tally

LEAST_SEEN = 3
"""A pixel that fewer shots show stays unknown."""
MOST_SPREAD = 0.05
"""Shots disagree when a pixel's low quantile lies this much opacity below its quarter of shots, on average."""


def combine(state: Building, tile: Box) -> Tally:
    """The clean colour of one tile, into the scratch folder, and how well the shots agree on it."""
    whole, ground = Box.whole(state.shape), ground_of(state)
    outer = tile.grow(HALO, whole)
    stack = np.stack([_part(state, index, outer) for index in state.used])
    low = low_quantile(stack, least=LEAST_SEEN)
    inner = tile.crop(cleanest(stack, low, ground.white, least=LEAST_SEEN), outer)
    state.write(f"tile-{tile.top}-{tile.left}.npy", np.ascontiguousarray(inner))
    bits = ground.bits(tile)
    where = (bits & 1 > 0) & (bits & ignored_bit(bits) == 0)
    return spread(np.stack([tile.crop(shot, outer) for shot in stack]), inner, ground.white, where)


def _part(state: Building, index: int, box: Box) -> Array:
    """One box of one shot; the rest of its file is never read."""
    shot = np.load(state.path(f"shot-{index}.npy"), mmap_mode="r")
    return np.array(shot[box.within(Box.whole(state.shape))])


def combined(state: Building, tally: Tally) -> Building:
    """The finished building: the tiles are one image, and the shots agree.

    Raises
    ------
    Refusal
        ``lot_reference``: the shots disagree.
    """
    boxes = list(tiles(state.shape, state.tile))
    parts = {box: np.load(state.path(f"tile-{box.top}-{box.left}.npy")) for box in boxes}
    light = np.empty((*state.shape, next(iter(parts.values())).shape[2]), np.uint16)
    for box, part in parts.items():
        light[box.within(Box.whole(state.shape))] = part
    state.write("found.npy", light)
    return replace(state, agreement=_agreement(tally))


def _agreement(tally: Tally) -> Agreement:
    pixels, counted = int(tally["pixels"]), int(tally["counted"])
    found = Agreement(
        spread=int(tally["spread"]) / SPREAD_ONE / counted if counted else float("nan"),
        unseen_pct=100 * int(tally["unseen"]) / pixels if pixels else 100.0,
    )
    # 'not within': what could not be found is outside
    if not found.spread <= MOST_SPREAD:
        raise Refusal(
            "lot_reference",
            f"the shots disagree: a quarter of them lies {found.spread:.3f} of opacity above the cleanest "
            f"(at most {MOST_SPREAD:g}); either hardly a shot is clean, or they show boards that differ",
            "add boards that were cleaned well, keep other board versions out, or give one clean shot: "
            "'reference: golden'",
        )
    return found
