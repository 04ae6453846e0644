"""A picture and its valid mask come out upright from every orientation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from photographs import GREY, OPAQUE, RGB, RGB16, oriented

from residue_batch import photo
from residue_batch.photo import arrays

STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    for source in (RGB, GREY):
        data = oriented(kind, np.ascontiguousarray(STORED[orientation](source)), orientation)
        found = photo.decode(data, "a")
        assert found.pixels.shape == found.header.shape == source.shape
        assert found.pixels.flags.c_contiguous
        difference = np.abs(found.pixels.astype(int) - source)
        assert difference.mean() < 3 if kind == "jpeg" else not difference.any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_valid_mask_turns_with_the_picture(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](np.dstack([RGB, np.where(OPAQUE, 255, 0).astype(np.uint8)])))
    found = photo.decode(oriented("png", stored, orientation), "a.png")
    assert np.array_equal(found.pixels, RGB)
    assert np.array_equal(found.valid, OPAQUE)
    assert found.valid is not None
    assert found.valid.dtype == np.bool_


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_arrays_turn_too(orientation: int) -> None:
    assert np.array_equal(arrays.upright(np.ascontiguousarray(STORED[orientation](RGB16)), orientation), RGB16)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_not_defined_counts_as_upright(orientation: int) -> None:
    assert photo.sniff(oriented("tiff", RGB, orientation), "a.tif").orientation == 1
    assert photo.sniff(oriented("jpeg", RGB, orientation), "a.jpg").orientation == 1
