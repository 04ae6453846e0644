"""Scalar planes out of colours."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from residue_batch.step import floats
from residue_batch.steps.colour import _cube_root, channel, lab, linear, luma, srgb_table, whiteness

RAW = np.random.default_rng(3).integers(0, 256, (3, 40, 57), dtype=np.uint8)


@pytest.mark.parametrize(("which", "index"), [("L", 0), ("a", 1), ("b", 2)])
def test_lab_is_that_of_scikit_image(which: str, index: int) -> None:
    expected = rgb2lab(np.moveaxis(RAW, 0, -1))[..., index]
    # the same matrix, but white is taken as the matrix has it
    np.testing.assert_allclose(lab(RAW, which=which), expected, atol=0.01)


def test_lab_of_grey_has_no_colour_and_full_scale_is_100() -> None:
    grey = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, None], (3, 1, 256))
    assert np.abs(lab(grey, which="a")).max() < 2e-4
    assert np.abs(lab(grey, which="b")).max() < 2e-4
    assert lab(grey, which="L")[0, -1] == pytest.approx(100, abs=1e-4)
    np.testing.assert_allclose(lab(grey[:1], which="L"), lab(grey, which="L"), atol=1e-4)


def test_lab_reads_light_as_it_reads_code_values() -> None:
    light = np.stack([linear(plane) for plane in RAW])
    np.testing.assert_array_equal(lab(light, which="b"), lab(RAW, which="b"))


def test_the_cube_root_is_right_to_float32() -> None:
    x = np.geomspace(1e-3, 100, 100_001).astype(np.float32)
    np.testing.assert_allclose(_cube_root(x), np.cbrt(x.astype(np.float64)), rtol=3e-7)


@pytest.mark.parametrize("start", range(1, 20))
def test_the_cube_root_has_the_same_bits_in_any_slice(start: int) -> None:
    x = np.random.default_rng(start).random(1000, np.float32) + np.float32(0.001)
    np.testing.assert_array_equal(_cube_root(x)[start:], _cube_root(x[start:].copy()))


def test_the_srgb_table_holds_the_published_values() -> None:
    table = srgb_table(np.uint8)
    assert (table[0], table[255]) == (0, 1)
    assert table[10] == pytest.approx(10 / 255 / 12.92)
    assert table[128] == pytest.approx(0.215861, abs=1e-6)
    assert srgb_table(np.uint16)[65535] == 1


def test_luma_weighs_linear_light() -> None:
    red, green, blue = (np.zeros((3, 1, 1), np.uint8) for _ in range(3))
    red[0], green[1], blue[2] = 255, 255, 255
    found = [float(luma(colour)[0, 0]) for colour in (red, green, blue)]
    assert found == pytest.approx([0.2126, 0.7152, 0.0722])
    assert luma(np.full((3, 1, 1), 255, np.uint8))[0, 0] == pytest.approx(1)
    assert luma(np.full((3, 1, 1), 128, np.uint8))[0, 0] == pytest.approx(0.215861, abs=1e-5)


def test_whiteness_is_the_least_channel_of_full_scale() -> None:
    np.testing.assert_array_equal(floats(whiteness(RAW)), RAW.min(axis=0) / np.float32(255))
    assert whiteness(np.full((1, 1, 1), 65535, np.uint16))[0, 0] == 1


def test_channel_picks_by_name_and_grey_has_one() -> None:
    np.testing.assert_array_equal(floats(channel(RAW, name="green")), RAW[1] / np.float32(255))
    np.testing.assert_array_equal(floats(channel(RAW[:1], name="blue")), RAW[0] / np.float32(255))
