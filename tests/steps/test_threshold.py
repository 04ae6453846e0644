"""Levels: fixed ones, and one fitted by Otsu's rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.filters import threshold_otsu

from residue_batch.geometry import Box
from residue_batch.step import STEPS, Bound, ParameterError
from residue_batch.steps.threshold import threshold

FRAME = (200, 300)
RNG = np.random.default_rng(6)
SPOTS = RNG.random(FRAME) < 0.1
PLANE = np.where(SPOTS, RNG.normal(0.3, 0.05, FRAME), RNG.normal(0.0, 0.03, FRAME)).astype(np.float32)
OTSU = Bound("otsu", 2, (("low", -1.0), ("high", 1.0), ("bins", 1024)))


def level(plane: np.ndarray, where: np.ndarray) -> float:
    return float(OTSU.decide(OTSU.fit_chunk(plane, where=where, at=Box.whole(FRAME), frame=FRAME), FRAME))


def test_the_fitted_level_is_that_of_scikit_image() -> None:
    where = RNG.random(FRAME) < 0.7
    assert level(PLANE, where) == pytest.approx(threshold_otsu(PLANE[where], nbins=1024), abs=1e-4)


def test_it_splits_two_classes() -> None:
    fitted = level(PLANE, np.ones(FRAME, bool))
    found = OTSU(PLANE, fitted=fitted, where=None, at=None, frame=None)
    assert (found == SPOTS).mean() > 0.99


def test_pixels_that_do_not_count_have_no_part_in_it() -> None:
    where = ~SPOTS
    spoilt = np.where(where, PLANE, np.float32(np.nan))
    assert level(spoilt, where) == level(PLANE, where) < 0.1
    with pytest.raises(FloatingPointError, match="no number"):
        level(spoilt, np.ones(FRAME, bool))


def test_nothing_is_above_where_no_pixel_counts() -> None:
    fitted = level(PLANE, np.zeros(FRAME, bool))
    assert fitted == math.inf
    assert not OTSU(PLANE, fitted=fitted, where=None, at=None, frame=None).any()


@pytest.mark.parametrize("value", [0.0, 0.1, 0.2, 0.25, 0.4, 3.0])
def test_a_plane_of_one_value_is_not_above_itself(value: float) -> None:
    even = np.full(FRAME, value, np.float32)
    fitted = level(even, np.ones(FRAME, bool))
    assert not OTSU(even, fitted=fitted, where=None, at=None, frame=None).any()


def test_a_range_that_is_empty_is_refused() -> None:
    with pytest.raises(ParameterError, match="is empty"):
        STEPS["otsu"].signature.validate({"low": 1.0, "high": 0.5}, None)


def test_a_fixed_level_is_compared_strictly_in_float32() -> None:
    plane = np.array([[0.05, 0.1, np.nan]], np.float32)
    np.testing.assert_array_equal(threshold(plane, level=0.05), [[False, True, False]])
