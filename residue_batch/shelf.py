"""Planes that the passes of a board leave for each other, tile by tile, in the process that makes them.

Where they are not found, because another process made them or there was no room, a pass makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from residue_batch.geometry import Array, Box
from residue_batch.program import Key

Shelf = dict[Key, tuple[Box, Array]]
"""Planes of a tile, and the boxes that they cover."""

_shelves: ContextVar[tuple[int, dict[Box, Shelf]] | None] = ContextVar("shelves", default=None)


@contextmanager
def shelves(room: int) -> Iterator[None]:
    """Inside, the passes of one board may leave planes of ``room`` bytes for each other."""
    before = _shelves.set((room, {}))
    try:
        yield
    finally:
        _shelves.reset(before)


def shelf(tile: Box, nbytes: int, *, last: bool) -> Shelf | None:
    """What was left for a tile, to add to; None where nothing is left.

    A tile leaves ``nbytes``; its ``last`` pass takes all of it away.
    """
    room, found = _shelves.get() or (-1, {})
    if nbytes > room:
        return None
    if last:
        return found.pop(tile, {})
    # tiles at the edge are smaller than others
    if tile not in found and sum(one.pixels for one in (*found, tile)) * nbytes > room * tile.pixels:
        return {}
    return found.setdefault(tile, {})
