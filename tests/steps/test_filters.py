"""Smoothing inside a mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from residue_batch.steps.filters import gaussian, gaussian_radius, gaussian_weights

RNG = np.random.default_rng(5)
PLANE = RNG.normal(0.1, 1, (70, 83)).astype(np.float32)
WHERE = RNG.random(PLANE.shape) < 0.7
WHERE[10:40, 20:60] = False


def oracle(plane: np.ndarray, where: np.ndarray, sigma: float) -> np.ndarray:
    smooth, weight = (
        ndimage.gaussian_filter(part.astype(np.float64), sigma, mode="constant") for part in (plane * where, where)
    )
    return np.divide(smooth, weight, out=np.zeros_like(smooth), where=weight > 0)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 6.0])
def test_gaussian_is_the_ratio_of_two_scipy_gaussians(sigma: float) -> None:
    np.testing.assert_allclose(gaussian(PLANE, where=WHERE, sigma=sigma), oracle(PLANE, WHERE, sigma), atol=2e-5)


@pytest.mark.parametrize("shape", [(70, 83), (9, 83), (70, 8), (1, 1), (1, 30), (17, 17), (33, 32)])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 2.0])
def test_a_full_mask_takes_the_short_way_to_the_same_bits(shape: tuple[int, int], sigma: float) -> None:
    plane = PLANE[: shape[0], : shape[1]]
    full = np.ones(shape, bool)
    # one hole, so far off that the last pixels do not see it
    wide = np.pad(plane, ((40, 0), (0, 0)))
    seen = np.pad(full, ((40, 0), (0, 0)))
    seen[:40] = False
    np.testing.assert_array_equal(
        gaussian(wide, where=seen, sigma=sigma)[40:], gaussian(plane, where=full, sigma=sigma)
    )


@pytest.mark.parametrize("sigma", [2.0, 20.0])
def test_a_plane_of_many_strips_and_stretches_is_smoothed_as_its_parts_are(sigma: float) -> None:
    random = np.random.default_rng(8)
    plane, where = random.random((300, 1301), np.float32), random.random((300, 1301)) < 0.999
    whole, reach = gaussian(plane, where=where, sigma=sigma), gaussian_radius(sigma)
    np.testing.assert_allclose(whole, oracle(plane, where, sigma), atol=2e-6)
    for top, left in ((0, 0), (37, 401), (110, 950), (189, 1201)):
        inner = slice(top, top + 111), slice(left, left + 100)
        outer = tuple(slice(max(part.start - reach, 0), part.stop + reach) for part in inner)
        part = gaussian(plane[outer], where=where[outer], sigma=sigma)
        off = tuple(slice(a.start - b.start, a.start - b.start + 111) for a, b in zip(inner, outer, strict=True))
        np.testing.assert_array_equal(part[off][: 300 - top, :100], whole[inner])


def test_a_constant_stays_constant_up_to_the_edges_of_frame_and_mask() -> None:
    plane = np.where(WHERE, np.float32(0.7), np.float32(np.nan))
    smooth = gaussian(plane, where=WHERE, sigma=2.0)
    np.testing.assert_allclose(smooth[WHERE], 0.7, rtol=1e-6)


def test_pixels_without_a_neighbour_that_counts_are_zero() -> None:
    where = np.zeros((30, 30), bool)
    where[0, 0] = True
    smooth = gaussian(np.full((30, 30), 5, np.float32), where=where, sigma=1.0)
    assert smooth[0, 0] == pytest.approx(5)
    assert smooth[4, 4] == pytest.approx(5)
    assert not smooth[5:].any()
    assert not smooth[:, 5:].any()


def test_the_kernel_reaches_as_far_as_the_halo_says_and_adds_up_to_one() -> None:
    for sigma in (0.1, 0.5, 1.0, 2.3, 10.0):
        weights = gaussian_weights(sigma)
        assert len(weights) == gaussian_radius(sigma) + 1
        assert weights[0] + 2 * weights[1:].sum() == pytest.approx(1)
