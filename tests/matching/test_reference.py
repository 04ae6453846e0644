from __future__ import annotations

import numpy as np
import pytest

from residue_batch.errors import UsageError
from residue_batch.matching.reference import white_colour

WHITE = np.array([0.8, 0.82, 0.78], np.float32)


def test_white_is_the_sixtieth_percentile_of_the_patch():
    light = np.zeros((3, 40, 50), np.uint16)
    patch = np.zeros((40, 50), bool)
    patch[10:20, 10:20] = True
    light[:, patch] = np.arange(100) * 100 + 30000
    white, assumed = white_colour(light, patch)
    assert not assumed
    assert white.dtype == np.float32
    np.testing.assert_allclose(white, np.percentile(np.arange(100) * 100 + 30000, 60) / 65535, rtol=1e-6)
    grey, _ = white_colour(light[:1], patch)
    assert grey.shape == (1,)


def test_without_a_patch_white_is_assumed():
    light = np.full((40, 50, 3), 1000, np.uint16)
    light[:, :2] = 50000
    white, assumed = white_colour(light, None)
    assert assumed
    np.testing.assert_allclose(white, 50000 / 65535, rtol=1e-6)


def test_a_missing_or_black_patch_is_an_error():
    light = np.zeros((3, 40, 50), np.uint16)
    with pytest.raises(UsageError):
        white_colour(light, np.zeros((40, 50), bool))
    with pytest.raises(UsageError):
        white_colour(light, np.ones((40, 50), bool))
