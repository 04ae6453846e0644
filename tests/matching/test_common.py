from __future__ import annotations

import numpy as np
import pytest

from residue_batch.geometry import Box, Transform
from residue_batch.matching.common import cleaner, fit_pair
from residue_batch.matching.light_fit import fit_light
from residue_batch.matching.reference import white_colour
from residue_batch.matching.resample import linear_table
from residue_batch.matching.samples import anchors_of, patch_of, sample_light

TABLE = linear_table(np.uint8, "srgb")


def photograph(bench, opacity, gain=(1.0, 1.0, 1.0), seed=1):
    return bench.photograph(opacity, None, gain, seed=seed)[0]


def samples_of(bench, shot, reference, *, held=True):
    patch = patch_of(reference, TABLE, bench.patch if held else None)
    anchors = anchors_of(reference, TABLE, bench.outline)
    return sample_light(shot, TABLE, Transform(), anchors, bench.outline.shape, patch)


def white_of(bench, shot):
    return white_colour(np.moveaxis(TABLE[shot], -1, 0), bench.patch)[0]


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.2), (0.2, 1.0)])
def test_the_light_between_two_soiled_shots_is_found_whichever_is_the_cleaner(bench, haze, before, after):
    first, second = photograph(bench, haze * before), photograph(bench, haze * after, (0.8, 0.76, 0.84), seed=2)
    light = fit_pair(samples_of(bench, second, first), white_of(bench, first))
    np.testing.assert_allclose(light.gain, (0.8, 0.76, 0.84), rtol=0.02)
    assert np.sign(light.common) in (0, np.sign(before - after))


def test_what_is_left_of_every_deposit_is_seen_in_its_shape(bench, haze):
    first = photograph(bench, haze)
    gone = fit_pair(samples_of(bench, photograph(bench, haze * 0.0, seed=2), first), white_of(bench, first))
    third = fit_pair(samples_of(bench, photograph(bench, haze / 3, seed=2), first), white_of(bench, first))
    assert abs(gone.common) < 0.15
    assert gone.common + 0.15 < third.common < 0.7  # a third is left, two thirds came off: 0.5


def test_the_same_shot_twice_has_nothing_in_common_that_shows(bench, haze):
    first = photograph(bench, haze)
    light = fit_pair(samples_of(bench, photograph(bench, haze, seed=2), first), white_of(bench, first))
    assert abs(light.common) < 0.2


def test_common_film_is_taken_off_the_darker_shot():
    board, white = np.array([0.1, 0.2, 0.1], np.float32), np.array([0.8, 0.8, 0.8], np.float32)

    def filmed(opacity):
        return np.broadcast_to(((1 - opacity) * board + opacity * white)[:, None, None], (3, 4, 5)).astype(np.float32)

    before, after = filmed(0.3), filmed(0.1)
    np.testing.assert_array_equal(cleaner(before, after, white, 0.0), after)
    change = (0.3 - 0.1) / 0.9
    np.testing.assert_allclose(cleaner(before, after, white, 0.1 / change), filmed(0.0), atol=1e-5)
    np.testing.assert_array_equal(cleaner(before, after, white, -0.5), after)  # the other way round: nothing known


def test_an_even_film_over_the_whole_board_is_no_exposure_where_the_white_patch_is_seen(bench):
    golden = photograph(bench, np.zeros(bench.outline.shape, np.float32))
    film = np.where(bench.patch, 0.0, 0.05).astype(np.float32)
    shot, white = photograph(bench, film, (0.8, 0.8, 0.8), seed=2), white_of(bench, golden)
    held = fit_light(samples_of(bench, shot, golden), white)
    np.testing.assert_allclose(held.gain, 0.8, rtol=0.01)
    assert held.film == pytest.approx(0.05, abs=0.01)


def test_a_patch_that_one_photograph_clips_says_nothing(bench):
    golden = photograph(bench, np.zeros(bench.outline.shape, np.float32))
    bright = photograph(bench, np.zeros(bench.outline.shape, np.float32), (2.5, 2.5, 2.5), seed=2)
    assert samples_of(bench, golden, golden).fixed is not None
    assert samples_of(bench, bright, golden).fixed is None
    assert samples_of(bench, golden, golden, held=False).fixed is None


def test_the_clean_colour_has_the_same_bits_in_any_tile():
    rng = np.random.default_rng(1)
    before, after = rng.random((2, 3, 40, 50)).astype(np.float32)
    white, box = np.full(3, 0.9, np.float32), Box(7, 11, 29, 38)
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    part = cleaner(before[:, rows, columns], after[:, rows, columns], white, 0.4)
    np.testing.assert_array_equal(part, cleaner(before, after, white, 0.4)[:, rows, columns])
