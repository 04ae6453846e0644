"""The mean opacity."""

from __future__ import annotations

import math

import numpy as np
import pytest

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.measure import MEASURES, BoundMeasure

RNG = np.random.default_rng(2)
LOAD = BoundMeasure("load", 1, ())
SHAPE = (300, 400)
FULL, NONE = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)


def measured(opacity: np.ndarray, saturated: np.ndarray = NONE, where: np.ndarray = FULL) -> dict[str, float]:
    return dict(LOAD.finalize(LOAD(opacity.astype(np.float32), saturated, where=where)))


def test_load_is_the_plain_signed_mean_of_the_pixels_that_count() -> None:
    opacity = RNG.normal(0.1, 0.3, SHAPE)
    where = RNG.random(SHAPE) < 0.4
    assert measured(opacity, where=where)[""] == pytest.approx(opacity[where].mean(), abs=1e-6)


def test_noise_without_residue_has_no_load() -> None:
    found = measured(RNG.normal(0, 0.02, SHAPE))
    assert abs(found[""]) < 2e-4
    assert found["noise"] == pytest.approx(0.02, rel=0.02)


def test_residue_does_not_raise_the_noise() -> None:
    opacity = RNG.normal(0, 0.02, SHAPE)
    opacity[:100] += RNG.uniform(0.1, 1, (100, 400))
    assert measured(opacity)["noise"] == pytest.approx(0.02, rel=0.03)


def test_saturated_pixels_hold_their_share_of_the_load() -> None:
    opacity, saturated = np.zeros(SHAPE), NONE.copy()
    opacity[0, :30], opacity[1, :10] = 0.5, 1.0
    saturated[1] = True
    assert measured(opacity, saturated)["saturated_pct"] == pytest.approx(40, abs=0.01)
    assert measured(opacity)["saturated_pct"] == 0


def test_clipped_opacities_are_counted() -> None:
    opacity = np.zeros(SHAPE)
    opacity[0, :6], opacity[1, :6] = 2.5, -3
    found = measured(opacity)
    assert found["clipped_pct"] == pytest.approx(100 * 12 / opacity.size)
    assert found[""] == 0


def test_no_pixel_is_no_number() -> None:
    assert all(math.isnan(value) for value in measured(np.ones(SHAPE), where=NONE).values())


def test_a_nan_that_counts_is_an_error_not_a_clean_pixel() -> None:
    opacity = np.zeros(SHAPE)
    opacity[5, 5] = np.nan
    where = FULL.copy()
    with pytest.raises(FloatingPointError):
        measured(opacity, where=where)
    where[5, 5] = False
    assert measured(opacity, where=where)[""] == 0


def test_only_the_mean_has_a_reduction() -> None:
    assert [o.name for o in MEASURES["load"].outputs if o.reducible] == [""]
