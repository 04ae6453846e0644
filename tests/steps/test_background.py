"""Large-scale background."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from residue_batch.geometry import Box, tiles
from residue_batch.step import STEPS, Bound, ParameterError
from residue_batch.steps.background import _PATCH, CellField, difference
from residue_batch.tally import merge_all

FRAME = (300, 410)
ROWS, COLUMNS = np.indices(FRAME, np.float32)
SMOOTH = (0.2 + 0.1 * np.sin(COLUMNS / 90) + 0.1 * np.cos(ROWS / 80)).astype(np.float32)
RNG = np.random.default_rng(4)


def bound(**parameters: float) -> Bound:
    return Bound("background", 2, tuple({"cell": 8.0, "sigma": 12.0, **parameters}.items()))


def field(made: Bound, plane: np.ndarray, where: np.ndarray) -> CellField:
    tally = made.fit_chunk(plane, where=where, at=Box.whole(FRAME), frame=FRAME)
    decided = made.decide(tally, FRAME)
    assert isinstance(decided, CellField)
    return decided


def run(made: Bound, plane: np.ndarray, where: np.ndarray) -> np.ndarray:
    return made(plane, where=where, at=Box.whole(FRAME), frame=FRAME, fitted=field(made, plane, where))


def test_a_smooth_field_is_found_under_noise_and_holes() -> None:
    where = RNG.random(FRAME) < 0.8
    where[100:140, 100:160] = False
    plane = np.where(where, SMOOTH + RNG.normal(0, 0.02, FRAME).astype(np.float32), np.float32(np.nan))
    found = run(bound(), plane, where)
    assert np.abs(found - SMOOTH)[where].max() < 0.02
    assert np.abs(found - SMOOTH)[100:140, 100:160].max() < 0.03


def test_it_is_close_to_a_normalised_gaussian_at_full_resolution() -> None:
    where = RNG.random(FRAME) < 0.6
    plane = SMOOTH + (RNG.random(FRAME) < 0.1).astype(np.float32)
    found = run(bound(cell=4.0, sigma=20.0), plane, where)
    smooth, weight = (ndimage.gaussian_filter(a.astype(float), 20, mode="constant") for a in (plane * where, where))
    np.testing.assert_allclose(found, smooth / weight, atol=1e-4)


def test_holes_and_bright_patches_change_it_no_more_than_the_gaussian_itself() -> None:
    where = np.ones(FRAME, bool)
    where[90:180, 100:260] = False
    plane = SMOOTH + np.where((ROWS // 9 + COLUMNS // 7) % 5 == 0, np.float32(0.5), np.float32(0))
    found = run(bound(cell=8.0, sigma=25.0), plane, where)
    smooth, weight = (ndimage.gaussian_filter(a.astype(float), 25, mode="constant") for a in (plane * where, where))
    np.testing.assert_allclose(found[where], (smooth / weight)[where], atol=1e-3)


def test_a_constant_stays_constant_to_the_corners() -> None:
    where = np.ones(FRAME, bool)
    np.testing.assert_allclose(run(bound(), np.full(FRAME, 0.25, np.float32), where), 0.25, rtol=1e-6)


def test_nothing_valid_is_zero() -> None:
    assert not run(bound(), SMOOTH, np.zeros(FRAME, bool)).any()


def test_a_tally_is_as_small_as_its_tile() -> None:
    frame = (40_000, 40_000)
    box = Box(20_000, 30_000, 20_100, 30_100)
    tally = bound(cell=32.0, sigma=64.0).fit_chunk(
        np.ones(box.shape, np.float32), where=np.ones(box.shape, bool), at=box, frame=frame
    )
    assert sum(v.size for v in tally.values()) <= 2 * 4 * _PATCH**2
    # each pixel counts for the four cells around it, in parts of a half pixel of either direction
    assert sum(int(v[1].sum()) for v in tally.values()) == box.pixels * 64**2


def test_more_patches_than_one_join_without_a_seam() -> None:
    made = bound(cell=2.0, sigma=3.0)
    where = np.ones(FRAME, bool)
    parts = [made.fit_chunk(t.crop(SMOOTH, Box.whole(FRAME)), where=t.crop(where, Box.whole(FRAME)), at=t, frame=FRAME)
             for t in tiles(FRAME, 77)]  # fmt: skip
    assert len(merge_all(parts)) > 4
    assert made.decide(merge_all(parts), FRAME) == field(made, SMOOTH, where)
    assert np.abs(run(made, SMOOTH, where) - SMOOTH)[8:-8, 8:-8].max() < 2e-3


def test_a_nan_that_counts_is_an_error_not_a_clean_cell() -> None:
    plane = SMOOTH.copy()
    plane[3, 3] = np.nan
    with pytest.raises(FloatingPointError):
        field(bound(), plane, np.ones(FRAME, bool))


def test_a_sigma_below_two_thirds_of_a_cell_is_refused() -> None:
    with pytest.raises(ParameterError, match="less than two thirds of a cell"):
        STEPS["background"].signature.validate({"cell": "32 px", "sigma": "10 px"}, None)


def test_difference_subtracts() -> None:
    np.testing.assert_array_equal(difference(SMOOTH, SMOOTH * 3), SMOOTH - SMOOTH * 3)
