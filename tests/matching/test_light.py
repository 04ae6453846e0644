from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from residue_batch.errors import Refusal
from residue_batch.geometry import Box, Transform, tiles
from residue_batch.matching.light import Light
from residue_batch.matching.light_fit import fit_light
from residue_batch.matching.reference import white_colour
from residue_batch.matching.resample import blur, linear_table, resample
from residue_batch.matching.samples import anchors_of, sample_light
from residue_batch.steps.unmix import unmix

SHAPE = (700, 900)  # of the bench
TABLE = linear_table(np.uint8, "srgb")
LINEAR = linear_table(np.uint16, "linear")
TILTED = np.array([[1.004, 0.01, -6.3], [-0.012, 0.996, 8.4], [2e-6, -3e-6, 1.0]])


def matched(shot, transform, light, sigma=1.5):
    box = Box.whole(SHAPE)
    return light.matched(resample(shot, transform, box, TABLE), box, sigma)


def samples_of(shot, table, transform, reference, mask):
    return sample_light(shot, table, transform, anchors_of(reference, LINEAR, mask), mask.shape)


def planar(image):
    return np.ascontiguousarray(np.moveaxis(np.atleast_3d(image), -1, 0))


def load(bench, reference, white, shot, transform, light):
    base = blur(planar(reference), 1.5).astype(np.float32) / np.float32(65535)
    opacity = unmix(matched(shot, transform, light), base, white)
    return float(
        opacity[bench.outline & ~cv2.dilate(bench.patch.astype(np.uint8), np.ones((15, 15))).astype(bool)].mean()
    )


@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gain", [(1.0, 1.0, 1.0), (0.72, 0.75, 0.7), (1.3, 1.25, 1.35)])
def test_gain_and_field_are_found_under_residue(bench, haze, amount, gain):
    golden, _ = bench.photograph(seed=1)
    reference = TABLE[golden]
    white, assumed = white_colour(planar(reference), bench.patch)
    shot, transform = bench.photograph(haze * amount, TILTED, gain, vignette=0.25, seed=2)
    light = fit_light(samples_of(shot, TABLE, transform, reference, bench.outline), white, white_assumed=assumed)
    np.testing.assert_allclose(light.gain, gain, rtol=0.02)
    truth = float((haze * amount)[bench.outline & ~bench.patch].mean())
    assert load(bench, reference, white, shot, transform, light) == pytest.approx(truth, abs=0.0015 + 0.02 * truth)
    assert not light.film_confounded


def test_a_softer_shot_is_told_and_blurred_less(bench):
    golden, _ = bench.photograph(seed=1)
    reference = TABLE[golden]
    white, _ = white_colour(planar(reference), bench.patch)
    shot, transform = bench.photograph(None, soft=0.9, seed=2)
    light = fit_light(samples_of(shot, TABLE, transform, reference, bench.outline), white)
    assert light.extra_blur == pytest.approx(0.81, abs=0.2)
    assert light.sigma(1.5) == pytest.approx((2.25 - light.extra_blur) ** 0.5)
    assert abs(load(bench, reference, white, shot, transform, light)) < 0.001


def test_grey_shots_and_shots_without_a_patch_are_flagged(bench, haze):
    golden, _ = bench.photograph(seed=1)
    shot, transform = bench.photograph(haze, TILTED, (0.8, 0.8, 0.8), seed=2)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (golden, shot)]
    reference = TABLE[grey[0]]
    white, _ = white_colour(planar(reference), bench.patch)
    light = fit_light(samples_of(grey[1], TABLE, transform, reference, bench.outline), white)
    assert light.film_confounded
    assert light.gain == pytest.approx((0.8,), rel=0.02)
    assert matched(grey[1], transform, light).shape == (1, *SHAPE)
    reference = TABLE[golden]
    white, assumed = white_colour(planar(reference), None)
    assert assumed
    light = fit_light(samples_of(shot, TABLE, transform, reference, bench.outline), white, white_assumed=assumed)
    assert light.film_confounded
    np.testing.assert_allclose(light.gain, 0.8, rtol=0.02)


def light_of(**other):
    known = {
        "gain": (1.1, 1.0, 0.9),
        "field": (0.1, -0.05, -0.2, 0.03, -0.15),
        "extra_blur": 0.0,
        "film": 0.0,
        "clean_share": 1.0,
        "residual": 0.01,
        "samples": 1000,
        "share": 1.0,
        "film_confounded": False,
        "shape": SHAPE,
    }
    return Light(**{**known, **other})


def seen_in(light, box):
    """An even, white shot in the light of the reference: 1 / (gain x field)."""
    return light.matched(np.full((3, *box.shape), 65535, np.uint16), box, 0.0)


@pytest.mark.parametrize("size", [1, 15, 97, 256, 1000])
def test_the_field_has_the_same_bits_in_any_tile(size):
    light, whole = light_of(), Box.whole(SHAPE)
    full = seen_in(light, whole)
    assert full.shape == (3, *SHAPE)
    assert full.dtype == np.float32
    boxes = list(tiles(SHAPE, size))
    for box in boxes[:: max(1, len(boxes) // 200)]:
        np.testing.assert_array_equal(seen_in(light, box), full[:, *box.within(whole)])


def test_the_field_is_the_exponential_of_the_quadratic():
    light = light_of()
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    x, y = (x - (SHAPE[1] - 1) / 2) / (SHAPE[1] / 2), (y - (SHAPE[0] - 1) / 2) / (SHAPE[1] / 2)
    a, b, c, d, e = light.field
    truth = np.exp(a * x + b * y + c * x * x + d * x * y + e * y * y)
    found = seen_in(light, Box.whole(SHAPE))
    for channel, gain in zip(found, light.gain, strict=True):
        np.testing.assert_allclose(1 / channel, truth * gain, rtol=3e-4)


def test_the_blur_stays_within_bounds():
    assert light_of(extra_blur=-50.0).sigma(1.5) == 2.25
    assert light_of(extra_blur=50.0).sigma(1.5) == 0.75
    assert light_of().sigma(1.5) == 1.5


def test_the_same_bits_on_every_call_and_through_pickle(bench, haze):
    golden, _ = bench.photograph(seed=1)
    reference = TABLE[golden]
    white, _ = white_colour(planar(reference), bench.patch)
    shot, transform = bench.photograph(haze, TILTED, seed=2)
    first, again = (fit_light(samples_of(shot, TABLE, transform, reference, bench.outline), white) for _ in range(2))
    assert first == again
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_shot_without_usable_pixels_is_refused(bench):
    golden, _ = bench.photograph(seed=1)
    reference = TABLE[golden]
    white = np.array([0.6, 0.6, 0.6], np.float32)
    with pytest.raises(Refusal, match="light"):
        samples_of(np.full_like(golden, 255), TABLE, Transform(), reference, bench.outline)
    with pytest.raises(Refusal, match="light"):
        fit_light(samples_of(np.zeros_like(golden), TABLE, Transform(), reference, bench.outline), white)
