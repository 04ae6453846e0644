"""The share that a mask takes, and what lies in it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.measure import BoundMeasure

COVER = BoundMeasure("cover", 1, ())
RNG = np.random.default_rng(2)


def test_it_is_the_share_of_the_mask_and_the_mean_of_the_plane_there() -> None:
    mask, where = RNG.random((70, 90)) < 0.3, RNG.random((70, 90)) < 0.8
    plane = RNG.normal(0.2, 0.3, (70, 90)).astype(np.float32)
    found = COVER.finalize(COVER(mask, plane, where=where))
    assert found[""] == (mask & where).sum() / where.sum()
    assert found["load"] == pytest.approx(plane[mask & where].astype(float).sum() / where.sum(), abs=1e-5)


def test_what_is_no_number_outside_the_mask_does_not_matter_and_inside_is_an_error() -> None:
    mask = np.eye(8, dtype=bool)
    plane = np.where(mask, np.float32(0.5), np.float32(np.nan))
    assert COVER.finalize(COVER(mask, plane, where=np.ones((8, 8), bool))) == {"": 1 / 8, "load": 0.5 / 8}
    with pytest.raises(FloatingPointError, match="no number"):
        COVER(~mask, plane, where=np.ones((8, 8), bool))


def test_no_pixel_is_no_number() -> None:
    nothing = np.zeros((3, 3), bool)
    found = COVER.finalize(COVER(~nothing, np.ones((3, 3), np.float32), where=nothing))
    assert all(math.isnan(value) for value in found.values())
