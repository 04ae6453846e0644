"""Opacity by the model I = (1 - a) B + a W."""

from __future__ import annotations

import numpy as np
import pytest

from residue_batch.steps.unmix import OPACITY_LIMIT, contrast, unmix

RNG = np.random.default_rng(6)
WHITE = np.array([0.8, 0.82, 0.78], np.float32)
REFERENCE = (RNG.random((3, 150, 61)) * 0.5).astype(np.float32)


def mixture(a: np.ndarray, reference: np.ndarray = REFERENCE, white: np.ndarray = WHITE) -> np.ndarray:
    return ((1 - a) * reference + a * white[:, None, None]).astype(np.float32)


def test_the_opacity_of_a_mixture_is_found_signed() -> None:
    a = RNG.uniform(-0.5, 1.5, REFERENCE.shape[1:])
    np.testing.assert_allclose(unmix(mixture(a), REFERENCE, WHITE), a, atol=2e-5)


def test_grey_photographs_unmix_too() -> None:
    a = RNG.uniform(-0.5, 1.5, REFERENCE.shape[1:])
    found = unmix(mixture(a, REFERENCE[:1], WHITE[:1]), REFERENCE[:1], WHITE[:1])
    np.testing.assert_allclose(found, a, atol=2e-5)


def test_it_is_the_projection_on_the_line_from_board_to_white() -> None:
    image = RNG.random(REFERENCE.shape).astype(np.float32)
    span = WHITE[:, None, None].astype(float) - REFERENCE
    expected = ((image - REFERENCE.astype(float)) * span).sum(0) / (span * span).sum(0)
    np.testing.assert_allclose(unmix(image, REFERENCE, WHITE), np.clip(expected, -4, 4), rtol=1e-4, atol=1e-5)


def test_where_board_and_white_are_alike_it_is_zero_and_elsewhere_finite() -> None:
    reference = REFERENCE.copy()
    reference[:, 5] = WHITE[:, None]
    reference[:, 6] = WHITE[:, None] + np.float32(0.002)
    image = RNG.random(REFERENCE.shape).astype(np.float32)
    found = unmix(image, reference, WHITE)
    assert not found[5].any()
    assert np.abs(found).max() == OPACITY_LIMIT


def test_a_pixel_that_is_not_a_number_stays_so() -> None:
    image = mixture(np.zeros(REFERENCE.shape[1:]))
    image[1, 3, 3] = np.nan
    found = unmix(image, REFERENCE, WHITE)
    assert np.isnan(found[3, 3])
    assert np.isnan(found).sum() == 1


def test_contrast_is_the_distance_from_white_over_its_length() -> None:
    toward = np.linspace(0, 1, 101, dtype=np.float32)
    reference = (WHITE[:, None, None] * toward).reshape(3, 1, 101)
    np.testing.assert_array_equal(contrast(reference, WHITE)[0, [0, 60, 69, 71, 100]], [True, True, True, False, False])


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_contrast_takes_another_share(share: float) -> None:
    span = np.linalg.norm(WHITE[:, None, None] - REFERENCE, axis=0)
    clear = np.abs(span - share * np.linalg.norm(WHITE)) > 1e-5
    expected = span >= share * np.linalg.norm(WHITE)
    np.testing.assert_array_equal(contrast(REFERENCE, WHITE, at_least=share)[clear], expected[clear])
