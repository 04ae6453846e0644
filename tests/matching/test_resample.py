from __future__ import annotations

import numpy as np
import pytest

from residue_batch.errors import UsageError
from residue_batch.geometry import Box, Transform, tiles
from residue_batch.matching.resample import blur, blur_radius, light_plane, linear_table, resample, to_linear

FRAME = (720, 1010)
TILTED = Transform.of(np.array([[1.01, 0.05, -40.3], [-0.045, 0.98, 60.7], [3e-6, -5e-6, 1.0]]))


def noise(dtype, channels=3, shape=(811, 1003), seed=0):
    rng = np.random.default_rng(seed)
    size = shape if channels == 0 else (*shape, channels)
    return rng.integers(0, np.iinfo(dtype).max, size, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("size", [97, 256, 1000])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 0)])
@pytest.mark.parametrize("linear", [False, True])
def test_a_tile_has_the_bits_of_the_whole(size, dtype, channels, linear):
    shot, whole = noise(dtype, channels), Box.whole(FRAME)
    table = linear_table(dtype, "srgb") if linear else None
    pixels, valid = resample(shot, TILTED, whole, table)
    assert 0.5 < valid.mean() < 1.0
    for box in tiles(FRAME, size):
        tile, seen = resample(shot, TILTED, box, table)
        np.testing.assert_array_equal(tile, box.crop(pixels, whole))
        np.testing.assert_array_equal(seen, box.crop(valid, whole))


@pytest.mark.parametrize("size", [97, 256, 1000])
def test_blurred_light_has_the_bits_of_the_whole_and_needs_the_whole_halo(size):
    shot, whole, table = noise(np.uint8), Box.whole(FRAME), linear_table(np.uint8, "srgb")
    radius = blur_radius(1.5)
    expected = light_plane(resample(shot, TILTED, whole, table)[0], None, 1.5)
    differs = False
    for box in tiles(FRAME, size):
        for halo in (radius, radius - 1):
            outer = box.grow(halo, whole)
            plane = box.crop(light_plane(resample(shot, TILTED, outer, table)[0], None, 1.5), outer)
            if halo == radius:
                np.testing.assert_array_equal(plane, box.crop(expected, whole))
            else:
                differs |= not np.array_equal(plane, box.crop(expected, whole))
    assert differs or size == 1000


def test_light_is_interpolated_not_code_values():
    shot = np.zeros((4, 4), np.uint8)
    shot[:, 2:] = 255
    half = Transform.of(np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    pixels, _ = resample(shot, half, Box(1, 1, 2, 2), linear_table(np.uint8, "srgb"))
    assert abs(int(pixels[0, 0]) - 32768) <= 2


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 5)])
def test_a_whole_pixel_shift_copies_exactly(shift):
    shot = noise(np.uint8, shape=(50, 60))
    dx, dy = shift
    moved = Transform.of(np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]]))
    nearly = Transform.of(np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 1e-300, 1.0]]))
    pixels, valid = resample(shot, moved, Box(0, 0, 50, 60))
    other, seen = resample(shot, nearly, Box(0, 0, 50, 60))
    np.testing.assert_array_equal(pixels, other)
    np.testing.assert_array_equal(valid, seen)
    y, x = np.nonzero(valid)
    np.testing.assert_array_equal(pixels[y, x], shot[y + dy, x + dx])


def test_the_shot_is_left_untouched():
    shot = noise(np.uint8, shape=(50, 60))
    before = shot.copy()
    pixels, _ = resample(shot, Transform(), Box(0, 0, 50, 60))
    pixels[:] = 0
    np.testing.assert_array_equal(shot, before)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 0, 5), Box(5, 5, 6, 6), Box(5000, 5000, 5010, 5010), Box(-40, -40, -30, -20)]
)
def test_empty_tiny_and_outside_boxes_work(box):
    for transform in (Transform(), TILTED):
        pixels, valid = resample(noise(np.uint8), transform, box)
        assert pixels.shape == (*box.shape, 3)
        assert valid.shape == box.shape
        if min(box) < 0 or max(box) > 1100:
            assert not valid.any()


def test_tables_decode_srgb_and_scale_linear():
    for dtype, top in ((np.uint8, 255), (np.uint16, 65535)):
        srgb, linear = linear_table(dtype, "srgb"), linear_table(dtype, "linear")
        assert srgb.dtype == linear.dtype == np.uint16
        assert srgb[0] == linear[0] == 0
        assert srgb[top] == linear[top] == 65535
        middle = top // 2 / top
        assert srgb[top // 2] / 65535 == pytest.approx(((middle + 0.055) / 1.055) ** 2.4, abs=2e-5)
        assert (np.diff(srgb.astype(int)) >= 0).all()
    np.testing.assert_array_equal(linear_table(np.uint16, "linear"), np.arange(65536))
    with pytest.raises(UsageError):
        linear_table(np.float32, "srgb")
    with pytest.raises(UsageError):
        linear_table(np.uint8, "adobe")


def test_no_blur_is_no_change():
    plane = to_linear(noise(np.uint16), linear_table(np.uint16, "linear"))
    assert blur(plane, 0.0) is plane
    assert blur_radius(0.0) == 0
