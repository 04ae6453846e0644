from __future__ import annotations

import numpy as np
import pytest

from residue_batch.errors import UsageError
from residue_batch.geometry import Box, Transform, tiles
from residue_batch.matching.resample import blur, blur_radius, blur_weights, inside, linear_table, resample

FRAME = (720, 1010)
TILTED = Transform.of(np.array([[1.01, 0.05, -40.3], [-0.045, 0.98, 60.7], [3e-6, -5e-6, 1.0]]))


def noise(dtype, channels=3, shape=(811, 1003), seed=0):
    rng = np.random.default_rng(seed)
    size = shape if channels == 0 else (*shape, channels)
    return rng.integers(0, np.iinfo(dtype).max, size, dtype=dtype, endpoint=True)


def cropped(planes, box, whole):
    return planes[:, *box.within(whole)]


@pytest.mark.parametrize("size", [97, 256, 1000])
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint16, 3), (np.uint8, 0)])
def test_a_tile_has_the_bits_of_the_whole(size, dtype, channels):
    shot, whole = noise(dtype, channels), Box.whole(FRAME)
    table = linear_table(dtype, "srgb")
    light, seen = resample(shot, TILTED, whole, table), inside(shot.shape, TILTED, whole)
    assert 0.5 < seen.mean() < 1.0
    for box in tiles(FRAME, size):
        np.testing.assert_array_equal(resample(shot, TILTED, box, table), cropped(light, box, whole))
        np.testing.assert_array_equal(inside(shot.shape, TILTED, box), box.crop(seen, whole))


@pytest.mark.parametrize("size", [97, 256, 1000])
def test_blurred_light_has_the_bits_of_the_whole_and_needs_the_whole_halo(size):
    shot, whole, table = noise(np.uint8), Box.whole(FRAME), linear_table(np.uint8, "srgb")
    radius = blur_radius(1.5)
    expected = blur(resample(shot, TILTED, whole, table), 1.5)
    differs = False
    for box in tiles(FRAME, size):
        for halo in (radius, radius - 1):
            outer = box.grow(halo, whole)
            plane = cropped(blur(resample(shot, TILTED, outer, table), 1.5), box, outer)
            if halo == radius:
                np.testing.assert_array_equal(plane, cropped(expected, box, whole))
            else:
                differs |= not np.array_equal(plane, cropped(expected, box, whole))
    assert differs or size == 1000


def test_samples_agree_with_bilinear_interpolation_in_double_precision():
    shot, table = noise(np.uint8), linear_table(np.uint8, "srgb")
    box = Box(100, 150, 400, 500)
    map_x, map_y = (m.astype(np.float64) for m in TILTED.maps(box))
    x, y = np.floor(map_x).astype(int), np.floor(map_y).astype(int)
    fx, fy = (map_x - x)[..., None], (map_y - y)[..., None]
    light = table[shot].astype(np.float64)
    upper = light[y, x] * (1 - fx) + light[y, x + 1] * fx
    lower = light[y + 1, x] * (1 - fx) + light[y + 1, x + 1] * fx
    expected = np.moveaxis(upper * (1 - fy) + lower * fy, -1, 0)
    found = resample(shot, TILTED, box, table)
    # positions are rounded to 1/256 px: neighbours differ by up to full scale
    assert np.abs(found - expected).max() <= 65535 * 2 / 512 + 1
    assert abs(float((found - expected).mean())) < 3


STRAIGHT = np.array([[1.0, 0.0, 7.4], [0.0, 1.0, 5.6], [0.0, 0.0, 1.0]])
PLACEMENTS = {
    "side by side": STRAIGHT,
    "over lines and columns": TILTED.array,
    "in every second": np.diag([2.0, 2.0, 1.0]) @ STRAIGHT,
    "twice": np.diag([0.5, 0.5, 1.0]) @ STRAIGHT,
    "mirrored": np.array([[-1.0, 0.0, 199.3], [0.0, 1.0, 0.2], [0.0, 0.0, 1.0]]),
    "down": np.array([[0.0, 1.0, 0.7], [1.0, 0.0, 9.9], [0.0, 0.0, 1.0]]),
}


