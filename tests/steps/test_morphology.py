"""Shapes of masks against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from residue_batch.steps.morphology import area_opening, close_, dilate, erode, open_, reach

RNG = np.random.default_rng(8)
MASK = RNG.random((60, 77)) < np.linspace(0, 1, 77)


def element(radius: float, shape: str) -> np.ndarray:
    k = np.arange(-int(radius), int(radius) + 1)
    near = k[:, None] ** 2 + k**2 <= radius**2
    return near if shape == "disc" else np.ones_like(near)


def scipy_dilate(mask: np.ndarray, around: np.ndarray) -> np.ndarray:
    return ndimage.binary_dilation(mask, around)


def scipy_erode(mask: np.ndarray, around: np.ndarray) -> np.ndarray:
    return ndimage.binary_erosion(mask, around, border_value=1)


@pytest.mark.parametrize("shape", ["disc", "square"])
@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0, 3.7, 5.0])
def test_every_shape_is_that_of_scipy(radius: float, shape: str) -> None:
    around = element(radius, shape)
    grown, shrunk = scipy_dilate(MASK, around), scipy_erode(MASK, around)
    np.testing.assert_array_equal(dilate(MASK, radius=radius, shape=shape), grown)
    np.testing.assert_array_equal(erode(MASK, radius=radius, shape=shape), shrunk)
    np.testing.assert_array_equal(open_(MASK, radius=radius, shape=shape), scipy_dilate(shrunk, around))
    np.testing.assert_array_equal(close_(MASK, radius=radius, shape=shape), scipy_erode(grown, around))


def test_the_frame_edge_takes_nothing_away() -> None:
    full = np.ones((9, 9), bool)
    assert erode(full, radius=3.0).all()
    assert open_(full, radius=3.0).all()
    assert not dilate(~full, radius=3.0).any()


def test_a_radius_that_came_out_of_millimetres_is_not_one_pixel_short() -> None:
    assert reach(0.1 * 1000 / 20 - 1e-12) == 5
    point = np.zeros((21, 21), bool)
    point[10, 10] = True
    np.testing.assert_array_equal(dilate(point, radius=5 - 1e-9), dilate(point, radius=5.0))


@pytest.mark.parametrize("radius", [1, 5, 7, 30])
def test_a_disc_out_of_millimetres_is_that_of_whole_pixels(radius: int) -> None:
    near = radius - 9e-7
    np.testing.assert_array_equal(dilate(MASK, radius=near), dilate(MASK, radius=float(radius)))
    np.testing.assert_array_equal(erode(MASK, radius=near), erode(MASK, radius=float(radius)))


def test_opening_and_closing_twice_is_once() -> None:
    for twice in (open_, close_):
        once = twice(MASK, radius=2.0)
        np.testing.assert_array_equal(twice(once, radius=2.0), once)


@pytest.mark.parametrize("connectivity", [4, 8])
@pytest.mark.parametrize("smallest", [1.0, 2.0, 3.5, 16.0, 200.0])
def test_small_objects_go_and_large_ones_stay_as_they_are(smallest: float, connectivity: int) -> None:
    labels, count = ndimage.label(MASK, np.ones((3, 3)) if connectivity == 8 else None)
    areas = ndimage.sum_labels(MASK, labels, range(1, count + 1))
    large = np.isin(labels, np.flatnonzero(areas >= smallest) + 1)
    assert smallest < 2 or 0 < large.sum() < MASK.sum()
    np.testing.assert_array_equal(area_opening(MASK, smallest=smallest, connectivity=connectivity), large)


def test_a_ring_of_corners_is_one_object_only_with_corners() -> None:
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert area_opening(ring, smallest=4.0, connectivity=8).sum() == 4
    assert not area_opening(ring, smallest=2.0, connectivity=4).any()
