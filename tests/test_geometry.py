"""Boxes cover, transforms invert, and a pixel has the same coordinates in every tile."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from residue_batch.geometry import Box, Transform, snug, strips, tiles

sides = st.integers(1, 90)
sizes = st.integers(1, 100)
places = st.integers(-50, 50)
boxes = st.builds(lambda y, x, h, w: Box(y, x, y + h, x + w), places, places, st.integers(0, 40), st.integers(0, 40))
halos = st.integers(0, 30)


def homographies(most: float = 1e-4) -> st.SearchStrategy[Transform]:
    """Turned, scaled, moved and a little in perspective."""
    small = st.floats(-most, most)

    def build(angle: float, scale: float, dx: float, dy: float, g: float, h: float) -> Transform:
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        return Transform.of(np.array([[c, -s, dx], [s, c, dy], [g, h, 1.0]]))

    shift = st.floats(-40, 40)
    return st.builds(build, st.floats(-0.4, 0.4), st.floats(0.7, 1.4), shift, shift, small, small)


def painted(shape: tuple[int, int], covering: list[Box]) -> np.ndarray:
    count = np.zeros(shape, int)
    for box in covering:
        count[box.within(Box.whole(shape))] += 1
    return count


@given(sides, sides, sizes)
def test_tiles_cover_every_pixel_once(height: int, width: int, size: int) -> None:
    grid = list(tiles((height, width), size))
    assert (painted((height, width), grid) == 1).all()
    assert all(box.top % size == 0 and box.left % size == 0 for box in grid)
    assert all(0 < side <= size for box in grid for side in box.shape)
    assert sum(box.pixels for box in grid) == height * width


@given(st.integers(0, 500), sizes)
def test_strips_cover_every_row_once(height: int, rows: int) -> None:
    assert [r for strip in strips(height, rows) for r in range(height)[strip]] == list(range(height))


@given(boxes, boxes)
def test_the_intersection_holds_what_is_in_both(one: Box, other: Box) -> None:
    both = one.intersect(other)
    inside = {(r, c) for r in range(one.top, one.bottom) for c in range(one.left, one.right)}
    inside &= {(r, c) for r in range(other.top, other.bottom) for c in range(other.left, other.right)}
    assert both.pixels == len(inside)
    assert not inside or inside == {(r, c) for r in range(both.top, both.bottom) for c in range(both.left, both.right)}
    assert both == other.intersect(one)


@given(boxes, boxes, st.sampled_from([1, 8, 64]))
def test_the_snug_box_holds_all_of_a_mask_and_no_whole_step_more(covers: Box, inner: Box, step: int) -> None:
    if not covers.pixels:
        return
    mask = np.zeros(covers.shape, np.bool_)
    seen = inner.intersect(covers)
    if seen.pixels:
        mask[seen.within(covers)] = True
    found = snug(mask, covers, step)
    assert found.crop(mask, covers).sum() == mask.sum()
    assert bool(found.pixels) == bool(mask.any())
    if found.pixels:
        assert all(abs(a - b) < step for a, b in zip(found, seen, strict=True))
        edges = zip(found, covers, strict=True)
        assert all(a % step == 0 or a == end for a, end in edges)


@given(boxes, halos, halos)
def test_growing_twice_is_growing_once(box: Box, one: int, other: int) -> None:
    within = Box(-60, -60, 100, 100)
    assert box.grow(one, within).grow(other, within) == box.grow(one + other, within)
    assert box.grow(0, within) == box.intersect(within)


@given(sides, sides, sizes, halos)
def test_a_tile_is_cut_out_of_its_grown_self(height: int, width: int, size: int, halo: int) -> None:
    frame = Box.whole((height, width))
    plane = np.arange(height * width).reshape(height, width)
    for tile in tiles((height, width), size):
        grown = tile.grow(halo, frame)
        part = plane[grown.within(frame)]
        assert part.shape == grown.shape
        assert np.array_equal(tile.crop(part, grown), plane[tile.within(frame)])


def test_a_crop_of_the_whole_is_the_array_itself() -> None:
    plane = np.zeros((3, 4))
    assert Box.whole(plane.shape).crop(plane, Box.whole(plane.shape)) is plane
    assert Box.whole((3, 4, 3)) == Box(0, 0, 3, 4)


# transforms ---------------------------------------------------------------------------


points = st.lists(st.tuples(st.floats(0, 300), st.floats(0, 300)), min_size=1, max_size=6).map(np.array)


@given(homographies(), points)
def test_the_inverse_leads_back(transform: Transform, where: np.ndarray) -> None:
    np.testing.assert_allclose(transform.inverse().apply(transform.apply(where)), where, atol=1e-6)


@given(homographies())
def test_a_transform_is_its_matrix_whatever_the_scale_of_it(transform: Transform) -> None:
    assert Transform.of(transform.array * 7).matrix == pytest.approx(transform.matrix)
    assert transform.matrix[8] == 1.0
    assert hash(transform) == hash(Transform(transform.matrix))


@given(homographies(), sides, sides, sizes)
def test_maps_have_the_same_bits_in_every_tile(transform: Transform, height: int, width: int, size: int) -> None:
    frame = Box.whole((height, width))
    whole = transform.maps(frame)
    for tile in tiles((height, width), size):
        for part, all_of_it in zip(transform.maps(tile), whole, strict=True):
            assert part.dtype == np.float32
            assert np.array_equal(part, tile.crop(all_of_it, frame))


@given(homographies(), boxes)
def test_maps_are_the_points_of_the_pixels(transform: Transform, box: Box) -> None:
    assume(box.pixels)
    map_x, map_y = transform.maps(box)
    y, x = np.mgrid[box.top : box.bottom, box.left : box.right]
    expected = transform.apply(np.column_stack([x.ravel(), y.ravel()]))
    np.testing.assert_allclose(np.column_stack([map_x.ravel(), map_y.ravel()]), expected, atol=1e-3)
