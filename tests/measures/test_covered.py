"""How much of an area a mask takes."""

from __future__ import annotations

import math

import numpy as np

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.measure import BoundMeasure

COVERED = BoundMeasure("covered", 1, ())


def test_it_is_the_share_of_the_area_in_per_cent():
    mask, where = np.zeros((10, 20), bool), np.zeros((10, 20), bool)
    mask[:5], where[:, :8] = True, True
    assert COVERED.finalize(COVERED(mask, where=where)) == {"": 50.0}


def test_no_area_is_no_number():
    nothing = np.zeros((3, 3), bool)
    assert math.isnan(COVERED.finalize(COVERED(~nothing, where=nothing))[""])
