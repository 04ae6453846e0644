"""The compiled loops of registration and light matching, held against numpy and OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from residue_batch import kernels
from residue_batch.bend import Bend
from residue_batch.geometry import Box, Transform
from residue_batch.matching.resample import blur, blur_weights, inside, linear_table, resample

TABLE = linear_table(np.uint8, "srgb")
TURNED = Transform.of(np.array([[1.02, 0.03, 3.4], [-0.03, 0.99, 11.7], [1e-5, -2e-5, 1.0]]))
BENT = Transform(TURNED.matrix, Bend((60.0, 50.0), 60.0, (0.5, 1.0, 0.2) + (0.3,) * 7, (-0.4, 0.1, 0.9) + (0.2,) * 7))
MIRRORED = Transform.of(np.array([[-1.0, 0.0, 130.4], [0.0, 1.0, 3.7], [0.0, 0.0, 1.0]]))
RANDOM = np.random.default_rng(7)


def photograph(height: int = 120, width: int = 150, channels: int = 3) -> np.ndarray:
    noise = RANDOM.integers(0, 200, (height, width, channels), np.uint8)
    return np.ascontiguousarray(np.atleast_3d(cv2.GaussianBlur(noise, (0, 0), 1.5)))


# a window of a grey photograph --------------------------------------------------------


def test_a_window_taken_as_it_lies_is_the_photograph() -> None:
    grey = photograph(channels=1)[:, :, 0]
    box = Box(10, 20, 60, 90)
    assert np.array_equal(kernels.cubic_window(grey, *Transform().numbers, box), box.crop(grey, Box.whole(grey.shape)))


def test_a_window_beyond_the_photograph_repeats_its_edges() -> None:
    grey = photograph(channels=1)[:, :, 0]
    found = kernels.cubic_window(grey, *Transform().numbers, Box(-5, -7, 130, 160))
    assert np.array_equal(found, np.pad(grey, ((5, 10), (7, 10)), mode="edge"))


@pytest.mark.parametrize("transform", [TURNED, BENT, MIRRORED])
def test_a_window_is_cubic_convolution(transform: Transform) -> None:
    grey, box = photograph(channels=1)[:, :, 0], Box(20, 20, 70, 80)
    x, y = transform.maps(box)
    near = np.arange(-1, 3)

    def weights(t: np.ndarray) -> np.ndarray:
        far = np.abs(t[..., None] - near)
        outer = -0.5 * far**3 + 2.5 * far**2 - 4 * far + 2
        return np.where(far <= 1, 1.5 * far**3 - 2.5 * far**2 + 1, np.where(far < 2, outer, 0))

    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    codes = grey[row[..., None, None] + near[:, None], column[..., None, None] + near]
    expected = np.einsum("hwkl,hwk,hwl->hw", codes, weights(y - row), weights(x - column))
    # positions are whole 1/256 px
    assert np.abs(kernels.cubic_window(grey, *transform.numbers, box) - expected).max() < 0.3


@pytest.mark.parametrize("transform", [TURNED, BENT])
def test_a_part_of_a_window_is_the_part_of_the_window(transform: Transform) -> None:
    grey, whole, part = photograph(channels=1)[:, :, 0], Box(-4, -4, 110, 140), Box(13, 29, 50, 61)
    numbers = transform.numbers
    assert np.array_equal(
        kernels.cubic_window(grey, *numbers, part), part.crop(kernels.cubic_window(grey, *numbers, whole), whole)
    )


# a shift --------------------------------------------------------------------------------


def design_of(count: int) -> np.ndarray:
    return np.concatenate([RANDOM.normal(0, 30, (2, count)), RANDOM.uniform(20, 200, (1, count)), np.ones((1, count))])


def test_a_shift_is_found_among_pixels_that_do_not_follow() -> None:
    design, truth = design_of(2000).astype(np.float32), np.array([0.31, -0.12, 0.9, 4.0])
    value = (truth @ design + RANDOM.normal(0, 0.7, 2000)).astype(np.float32)
    value[:500] += 60
    found = kernels.shift(design, value, 8)
    assert found is not None
    solved, normal, noise = found
    assert solved[:3] == pytest.approx(truth[:3], abs=0.01)
    assert noise == pytest.approx(0.7 / 0.75, rel=0.4), "a quarter of the pixels does not follow"
    assert np.array_equal(normal, normal.T)
    assert np.linalg.eigvalsh(normal).min() > 0


def test_the_first_round_is_least_squares() -> None:
    design = design_of(301).astype(np.float32)
    value = RANDOM.uniform(0, 255, 301).astype(np.float32)
    found = kernels.shift(design, value, 1)
    assert found is not None
    solved, normal, noise = found
    expected = np.linalg.lstsq(design.T.astype(np.float64), value.astype(np.float64), rcond=None)[0]
    assert solved == pytest.approx(expected, rel=1e-3), "a little is added to the diagonal"
    assert normal == pytest.approx(design.astype(np.float64) @ design.T.astype(np.float64), rel=1e-9)
    rest = np.abs(value - solved @ design)[::4]
    assert noise == pytest.approx(1.4826 * np.sort(rest)[len(rest) // 2], rel=1e-4)


def test_a_window_without_texture_has_no_shift() -> None:
    nothing = np.zeros((4, 50), np.float32)
    nothing[3] = np.nan
    assert kernels.shift(nothing, np.zeros(50, np.float32), 3) is None
    assert kernels.shift(np.zeros((4, 0), np.float32), np.zeros(0, np.float32), 3) is None


# samples --------------------------------------------------------------------------------


def sampled(shot: np.ndarray, transform: Transform, inner: Box, reach: int = 5) -> tuple[np.ndarray, np.ndarray]:
    outer = inner.grow(reach, Box(0, 0, 100, 120))
    boxes = (np.array([box], np.int64) for box in (outer, inner))
    limit = int(TABLE[240])
    light, usable = kernels.window_samples(
        shot, TABLE, *transform.numbers, *boxes, blur_weights(1.0), reach, limit, (4, 8), (8, 4)
    )
    return light[0], usable[0]


@pytest.mark.parametrize("transform", [Transform(), TURNED, BENT])
@pytest.mark.parametrize("inner", [Box(20, 30, 52, 62), Box(0, 0, 32, 32), Box(60, 90, 83, 111)])
def test_samples_are_those_of_the_blurred_shot(transform: Transform, inner: Box) -> None:
    shot = photograph()
    shot[40:43, 50:53] = 255
    reach, (rows, columns) = 5, inner.shape
    outer = inner.grow(reach, Box(0, 0, 100, 120))
    light = resample(shot, transform, outer, TABLE)
    at = (slice(inner.top - outer.top + 2, inner.bottom - outer.top, 4),) + (
        slice(inner.left - outer.left + 4, inner.right - outer.left, 8),
    )
    bad = (light > TABLE[240]).any(0) | ~inside(shot.shape, transform, outer)
    near = cv2.dilate(bad.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8))[at]
    found, usable = sampled(shot, transform, inner, reach)
    down, across = near.shape
    assert (down, across) == (math.ceil((rows - 2) / 4), math.ceil((columns - 4) / 8))
    assert np.array_equal(found[:, :down, :across], blur(light, 1.0)[:, *at])
    assert np.array_equal(usable[:down, :across], near == 0)
    assert not usable[down:].any()
    assert not usable[:, across:].any()


def test_a_blur_wider_than_the_loops_hold_is_refused() -> None:
    light, gain = np.zeros((1, 9, 80), np.uint16), np.ones(1, np.float32)
    widest, wider = (np.ones(kernels.MOST_RADIUS + n, np.float32) for n in (1, 2))
    lattice, box = np.ones((1, 3, 80), np.float32), (0, 0, 9, 80)
    assert kernels.blurred(light, widest, box).shape == light.shape
    with pytest.raises(ValueError, match="66 weights"):
        kernels.blurred(light, wider, box)
    with pytest.raises(ValueError, match="66 weights"):
        kernels.blurred_and_scaled(light, wider, lattice, 8, 0, gain)
    with pytest.raises(ValueError, match="no weights|0 weights"):
        kernels.blurred(light, widest[:0], box)


def test_a_window_larger_than_the_grid_is_no_window() -> None:
    with pytest.raises(ValueError, match="larger than the grid"):
        sampled(photograph(), Transform(), Box(0, 0, 90, 90))


# a fit ----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sums_of_a_light_fit_are_those_of_its_formula(channels: int) -> None:
    starts, count = np.array([0, 40, 41, 90], np.int64), 120
    ratio, contrast, bend = (RANDOM.normal(m, s, (count, channels)) for m, s in ((0, 0.1), (2, 1), (0, 0.2)))
    terms, film = RANDOM.uniform(-1, 1, (count, 5)), np.array([0.0, 0.05, -0.002, 0.3])
    solved, noise, speckle, uneven, tukey, widen = RANDOM.normal(0, 0.05, channels + 6), 0.02, 0.004, 0.2, 4.7, 1.5
    first = (np.ascontiguousarray(v.T) for v in (ratio, contrast, bend, terms))
    weight, rest, sums = kernels.light_sums(*first, starts, solved, film, widen, noise, speckle, uneven, tukey)
    own = film[np.repeat(np.arange(4), np.diff([*starts, count]))][:, None]
    growth = np.maximum(1 + own * contrast, 0.2)
    slope, edge = contrast / growth, bend / growth
    left = ratio - solved[:channels] - (terms @ solved[channels:-1])[:, None] - np.log(growth) - solved[-1] * edge
    spread = 1 + (speckle + uneven * np.abs(own)) * slope / noise
    tukeyed = np.square(np.clip(1 - np.square(left / (tukey * widen * noise * spread)), 0, None))
    assert rest.T == pytest.approx(left, rel=1e-9, abs=1e-12)
    assert weight.T == pytest.approx(tukeyed, rel=1e-9, abs=1e-12)
    w = tukeyed / np.square(spread)
    parts = (1, left, slope, edge, slope * slope, slope * left, edge * edge, edge * left, edge * slope)
    for found, part in zip(sums, parts, strict=True):
        assert found == pytest.approx(np.add.reduceat(w * part, starts), rel=1e-9, abs=1e-12)


def test_the_share_below_is_that_of_a_normal_distribution() -> None:
    values = np.array([-9.0, -1.0, 0.0, 1.0, 9.0])
    expected = [0.5 * math.erfc(-v / math.sqrt(2)) for v in values]
    assert kernels.normal_below(values) == pytest.approx(expected, rel=1e-14)
    assert kernels.normal_below(np.zeros(0)).size == 0


# planes of a tile ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_least_is_the_smallest_channel_of_each_pixel(dtype: type, channels: int) -> None:
    codes = RANDOM.integers(0, np.iinfo(dtype).max, (40, 2100, channels), dtype, endpoint=True)
    expected = codes.min(axis=2)
    for planes in (np.moveaxis(codes, -1, 0), np.ascontiguousarray(np.moveaxis(codes, -1, 0))):
        np.testing.assert_array_equal(kernels.least(planes), expected)
        np.testing.assert_array_equal(kernels.least(planes[:, 3:, 7:]), expected[3:, 7:])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_shares_are_codes_over_full_scale(dtype: type) -> None:
    codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1)
    np.testing.assert_array_equal(kernels.shares(codes), codes / np.float32(np.iinfo(dtype).max))
    np.testing.assert_array_equal(kernels.shares(codes[1:, 3:]), kernels.shares(codes)[1:, 3:])
    assert kernels.shares(codes[:, :0]).shape == (16, 0)
    with pytest.raises(ValueError, match="rows must be contiguous"):
        kernels.shares(codes.T)


@pytest.mark.parametrize(("factor", "shift"), [(255.0, 0.0), (200.0, -20.0), (400.0, 30.0)])
def test_codes_are_quantised_as_the_floats_they_stand_for(factor: float, shift: float) -> None:
    codes = RANDOM.integers(0, 256, (30, 1100), np.uint8)[2:, 5:]
    made, expected = (kernels.quantise(plane, factor, shift) for plane in (codes, kernels.shares(codes)))
    np.testing.assert_array_equal(made[0], expected[0])
    assert made[1:] == expected[1:]
    assert (factor == 255) == np.array_equal(made[0], codes)


def test_a_mask_keeps_what_is_above_in_every_channel() -> None:
    planes, mask = RANDOM.random((3, 50, 1200), np.float32), RANDOM.random((50, 1200)) < 0.3
    mask[10:20] = False
    planes[1, 30, 40], mask[30, 40] = np.nan, True
    expected = mask & (planes > 0.5).all(axis=0)
    kernels.keep_above(planes, 0.5, mask.view(np.uint8))
    np.testing.assert_array_equal(mask, expected)
    assert mask.any()
    with pytest.raises(ValueError, match="shape"):
        kernels.keep_above(planes[:, 1:], 0.5, mask.view(np.uint8))


def test_what_is_in_all_masks_and_in_no_other() -> None:
    first, second, third = (RANDOM.random((70, 90)) < 0.5 for _ in range(3))
    found = kernels.in_all([first[3:, 5:], second[:-3, :-5]], [third[3:, 5:]])
    np.testing.assert_array_equal(found, first[3:, 5:] & second[:-3, :-5] & ~third[3:, 5:])
    assert kernels.in_all([first[:0]]).shape == (0, 90)
    with pytest.raises(ValueError, match="shapes differ"):
        kernels.in_all([first], [second[1:]])


@pytest.mark.parametrize(("size", "width"), [(3, 200), (8, 64), (8, 130), (21, 17)])
def test_cells_take_each_pixel_by_how_near_they_are(size: int, width: int) -> None:
    plane, where = RANDOM.normal(0, 3, (50, width)).astype(np.float32), RANDOM.random((50, width)) < 0.8
    plane[where & (RANDOM.random(where.shape) < 0.01)] = 1e6
    plane[~where] = np.nan
    rows, columns = (2 * np.arange(length, dtype=np.int32) + 1 + size for length in plane.shape)
    parts = 2 * size
    sums, missing = kernels.cell_sums(
        plane,
        where.view(np.uint8),
        rows // parts,
        rows % parts,
        columns // parts,
        columns % parts,
        parts,
        4096.0,
        100.0,
    )
    expected = np.zeros_like(sums)
    values = np.rint(np.clip(np.where(where, plane, 0), -100, 100) * 4096).astype(np.int64)
    for down in (0, 1):
        for right in (0, 1):
            high = rows % parts if down else parts - rows % parts
            wide = columns % parts if right else parts - columns % parts
            at = np.ix_(rows // parts + down, columns // parts + right)
            for total, part in zip(expected, (values, where.astype(np.int64)), strict=True):
                np.add.at(total, at, part * (high[:, None] * wide[None, :]).astype(np.int64))
    np.testing.assert_array_equal(sums, expected)
    assert missing == 0
    plane[where] = np.nan
    assert kernels.cell_sums(
        plane, where.view(np.uint8), rows // parts, rows % parts, columns // parts, columns % parts, parts, 1.0, 1.0
    )[1] == np.count_nonzero(where)


@pytest.mark.parametrize("one", [65536.0, 4096.0])
def test_cells_of_codes_are_those_of_the_floats_they_stand_for(one: float) -> None:
    codes = np.concatenate([np.arange(256, dtype=np.uint8), RANDOM.integers(0, 256, 300, np.uint8)])
    codes = np.stack([np.roll(codes, k) for k in range(30)])
    where = (RANDOM.random(codes.shape) < 0.9).view(np.uint8)
    places = [np.divmod(2 * np.arange(length, dtype=np.int32) + 9, np.int32(16)) for length in codes.shape]
    given = (*places[0], *places[1], 16, one, 100.0)
    sums, missing = kernels.cell_sums(codes, where, *given)
    np.testing.assert_array_equal(sums, kernels.cell_sums(kernels.shares(codes), where, *given)[0])
    assert sums[0].any()
    assert not missing
    # one pixel at a time: no rounding can hide in a sum
    for code in range(256):
        one_pixel = [
            kernels.cell_sums(c, where[:1, :1] | 1, *(p[:1] for p in given[:4]), 16, one, 100.0)[0]
            for c in (codes[:1, code : code + 1], kernels.shares(codes[:1, code : code + 1]))
        ]
        np.testing.assert_array_equal(*one_pixel)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("down", "across"), [(1, 1), (3, 3), (4, 4), (7, 7), (2, 8), (3, 12), (1, 5), (8, 32), (16, 17)]
)
def test_a_small_picture_is_the_means_of_whole_blocks(down: int, across: int, channels: int) -> None:
    image = RANDOM.integers(0, 256, (246, 170, channels), np.uint8)[1::2, 3:]
    whole = np.ascontiguousarray(image[: image.shape[0] // down * down, : image.shape[1] // across * across])
    size = (whole.shape[1] // across, whole.shape[0] // down)
    expected = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], channels)
    np.testing.assert_array_equal(kernels.block_means(image, down, across), expected)
    assert (kernels.block_means(np.full_like(image[:, :, ::1].copy(), 255), down, across) == 255).all()
    with pytest.raises(ValueError, match="at least one block"):
        kernels.block_means(image[:2], 3, 3)
    with pytest.raises(ValueError, match="rows of pixels"):
        kernels.block_means(image[:, ::2], 3, 3)


@pytest.mark.parametrize("top", [0, 3, 7])
@pytest.mark.parametrize("left", [0, 2])
@pytest.mark.parametrize("two", [True, False])
def test_cells_of_four_hold_the_sums_of_fixed_point_in_squares(top: int, left: int, two: bool) -> None:
    height, width = 29, 1037
    first, second = (RANDOM.normal(0, 1.2, (height, width)).astype(np.float32) for _ in range(2))
    where = RANDOM.random((height, width)) < 0.9
    first[~where], second[~where] = np.nan, np.inf
    fixed = [
        np.rint(np.clip(np.where(where, v, 0), -1.99, 1.99).astype(np.float32) * np.float32(16384)).astype(np.int64)
        for v in (first, second)
    ]
    fixed[1] *= two
    shape = (-(-(top + height) // 8) * 8, -(-(left + width) // 8) * 8)
    counted, differences = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    counted[top : top + height, left : left + width] = where
    differences[top : top + height, left : left + width] = fixed[0] - fixed[1]
    squares = (shape[0] // 4, 4, shape[1] // 4, 4)
    pixels, sums, totals, missing = kernels.sums_of_fours(
        first, second if two else None, where.view(np.uint8), top, left, 16384.0, 1.99
    )
    np.testing.assert_array_equal(pixels, counted.reshape(squares).sum((1, 3)))
    np.testing.assert_array_equal(sums, differences.reshape(squares).sum((1, 3)))
    assert totals.tolist() == [int(v.sum()) for v in fixed]
    assert missing == 0
    first[where] = np.nan
    assert kernels.sums_of_fours(first, None, where.view(np.uint8), top, left, 16384.0, 1.99)[3] == where.sum()


def test_negative_opacities_are_counted_with_their_squares() -> None:
    opacity = RANDOM.normal(0, 1.5, (7, 2113)).astype(np.float32)
    where = RANDOM.random(opacity.shape) < 0.7
    fixed = np.rint(np.clip(opacity, -1.99, 1.99) * np.float32(16384)).astype(np.int64)[where]
    low = fixed[fixed < 0]
    opacity[~where] = np.nan
    sums, missing = kernels.negative_sums(opacity, where.view(np.uint8), 16384.0, 1.99)
    assert sums.tolist() == [where.sum(), len(low), int(np.square(low).sum())]
    assert missing == 0
    assert kernels.negative_sums(opacity, np.ones_like(where, np.uint8), 16384.0, 1.99)[1] == (~where).sum()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_differences_along_a_row_add_up_again(dtype: type, channels: int) -> None:
    pixels = RANDOM.integers(0, np.iinfo(dtype).max, (9, 33, channels), dtype, endpoint=True)
    stored = pixels.copy()
    stored[:, 1:] -= pixels[:, :-1]
    picture = np.zeros((20, 50, channels), dtype)
    kernels.undifferenced(stored, picture[4:12, 7:37])
    np.testing.assert_array_equal(picture[4:12, 7:37], pixels[:8, :30])
    picture[4:12, 7:37] = 0
    assert not picture.any()
    with pytest.raises(ValueError, match="more than are stored"):
        kernels.undifferenced(stored, picture)
    with pytest.raises(ValueError, match="shapes differ|contiguous"):
        kernels.undifferenced(stored, picture[:4, :4, 1:] if channels > 1 else picture[:4, :8:2])
