"""The measures of likeness: one with itself, symmetric where they should be, and right on made pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residue_batch.matching.similarity import (
    correlation,
    earth_mover,
    hellinger,
    histogram,
    phase_correlation,
    relative_blur,
    ruzicka,
    shift_field,
    spectrum_similarity,
)


def texture(seed: int, shape: tuple[int, int] = (128, 160)) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return np.clip(128 + 40 * cv2.GaussianBlur(noise, (0, 0), 1.2) / 0.24, 0, 255).astype(np.uint8)


def close(value: float) -> object:
    return pytest.approx(value, abs=1e-9)


SEEDS = st.integers(0, 10_000)


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_every_likeness_is_symmetric(one: int, other: int) -> None:
    a, b = texture(one), texture(other)
    assert correlation(a, b) == close(correlation(b, a))
    assert spectrum_similarity(a, b) == close(spectrum_similarity(b, a))
    assert relative_blur(a, b) == close(-relative_blur(b, a))
    p, q = histogram(a), histogram(b)
    for measure in (ruzicka, hellinger, earth_mover):
        assert measure(p, q) == close(measure(q, p))
    forth, back = phase_correlation(a, b), phase_correlation(b, a)
    assert forth.peak_ratio == pytest.approx(back.peak_ratio, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_picture_is_wholly_like_itself(seed: int) -> None:
    a = texture(seed)
    assert correlation(a, a) == close(1)
    assert spectrum_similarity(a, a) == close(1)
    assert relative_blur(a, a) == close(0)
    assert ruzicka(histogram(a), histogram(a)) == close(1)
    assert hellinger(histogram(a), histogram(a)) == pytest.approx(0, abs=1e-6)
    assert earth_mover(histogram(a), histogram(a)) == close(0)
    assert phase_correlation(a, a)[:2] == (0, 0)
    assert (shift_field(a, a)[..., :2] == 0).all()


@settings(max_examples=25, deadline=None)
@given(SEEDS, st.integers(-20, 20), st.integers(-20, 20))
def test_phase_correlation_finds_a_shift_and_its_opposite(seed: int, dx: int, dy: int) -> None:
    large = texture(seed, (200, 220))
    a = large[30:158, 30:190]
    b = large[30 - dy : 158 - dy, 30 - dx : 190 - dx]
    found = phase_correlation(a, b)
    assert (found.dx, found.dy) == (dx, dy)
    assert found.peak_ratio > 6
    assert phase_correlation(b, a)[:2] == (-dx, -dy)


def test_pictures_that_have_nothing_in_common_have_no_peak() -> None:
    assert phase_correlation(texture(1), texture(2)).peak_ratio < 5
    assert abs(correlation(texture(1), texture(2))) < 0.1


@pytest.mark.parametrize("sigma", [1.0, 1.5, 2.0])
def test_blur_is_measured_in_pixels(sigma: float) -> None:
    noise = np.random.default_rng(4).normal(size=(300, 400))
    sharp = cv2.GaussianBlur(noise, (0, 0), 0.8)
    assert relative_blur(sharp, cv2.GaussianBlur(sharp, (0, 0), sigma)) == pytest.approx(sigma, rel=0.15)


def test_histogram_likeness_asks_for_values_and_not_for_sizes() -> None:
    a = texture(3)
    assert ruzicka(histogram(a), histogram(np.tile(a, (2, 3)))) == close(1)
    assert hellinger(histogram(a), histogram(np.rot90(a))) == pytest.approx(0, abs=1e-6)


def test_the_earth_moves_as_far_as_the_brightness() -> None:
    a = np.full((20, 20), 64, np.uint8)
    assert earth_mover(histogram(a), histogram(a + 64)) == pytest.approx(64 / 256)
    assert hellinger(histogram(a), histogram(a + 64)) == close(1)
    assert ruzicka(histogram(a), histogram(a + 64)) == close(0)


def test_the_shift_field_follows_each_block() -> None:
    a = texture(5, (300, 300))
    b = np.roll(a, (2, -3), (0, 1))
    field = shift_field(a, b)
    assert field.shape == (4, 4, 3)
    assert (field[..., 0] == -3).all()
    assert (field[..., 1] == 2).all()
    assert (shift_field(np.full_like(a, 9), b)[..., 2] == 0).all()


@pytest.mark.parametrize("measure", [correlation, phase_correlation, spectrum_similarity, shift_field, relative_blur])
def test_pictures_of_two_shapes_are_not_compared_pixel_by_pixel(measure) -> None:
    with pytest.raises(ValueError, match="shape|compared"):
        measure(texture(1), texture(1)[1:])
