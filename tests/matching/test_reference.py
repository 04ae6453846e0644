from __future__ import annotations

import numpy as np
import pytest

from residue_batch.errors import UsageError
from residue_batch.geometry import Box, tiles
from residue_batch.matching.reference import bright, contrast_ok, darker, saturated, unmix, white_colour


def board(shape=(200, 310, 3), seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.4, shape).astype(np.float32)


WHITE = np.array([0.8, 0.82, 0.78], np.float32)


@pytest.mark.parametrize("opacity", [-0.1, 0.0, 0.25, 1.0])
def test_unmixing_gives_back_the_opacity_that_was_mixed_in(opacity):
    base = board()
    image = (base + np.float32(opacity) * (WHITE - base)).astype(np.float32)
    np.testing.assert_allclose(unmix(image, base, WHITE), opacity, atol=2e-6)
    np.testing.assert_allclose(unmix(image[..., 0], base[..., 0], WHITE[:1]), opacity, atol=2e-6)


@pytest.mark.parametrize("size", [1, 97, 256])
def test_unmixing_has_the_same_bits_in_any_tile(size):
    base, image = board(seed=1), board(seed=2)
    whole = Box.whole(base.shape)
    expected = unmix(image, base, WHITE)
    for box in list(tiles(base.shape[:2], size))[:500]:
        np.testing.assert_array_equal(
            unmix(image[box.within(whole)], base[box.within(whole)], WHITE), box.crop(expected, whole)
        )


def test_where_board_and_residue_look_alike_there_is_no_opacity_and_no_contrast():
    base = np.broadcast_to(WHITE, (4, 5, 3)).astype(np.float32)
    assert np.isfinite(unmix(board((4, 5, 3)), base, WHITE)).all()
    assert not contrast_ok(base, WHITE).any()
    assert contrast_ok(np.zeros_like(base), WHITE).all()
    assert contrast_ok(np.float32(0.69) * base, WHITE).all()
    assert not contrast_ok(np.float32(0.71) * base, WHITE).any()


def test_white_is_the_sixtieth_percentile_of_the_patch():
    light = np.zeros((40, 50, 3), np.uint16)
    patch = np.zeros((40, 50), bool)
    patch[10:20, 10:20] = True
    light[patch] = np.arange(100)[:, None] * 100 + 30000
    white, assumed = white_colour(light, patch)
    assert not assumed
    assert white.dtype == np.float32
    np.testing.assert_allclose(white, np.percentile(np.arange(100) * 100 + 30000, 60) / 65535, rtol=1e-6)
    grey, _ = white_colour(light[..., 0], patch)
    assert grey.shape == (1,)


def test_without_a_patch_white_is_assumed():
    light = np.full((40, 50, 3), 1000, np.uint16)
    light[:2] = 50000
    white, assumed = white_colour(light, None)
    assert assumed
    np.testing.assert_allclose(white, 50000 / 65535, rtol=1e-6)


def test_a_missing_or_black_patch_is_an_error():
    light = np.zeros((40, 50, 3), np.uint16)
    with pytest.raises(UsageError):
        white_colour(light, np.zeros((40, 50), bool))
    with pytest.raises(UsageError):
        white_colour(light, np.ones((40, 50), bool))


def test_one_saturated_channel_is_enough():
    light = np.zeros((30, 30, 3), np.uint16)
    light[10, 10, 1] = 65535
    assert saturated(light, 0).sum() == 1
    assert saturated(light, 2).sum() == 13
    assert saturated(light[..., 1], 0).sum() == 1


def test_bright_is_measured_against_white():
    light = np.zeros((30, 30, 3), np.uint16)
    light[5, 5] = int(0.3 * 65535)
    assert bright(light, WHITE, 0).sum() == 1
    assert bright((light // 3).astype(np.uint16), WHITE, 0).sum() == 0


def test_the_darker_of_two_is_one_pixel_never_a_mixture():
    before, after = board(seed=3), board(seed=4)
    base = darker(before, after)
    pick = after.sum(2) < before.sum(2)
    np.testing.assert_array_equal(base[pick], after[pick])
    np.testing.assert_array_equal(base[~pick], before[~pick])
