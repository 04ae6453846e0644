"""What is gone, what is new, and that noise is neither."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.api import try_pair
from residue_batch.geometry import Box, tiles
from residue_batch.measure import BoundMeasure
from residue_batch.measures.cells import CELL
from residue_batch.synthetic import clean_residue, photograph, plant_residue, render_board, write_shot
from residue_batch.tally import ONE, Tally, fixed, merge_all

CHANGE = BoundMeasure("change", 1, ())
SHAPE = (200, 264)
FULL = np.ones(SHAPE, bool)
PARTS = ("removed", "new", "unchanged")


def tally_of(before: np.ndarray, after: np.ndarray, where: np.ndarray = FULL, tile: int = 1024) -> Tally:
    planes = [plane.astype(np.float32) for plane in (before, after)]
    return merge_all(
        CHANGE(
            *(p[box.within(Box.whole(SHAPE))] for p in planes),
            where=where[box.within(Box.whole(SHAPE))],
            at=box,
            frame=SHAPE,
        )
        for box in tiles(SHAPE, tile)
    )


def measured(before: np.ndarray, after: np.ndarray, where: np.ndarray = FULL, tile: int = 1024) -> dict[str, float]:
    return dict(CHANGE.finalize(tally_of(before, after, where, tile)))


def noise(seed: int, sd: float = 0.02) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, sd, SHAPE)


def spots(seed: int, radius: int = 9, count: int = 12, opacity: float = 0.4) -> np.ndarray:
    sheet, rng = np.zeros(SHAPE, np.float32), np.random.default_rng(seed)
    for x, y in zip(rng.integers(0, SHAPE[1], count), rng.integers(0, SHAPE[0], count), strict=True):
        cv2.circle(sheet, (int(x), int(y)), radius, opacity, -1)
    return sheet


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([17, 23, 64, 1024]), st.floats(0.002, 3))
def test_the_parts_add_up_to_the_change_of_the_load_in_exact_integers(seed: int, tile: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    before, after = (rng.normal(0.1, size, SHAPE).astype(np.float32) for _ in range(2))
    where = spots(seed, radius=25, count=5) == 0
    found = measured(before, after, where, tile)
    scale = int(where.sum()) * ONE
    removed, new, unchanged = (round(found[part] * scale) for part in PARTS)
    loads = [int(fixed(plane[where]).sum(dtype=np.int64)) for plane in (before, after)]
    assert removed - new + unchanged == loads[0] - loads[1]
    assert removed >= 0
    assert new >= 0
    assert round(found["remaining"] * scale) == loads[1] - new


@pytest.mark.parametrize("tile", [16, 31, 72])
def test_tiles_that_cut_cells_change_nothing(tile: int) -> None:
    before, after = spots(1) + noise(2), spots(3) + noise(4)
    where = spots(5, radius=20) == 0
    assert measured(before, after, where, tile) == measured(before, after, where)


def test_an_unchanged_board_loses_nothing_and_gains_nothing() -> None:
    residue = spots(1) + 0.1
    found = measured(residue + noise(2), residue + noise(3))
    assert found["removed"] < 1e-4
    assert found["new"] < 1e-4
    assert found["removed_area_pct"] + found["new_area_pct"] < 0.6, "the tails of a normal distribution beyond 3 sd"
    positive = np.maximum(noise(2) - noise(3), 0).mean()
    assert positive > 0.01, "which positive differences alone would call removed"


def test_what_goes_and_what_comes_are_told_apart() -> None:
    gone, come = spots(1), spots(2, count=6)
    stays = spots(3, radius=14, opacity=0.2)
    found = measured(stays + gone + noise(4, 0.005), stays + come + noise(5, 0.005))
    both = np.minimum(gone, come).mean()  # where one replaces the other nothing changes
    assert found["removed"] == pytest.approx(gone.mean() - both, rel=0.02)
    assert found["new"] == pytest.approx(come.mean() - both, rel=0.02)
    assert found["remaining"] == pytest.approx(stays.mean() + both, rel=0.03)


def test_a_film_that_goes_everywhere_is_removed_though_no_cell_is_unchanged() -> None:
    film = 0.1 + 0.03 * np.sin(np.arange(SHAPE[1]) / 30)
    found = measured(film + noise(1), noise(2))
    assert found["removed"] == pytest.approx(film.mean(), abs=0.002)
    assert found["removed_area_pct"] > 97


def test_the_level_is_three_times_the_noise_of_a_cell() -> None:
    found = measured(noise(1), noise(2))
    assert found["level"] == pytest.approx(3 * 0.02 * math.sqrt(2) / CELL, rel=0.1)


def test_crystals_do_not_pass_for_noise() -> None:
    change = spots(1, radius=3, count=30, opacity=0.8)
    assert measured(change + noise(2), noise(3))["level"] < 1.25 * measured(noise(2), noise(3))["level"]


def test_without_a_whole_block_there_is_no_number() -> None:
    where = np.zeros(SHAPE, bool)
    where[:3] = True
    assert all(math.isnan(value) for value in measured(noise(1), noise(2), where).values())


def test_a_nan_that_counts_is_an_error() -> None:
    before = noise(1)
    before[7, 7] = np.nan
    with pytest.raises(FloatingPointError):
        measured(before, noise(2))


# photographs ---------------------------------------------------------------------------

BOARD = """
schema: 1
workflow: redeposition
planes:
  opacity: {step: unmix}
  glare: {step: glare, of: raw}
exclude: [glare]
measures:
  load: {measure: load, of: opacity}
  change: {measure: change, of: [opacity.before, opacity.after]}
"""


@pytest.fixture(scope="module")
def flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flow") / "redeposition.yaml"
    path.write_text(BOARD)
    return path


def test_a_board_that_was_not_cleaned_loses_and_gains_nothing(flow: Path, tmp_path: Path) -> None:
    lot = small.make_lot(tmp_path, 1, ("null",))
    values = try_pair(lot.board_type, lot.shot(0, "before"), lot.shot(0, "after"), flow)["values"]
    assert values["load"][0][0] > 0.05
    assert values["change_removed"][0] < 0.03 * values["load"][0][0]
    assert values["change_new"][0] < 0.03 * values["load"][0][0]


def test_what_settles_elsewhere_while_cleaning_is_new(flow: Path, tmp_path: Path) -> None:
    lot = small.make_lot(tmp_path / "lot", 1)
    board = render_board(3, small.SHAPE, lot.truth.colour)
    before = plant_residue(board, 5, 0.08)
    after = clean_residue(board, before, 6, 0.95, redeposit=0.25)
    for name, opacity, seed in (("before", before, 7), ("after", after, 8)):
        write_shot(tmp_path / f"{name}.png", photograph(board, opacity, seed, "easy").pixels)
    values = try_pair(lot.board_type, tmp_path / "before.png", tmp_path / "after.png", flow)["values"]
    counted = board.counted()
    fall = cv2.blur(before - after, (9, 9))[counted]
    true_new, true_removed = -np.minimum(fall, 0).mean(), np.maximum(fall, 0).mean()
    assert true_new > 0.01
    assert values["change_new"][0] == pytest.approx(true_new, rel=0.25)
    assert values["change_removed"][0] == pytest.approx(true_removed, rel=0.25)
    loads = [phase[0] for phase in values["load"]]
    total = values["change_removed"][0] - values["change_new"][0] + values["change_unchanged"][0]
    assert total == pytest.approx(loads[0] - loads[1], abs=1e-11)
