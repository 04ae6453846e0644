"""Partial results that merge exactly: chunk -> merge -> finalize.

A tally maps names to integer arrays. Two tallies merge by adding what stands
under the same name, so merging is associative and commutative and its result
does not depend on tiles, order or workers. Only integers are allowed: a
floating-point sum depends on its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

Array = np.ndarray
Tally = dict[str, Array]

ONE = 16384
"""Fixed-point steps per unit of opacity: the quantum in which opacities are summed."""

CEILING = 1.99
"""Opacities beyond +-1.99 do not fit the fixed point; they are clipped, and counted."""


def merge(left: Tally, right: Tally) -> Tally:
    """The tally of both parts together; neither part is changed.

    Sums are int64, so small integers never wrap.

    Raises
    ------
    TypeError
        If a value is not integer: its sum would depend on the order.
    ValueError
        If two shapes under one name differ: they would spread over each other.
    """
    total = dict(left)
    for name, value in right.items():
        if value.dtype.kind not in "iu":
            raise TypeError(f"tally {name!r} holds {value.dtype}; only integers merge exactly")
        if name in total and total[name].shape != value.shape:
            raise ValueError(f"tally {name!r} has the shapes {total[name].shape} and {value.shape}")
        total[name] = np.add(total[name], value, dtype=np.int64) if name in total else value
    return total


def merge_all(parts: Iterable[Tally]) -> Tally:
    """The tally of all parts together."""
    total: Tally = {}
    for part in parts:
        total = merge(total, part)
    return total


def count(value: int) -> Array:
    """One exact number as a tally value."""
    return np.array(value, np.int64)


def fixed(plane: Array) -> Array:
    """Opacity (float32) as int16 fixed point: round(a x 16384), clipped to +-1.99.

    Raises
    ------
    FloatingPointError
        For NaN: as an integer it would be a clean pixel.
    """
    if missing := int(np.count_nonzero(np.isnan(plane))):
        raise FloatingPointError(f"{missing} opacities are no number")
    ceiling = np.float32(CEILING)
    return np.asarray(np.rint(np.clip(plane, -ceiling, ceiling) * np.float32(ONE)), np.int16)


def select(tally: Mapping[str, Array], prefix: str) -> Tally:
    """The part of a tally whose names begin with ``prefix/``, without it."""
    start = prefix + "/"
    return {name[len(start) :]: value for name, value in tally.items() if name.startswith(start)}
