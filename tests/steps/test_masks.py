"""Masks out of masks, and thresholds."""

from __future__ import annotations

import numpy as np

from residue_batch.steps.masks import and_, not_, or_
from residue_batch.steps.threshold import threshold

A = np.array([[0, 0, 0, 0, 1, 1, 1, 1]], bool)
B = np.array([[0, 0, 1, 1, 0, 0, 1, 1]], bool)
C = np.array([[0, 1, 0, 1, 0, 1, 0, 1]], bool)


def test_and_or_not_are_those_of_logic() -> None:
    np.testing.assert_array_equal(and_(A, B, C), A & B & C)
    np.testing.assert_array_equal(or_(A, B, C), A | B | C)
    np.testing.assert_array_equal(not_(A), ~A)


def test_one_mask_is_copied_not_handed_on() -> None:
    for made in (and_(A), or_(A)):
        np.testing.assert_array_equal(made, A)
        assert not np.shares_memory(made, A)


def test_threshold_is_strictly_above_and_never_true_for_nan() -> None:
    plane = np.array([[0.049, 0.05, 0.0501, np.nan, np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(threshold(plane, level=0.05), [[False, False, True, False, True, False]])
