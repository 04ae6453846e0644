"""The mean optical density."""

from __future__ import annotations

import math

import numpy as np
import pytest

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.geometry import Box
from residue_batch.measure import BoundMeasure

DENSITY = BoundMeasure("density", 1, ())
SHAPE = (160, 200)
FULL = np.ones(SHAPE, bool)


def measured(opacity: np.ndarray, where: np.ndarray = FULL) -> dict[str, float]:
    tally = DENSITY(opacity.astype(np.float32), where=where, at=Box.whole(SHAPE), frame=SHAPE)
    return dict(DENSITY.finalize(tally))


def test_two_layers_have_twice_the_density_of_one() -> None:
    one = np.full(SHAPE, 0.3)
    two = 1 - (1 - one) ** 2
    assert measured(one)[""] == pytest.approx(-math.log(0.7), abs=1e-4)
    assert measured(two)[""] == pytest.approx(2 * measured(one)[""], abs=2e-4)


def test_it_is_that_of_cells_of_four_pixels() -> None:
    fine = np.zeros(SHAPE)
    fine[::2] = 0.8
    assert measured(fine)[""] == pytest.approx(-math.log(0.6), abs=1e-4), "rows of 0 and 0.8 are seen as 0.4"
    coarse = np.zeros(SHAPE)
    coarse[:80] = 0.8
    assert measured(coarse)[""] == pytest.approx(-math.log(0.2) / 2, abs=1e-4)


def test_what_is_full_is_cut_and_counted() -> None:
    opacity = np.zeros(SHAPE)
    opacity[:40] = 1.2
    found = measured(opacity)
    assert found["capped_pct"] == 25
    assert found[""] == pytest.approx(-math.log(0.02) / 4, rel=1e-2)


def test_noise_below_zero_counts_too() -> None:
    assert measured(np.full(SHAPE, -0.1))[""] == pytest.approx(-math.log(1.1), abs=1e-4)


def test_cells_that_are_partly_hidden_weigh_by_what_is_seen() -> None:
    opacity, where = np.full(SHAPE, 0.5), FULL.copy()
    opacity[:2], where[2:4] = 0.1, False
    expected = (2 * -math.log(0.9) + 156 * -math.log(0.5)) / 158
    assert measured(opacity, where)[""] == pytest.approx(expected, abs=1e-4)


def test_no_pixel_is_no_number() -> None:
    assert all(math.isnan(value) for value in measured(np.ones(SHAPE), ~FULL).values())
