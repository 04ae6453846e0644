"""A lens that distorts by some pixels, a board that bows: found where they are, and only there."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from residue_batch.bend import POWERS, Bend, terms_of
from residue_batch.geometry import Box, Transform, tiles
from residue_batch.matching.bending import bend_of, pays, promises
from residue_batch.matching.registration import register, target_of
from residue_batch.matching.resample import linear_table, resample

CENTRE, UNIT = (449.5, 349.5), 570.0


def lens(pixels: float) -> Bend:
    """Radial distortion of the third order: so many px in the corners."""
    along, down = np.zeros((2, len(POWERS)))
    for axis, powers in ((along, ((3, 0), (1, 2))), (down, ((2, 1), (0, 3)))):
        axis[[POWERS.index(power) for power in powers]] = pixels
    return Bend(CENTRE, UNIT, tuple(along.tolist()), tuple(down.tolist()))


def distorted(shot: np.ndarray, pixels: float) -> np.ndarray:
    """The shot through a lens: what was at p is seen at p + bend(p)."""
    y, x = np.mgrid[: shot.shape[0], : shot.shape[1]].astype(np.float64)
    from_x, from_y = x.copy(), y.copy()
    for _ in range(15):
        dx, dy = lens(pixels).at(from_x, from_y)
        from_x, from_y = x - dx, y - dy
    maps = from_x.astype(np.float32), from_y.astype(np.float32)
    return cv2.remap(shot, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def errors(found: Transform, straight: Transform, pixels: float, outline: np.ndarray) -> np.ndarray:
    """How far off the board's pixels are, px."""
    y, x = np.nonzero(outline[::20, ::20])
    points = np.stack([x, y], 1) * 20.0
    true = straight.apply(points)
    true = true + np.stack(lens(pixels).at(*true.T), 1)
    return np.linalg.norm(found.apply(points) - true, axis=1)


@pytest.mark.parametrize("pixels", [4.0, -5.0])
def test_a_distorting_lens_is_undone_to_less_than_a_tenth_of_a_pixel(bench, haze, pixels):
    golden, _ = bench.photograph(seed=1)
    turn = np.array([[0.999, -0.02, 9.3], [0.02, 0.999, -6.1], [4e-6, 0.0, 1.0]])
    shot, straight = bench.photograph(haze, turn, (0.8, 0.85, 0.8), vignette=0.2, seed=2)
    found = register(distorted(shot, pixels), target_of(golden, bench.outline))
    assert found.transform.bend is not None
    bent = errors(found.transform, straight, pixels, bench.outline)
    flat = errors(Transform(found.transform.matrix), straight, pixels, bench.outline)
    assert bent.mean() < 0.1
    assert bent.mean() < 0.25 * flat.mean()
    assert found.residual_px < 0.1
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_straight_photograph_is_not_bent(bench, haze):
    golden, _ = bench.photograph(seed=1)
    for seed in range(3):
        shot, _ = bench.photograph(haze, gain=(0.7, 0.8, 0.9), vignette=0.3, soft=0.6, seed=seed)
        assert register(shot, target_of(golden, bench.outline)).transform.bend is None


def windows(seed: int, shifts: np.ndarray | None = None, noise: float = 0.03) -> tuple[np.ndarray, ...]:
    """Places of 30 windows, their shifts with noise, and their information."""
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 6), np.linspace(-0.7, 0.7, 5)), -1).reshape(-1, 2)
    base = np.zeros_like(places) if shifts is None else shifts
    return places, base + rng.normal(0, noise, places.shape), np.tile(np.eye(2), (len(places), 1, 1))


def test_windows_that_differ_at_random_are_no_bend():
    promising = [seed for seed in range(40) if promises(*bend_of(*windows(seed, noise=0.3))[1:])]
    assert len(promising) <= 4
    for seed in promising:
        places, shifts, information = windows(seed, noise=0.3)
        found, left, _ = bend_of(places, shifts, information)
        rest = shifts + np.einsum("nj,aj->na", np.stack(terms_of(*places.T), 1), found)
        assert not pays(left, bend_of(places, rest, information)[1])


def test_a_window_that_is_off_does_not_bend_the_rest():
    places, shifts, information = windows(1)
    shifts[7] = 2.5, -2.0
    found, left, predicted = bend_of(places, shifts, information)
    assert not promises(left, predicted)
    places, shifts, information = windows(1, windows(1)[0] * 0.8 * np.square(windows(1)[0]).sum(1, keepdims=True))
    shifts[7] = 2.5, -2.0
    found, left, predicted = bend_of(places, shifts, information)
    assert promises(left, predicted)
    along = dict(zip(POWERS, found[0], strict=True))
    assert along[3, 0] == pytest.approx(-0.8, abs=0.12)
    assert along[1, 2] == along[3, 0]


# what is evaluated per tile -------------------------------------------------------------

BENT = Transform((0.99, 0.02, 3.0, -0.02, 1.01, -2.0, 1e-5, -2e-5, 1.0), lens(6.0))


def test_a_bent_map_has_the_same_bits_in_every_tile():
    frame = Box(0, 0, 131, 167)
    whole = BENT.maps(frame)
    for size in (23, 37, 64):
        for tile in tiles((131, 167), size):
            for part, all_of_it in zip(BENT.maps(tile), whole, strict=True):
                assert part.dtype == np.float32
                assert np.array_equal(part, tile.crop(all_of_it, frame))


def test_a_bent_map_is_that_of_its_points_to_a_hundredth_of_a_pixel():
    box = Box(300, 500, 371, 607)
    y, x = np.mgrid[box.top : box.bottom, box.left : box.right]
    expected = BENT.apply(np.column_stack([x.ravel(), y.ravel()]))
    np.testing.assert_allclose(np.column_stack([m.ravel() for m in BENT.maps(box)]), expected, atol=0.01)
    lens_only = np.abs(expected - Transform(BENT.matrix).apply(np.column_stack([x.ravel(), y.ravel()]))).max()
    assert lens_only > 0.1


def test_a_bend_without_displacement_is_the_homography():
    box, nothing = Box(10, 20, 90, 120), Bend(CENTRE, UNIT, (0.0,) * len(POWERS), (0.0,) * len(POWERS))
    for bent, straight in zip(Transform(BENT.matrix, nothing).maps(box), Transform(BENT.matrix).maps(box), strict=True):
        np.testing.assert_allclose(bent, straight, atol=0.01)


def test_whole_pixels_are_not_copied_past_a_bend(bench):
    shot, _ = bench.photograph(seed=1)
    box, table = Box(100, 100, 140, 150), linear_table("uint8", "srgb")
    still = resample(shot, Transform(), box, table)
    bent = resample(shot, Transform(bend=lens(8.0)), box, table)
    assert not np.array_equal(still, bent)


def test_a_bent_shot_is_sampled_where_its_map_says():
    y, x = np.mgrid[:800, :1000]
    ramps = np.stack([x * 60, y * 60], axis=2).astype(np.uint16)
    table, box = linear_table("uint16", "linear"), Box(200, 300, 290, 420)
    found = resample(ramps, BENT, box, table) / 60.0
    np.testing.assert_allclose(found, np.stack(BENT.maps(box)), atol=1 / 256 + 1 / 60)
