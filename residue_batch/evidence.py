"""What the intervals of a board rest on: sums over a sparse grid of its frame, tile by tile.

Every eighth pixel in both directions, at absolute positions, so that tiles do not matter; all sums
are integers, so that their order does not matter. Names are ``evidence/...``:

``blocks/<region>``
    (3 + 2 t, blocks) int64: per block of 256 px of the frame, the observable samples, the sums of opacity
    before and after, and for every level t of every ``area`` the samples above it, before and after.
``near/<region>``
    (2 t,): samples whose opacity lies within `WITHIN` of each level.
``metal/<region>``
    (3,): samples where every channel of the clean board is above `METAL`, and the sums of their opacities.
``leverage/<phase>/<region>``
    (2 C + 5,): what a relative error of gain, field and white is worth in opacity, up to its sign, summed. With
    ``I = B + a (W - B)``: ``da / dlog(gain_c) = -I_c (W - B)_c / |W - B|^2``, times x, y, x^2, xy, y^2 and summed over
    the channels for the field, and ``da / dlog(W_c) = -a W_c (W - B)_c / |W - B|^2``.
``hidden/<region>``
    (4,): samples that an exclusion hides after cleaning only and the sum of their opacities before, then samples that
    it hides before cleaning only and the sum of their opacities after.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.geometry import Array, Box
from residue_batch.laps import lapped
from residue_batch.matching.samples import units_of
from residue_batch.program import AFTER, AS_TAKEN, BEFORE, NO_PHASE, PHASES, Key, Measured, Program, load_measure
from residue_batch.scene import ignored_bit
from residue_batch.steps.unmix import LEAST_CONTRAST
from residue_batch.tally import ONE, Tally, fixed
from residue_batch.tile import Planes, Sources

STEP = 8
"""px between samples; divides BLOCK."""
BLOCK = 256
WITHIN = 0.1
"""Half width of the neighbourhood of a level, as a share of the level (at least 0.002, at most 0.02)."""
FINE = 1 << 20
"""Fixed-point steps of leverages."""
METAL = 0.15
"""Linear light of every channel above which a clean surface may mirror a lamp."""

F32 = NDArray[np.float32]


def blocks_of(shape: tuple[int, int]) -> tuple[int, int]:
    """How many blocks a frame has, (down, across)."""
    return -(-shape[0] // BLOCK), -(-shape[1] // BLOCK)


def levels_of(program: Program) -> Iterator[tuple[Measured, float]]:
    """Every level of every area that both phases have over observable pixels, in the order of the tally."""
    for measured in program.measures:
        if measured.measure.name == "area" and _paired(measured):
            for tau in dict(measured.measure.parameters)["tau"]:
                yield measured, float(tau)


def _paired(measured: Measured) -> bool:
    return measured.phases == PHASES and measured.inputs[0][2].plane == "observable" and measured.by_region


def width_of(tau: float) -> float:
    """Half width of the neighbourhood of a level."""
    return min(max(WITHIN * abs(tau), 0.002), 0.02)


@lapped("evidence")
def evidence_tile(sources: Sources, tile: Box, planes: Planes) -> Tally:
    """What this tile adds to the evidence; nothing without a clean colour, or a paired load over observable pixels."""
    primary = load_measure(sources.program)
    if primary is None or not _paired(primary) or sources.program.reference == AS_TAKEN:
        return {}
    grid = (slice(-tile.top % STEP, None, STEP), slice(-tile.left % STEP, None, STEP))
    bits, seen = sources.scene.bits(tile)[grid], planes[Key("observable")][grid]
    at = np.flatnonzero(seen)
    found = _hidden(sources, tile, planes, primary, grid)
    if not at.size:
        return found
    rows, columns = np.divmod(at, bits.shape[1])
    rows, columns = rows * STEP + tile.top + grid[0].start, columns * STEP + tile.left + grid[1].start
    down, across = blocks_of(sources.scene.shape)
    block = (rows // BLOCK) * across + columns // BLOCK
    x, y = units_of(columns, rows, sources.scene.shape)

    @cache
    def sparse(plane: Key) -> Array:
        return planes[plane][grid].ravel()[at]

    levels = [(_plane(m, phase), tau) for m, tau in levels_of(sources.program) for phase in PHASES]
    sums = kernels.evidence(
        bits.ravel()[at].astype(np.uint32),
        block.astype(np.int32),
        x,
        y,
        _reference(sources, tile, planes, grid, at),
        sources.scene.white.astype(np.float64),
        np.array([fixed(sparse(_plane(primary, phase))) for phase in PHASES], np.int32),
        np.array([sparse(plane) for plane, _ in levels], np.float32).reshape(len(levels), at.size),
        np.array([tau for _, tau in levels], np.float32),
        np.array([width_of(tau) for _, tau in levels], np.float32),
        len(sources.scene.regions),
        down * across,
        ONE,
        FINE,
        METAL,
    )
    for index, (blocks, near, metal, leverage) in enumerate(zip(*sums, strict=True)):
        if blocks[0].any():
            parts = {"blocks": blocks, "near": near, "metal": metal}
            parts |= {f"leverage/{phase}": part for phase, part in zip(PHASES, leverage, strict=True)}
            found |= {f"evidence/{name}/{index}": part for name, part in parts.items()}
    return found


def _plane(measured: Measured, phase: str) -> Key:
    return next(keys[0] for at, keys, _ in measured.inputs if at == phase)


def _reference(sources: Sources, tile: Box, planes: Planes, grid: tuple[slice, slice], at: Array) -> F32:
    """(C, n) clean colour of the samples."""
    known = planes.get(Key("reference"))
    sparse = sources.scene.reference_at(tile, grid) if known is None else known[:, *grid]
    return np.ascontiguousarray(sparse.reshape(len(sparse), -1)[:, at], np.float32)


def _hidden(sources: Sources, tile: Box, planes: Planes, primary: Measured, grid: tuple[slice, slice]) -> Tally:
    """Samples that only one shot hides: what the other shows there is known, what lies under the glare is not."""
    excluded = {phase: [k for k in sources.program.excluded if k.phase in (phase, NO_PHASE)] for phase in PHASES}
    cover = {p: np.logical_or.reduce([planes[k][grid] for k in keys]) for p, keys in excluded.items() if keys}
    if len(cover) < len(PHASES):
        return {}
    bits = sources.scene.bits(tile)[grid]
    either = (cover[AFTER] ^ cover[BEFORE]) & (bits & 1 != 0) & (bits & ignored_bit(bits) == 0)
    at = np.flatnonzero(either)
    if not at.size:
        return {}
    rows, columns = np.divmod(at, bits.shape[1])
    points = np.stack([columns * STEP + tile.left + grid[1].start, rows * STEP + tile.top + grid[0].start], 1)
    board, white = _reference(sources, tile, planes, grid, at), sources.scene.white.astype(np.float64)[:, None]
    sound = np.square(white - board).sum(0) >= LEAST_CONTRAST**2 * np.square(white).sum()
    for view in sources.views.values():
        seen, (height, width) = view.transform.apply(points.astype(np.float64)), view.pixels.shape[:2]
        sound &= (seen.min(1) >= 0) & (seen[:, 0] <= width - 1) & (seen[:, 1] <= height - 1)
    at = at[sound]
    late, inside = cover[AFTER].ravel()[at], bits.ravel()[at]
    shown = {p: fixed(planes[_plane(primary, p)][grid].ravel()[at]).astype(np.int64) for p in PHASES}
    found = {}
    for index in range(len(sources.scene.regions)):
        here = inside >> index & 1 != 0
        sums = [
            part
            for phase, only in ((BEFORE, here & late), (AFTER, here & ~late))
            for part in (np.count_nonzero(only), int(shown[phase][only].sum()))
        ]
        if here.any():
            found[f"evidence/hidden/{index}"] = np.array(sums, np.int64)
    return found