@pytest.mark.parametrize("matrix", PLACEMENTS.values(), ids=PLACEMENTS)
@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 3), (np.uint8, 1), (np.uint8, 4), (np.uint16, 3)])
def test_samples_are_those_of_the_formula_wherever_pixels_lie(matrix, dtype, channels):
    shot, table = noise(dtype, channels, (150, 217)), linear_table(dtype, "srgb")
    light = np.pad(table[shot].astype(np.float32), ((0, 1), (0, 1), (0, 0)), mode="edge")
    for box in (Box(3, 5, 43, 5 + width) for width in (1, 7, 8, 9, 83)):
        y, x = np.mgrid[box.top : box.bottom, box.left : box.right].astype(np.float64)
        u, v, w = (row[0] * x + row[1] * y + row[2] for row in matrix)
        u, v = (np.clip(at * (1.0 / w), 0, last) * 256 + 0.5 for at, last in ((u, 216), (v, 149)))
        (i, j), (fx, fy) = (v.astype(int) // 256, u.astype(int) // 256), (at.astype(int) % 256 / 256 for at in (u, v))
        fx, fy = fx[..., None].astype(np.float32), fy[..., None].astype(np.float32)
        upper = light[i, j] + (light[i, j + 1] - light[i, j]) * fx
        lower = light[i + 1, j] + (light[i + 1, j + 1] - light[i + 1, j]) * fx
        expected = (upper + (lower - upper) * fy + np.float32(0.5)).astype(np.uint16)
        np.testing.assert_array_equal(resample(shot, Transform.of(matrix), box, table), np.moveaxis(expected, -1, 0))


def test_the_blur_agrees_with_a_convolution_in_double_precision():
    planes = resample(noise(np.uint8), TILTED, Box(100, 100, 180, 190), linear_table(np.uint8, "srgb"))
    half = blur_weights(2.0).astype(np.float64)
    kernel = np.concatenate([half[:0:-1], half])
    assert kernel.sum() == pytest.approx(1.0, abs=1e-6)
    padded = np.pad(planes.astype(np.float64), [(0, 0), (6, 6), (6, 6)], mode="edge")
    down = sum(w * padded[:, k : k + 80] for k, w in enumerate(kernel))
    expected = sum(w * down[:, :, k : k + 90] for k, w in enumerate(kernel))
    np.testing.assert_allclose(blur(planes, 2.0), expected, atol=0.51 + 0.05)
    window = Box(3, 5, 70, 80)
    sparse = blur(planes, 2.0, window, 4)
    np.testing.assert_array_equal(sparse, blur(planes, 2.0)[:, 3:70:4, 5:80:4])


def test_light_is_interpolated_not_code_values():
    shot = np.zeros((4, 4), np.uint8)
    shot[:, 2:] = 255
    half = Transform.of(np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    light = resample(shot, half, Box(1, 1, 2, 2), linear_table(np.uint8, "srgb"))
    assert abs(int(light[0, 0, 0]) - 32768) <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 5)])
def test_a_whole_pixel_shift_copies_exactly(shift, dtype):
    shot, table, box = noise(dtype, shape=(50, 60)), linear_table(dtype, "srgb"), Box(0, 0, 50, 60)
    dx, dy = shift
    moved = Transform.of(np.array([[1.0, 0.0, dx], [0.0, 1.0, dy], [0.0, 0.0, 1.0]]))
    light, seen = resample(shot, moved, box, table), inside(shot.shape, moved, box)
    assert seen.sum() == (50 - abs(dy)) * (60 - abs(dx))
    y, x = np.nonzero(seen)
    np.testing.assert_array_equal(light[:, y, x].T, table[shot[y + dy, x + dx]])


def test_the_shot_is_left_untouched():
    shot = noise(np.uint8, shape=(50, 60))
    before = shot.copy()
    resample(shot, Transform(), Box(0, 0, 50, 60), linear_table(np.uint8, "srgb"))[:] = 0
    np.testing.assert_array_equal(shot, before)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 0, 5), Box(5, 5, 6, 6), Box(5000, 5000, 5010, 5010), Box(-40, -40, -30, -20)]
)
def test_empty_tiny_and_outside_boxes_work(box):
    shot = noise(np.uint8)
    for transform in (Transform(), TILTED):
        assert resample(shot, transform, box, linear_table(np.uint8, "srgb")).shape == (3, *box.shape)
        seen = inside(shot.shape, transform, box)
        assert seen.shape == box.shape
        if min(box) < 0 or max(box) > 1100:
            assert not seen.any()


def test_a_turned_shot_is_sampled_too():
    shot, table = noise(np.uint8, shape=(300, 300)), linear_table(np.uint8, "srgb")
    quarter = Transform.of(np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 299.0], [0.0, 0.0, 1.0]]))
    light = resample(shot, quarter, Box(0, 0, 300, 300), table)
    np.testing.assert_array_equal(np.moveaxis(light, 0, -1), table[np.rot90(shot, -1)])


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
    light = resample(noise(np.uint16), TILTED, Box(0, 0, 40, 50), linear_table(np.uint16, "linear"))
    np.testing.assert_array_equal(blur(light, 0.0), light)
    assert blur_radius(0.0) == 0
