"""Glare is saturation where the clean board is metal or bright."""

from __future__ import annotations

import numpy as np
import pytest

from residue_batch.steps.glare import glare
from residue_batch.steps.morphology import dilate

MASK_COLOUR, TIN = (0.03, 0.12, 0.04), (0.55, 0.55, 0.5)


def scene(code: int = 255) -> tuple[np.ndarray, np.ndarray]:
    """Solder mask at the left, tin at the right; one saturated pixel on each."""
    reference = np.empty((3, 21, 40), np.float32)
    reference[:, :, :20] = np.reshape(MASK_COLOUR, (3, 1, 1))
    reference[:, :, 20:] = np.reshape(TIN, (3, 1, 1))
    raw = np.full((3, 21, 40), 90, np.uint8)
    raw[:, 10, 9] = code
    raw[:, 10, 30] = code
    return raw, reference


def test_a_saturated_pixel_on_metal_is_glare_and_on_mask_is_residue() -> None:
    found = glare(*scene(), grow=0.0)
    assert found[10, 30]
    assert found.sum() == 1


def test_it_is_grown_by_a_disc() -> None:
    raw, reference = scene()
    np.testing.assert_array_equal(glare(raw, reference, grow=5.0), dilate(glare(raw, reference, grow=0.0), radius=5.0))


def test_one_dark_channel_is_colour_not_glare() -> None:
    raw, reference = scene()
    raw[2] = 90
    assert not glare(raw, reference).any()


def test_zero_metal_takes_every_saturated_pixel() -> None:
    assert glare(*scene(), grow=0.0, metal_above=0.0).sum() == 2


@pytest.mark.parametrize(("code", "expected"), [(239, False), (240, True)])
def test_the_level_is_strictly_above_a_share_of_full_scale(code: int, expected: bool) -> None:
    raw, reference = scene(code)
    assert glare(raw, reference, above=0.94, grow=0.0).any() == expected
    wide = raw.astype(np.uint16) * 257
    assert glare(wide, reference, above=0.94, grow=0.0).any() == expected
