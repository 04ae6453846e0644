"""Boards of known truth: deterministic, honest about what was planted, and placed where they say."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from residue_batch.errors import UsageError
from residue_batch.synthetic import (
    BOARD_KINDS,
    COLOURS,
    DIFFICULTIES,
    FORMATS,
    Board,
    areas,
    clean_residue,
    compose,
    photograph,
    plant_residue,
    render_board,
    true_reduction,
    write_lot,
)
from residue_batch.synthetic.board import polygon_mask
from residue_batch.synthetic.camera import _glints

SHAPE = (300, 400)


@pytest.fixture(scope="module")
def board() -> Board:
    return render_board(3, SHAPE)


@pytest.fixture(scope="module")
def opacity(board: Board) -> np.ndarray:
    return plant_residue(board, 5, 0.08)


def read(path: Path, mode: int = cv2.IMREAD_COLOR) -> np.ndarray:
    image = cv2.imread(str(path), mode)
    assert image is not None
    return np.asarray(image)


def decoded(pixels: np.ndarray) -> np.ndarray:
    code = pixels.astype(np.float64) / np.iinfo(pixels.dtype).max
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def test_the_same_seed_gives_the_same_bytes(board: Board, opacity: np.ndarray) -> None:
    render_board.__globals__["_board_type"].cache_clear()
    again = render_board(3, SHAPE)
    assert np.array_equal(board.linear, again.linear)
    assert np.array_equal(opacity, plant_residue(again, 5, 0.08))
    assert np.array_equal(clean_residue(board, opacity, 6), clean_residue(again, opacity, 6))
    assert np.array_equal(photograph(board, opacity, 7).pixels, photograph(again, opacity, 7).pixels)


def test_another_seed_gives_another_board_other_residue_and_another_shot(board: Board, opacity: np.ndarray) -> None:
    assert not np.array_equal(board.linear, render_board(4, SHAPE).linear)
    assert not np.array_equal(opacity, plant_residue(board, 6, 0.08))
    assert not np.array_equal(photograph(board, opacity, 7).pixels, photograph(board, opacity, 8).pixels)


def test_units_of_a_type_share_their_geometry_and_differ_a_little(board: Board) -> None:
    unit = render_board(3, SHAPE, unit=2)
    assert (unit.outline, unit.label, unit.elements) == (board.outline, board.label, board.elements)
    counted = board.counted()
    difference = np.abs(unit.linear - board.linear)[counted]
    assert 0 < difference.mean() < 0.02


@pytest.mark.parametrize("colour", COLOURS)
def test_a_board_of_each_colour_is_finite_and_its_label_is_its_white(colour: str) -> None:
    plain = render_board(1, (150, 200), colour)
    assert np.isfinite(plain.linear).all()
    assert plain.linear.min() >= 0
    x, y, width, height = plain.label
    patch = plain.linear[y : y + height, x : x + width].reshape(-1, 3)
    assert np.percentile(patch, 60, axis=0) == pytest.approx(plain.white, rel=0.06)


@pytest.mark.parametrize("shape", [(150, 600), (500, 160), (240, 240)])
def test_a_board_of_any_aspect_has_six_elements_with_white_bars_inside_its_outline(shape: tuple[int, int]) -> None:
    plain = render_board(2, shape)
    inside = plain.inside()
    assert len(plain.elements) == len(plain.bars) == 6
    for (x, y, width, height), bar in zip(plain.elements, plain.bars, strict=True):
        assert inside[y : y + height, x : x + width].all()
        assert bar[1] + bar[3] == y + height
        assert bar[3] == round(0.15 * height)
        assert plain.metal[y : y + height - bar[3], x : x + width].mean() > 0.7


def test_the_amount_planted_is_the_mean_opacity_over_what_counts(board: Board) -> None:
    for amount in (0.02, 0.08, 0.15):
        assert plant_residue(board, 9, amount)[board.counted()].mean() == pytest.approx(amount, rel=0.05)
    assert not plant_residue(board, 9, 0.0).any()


def test_residue_lies_only_where_it_may_and_the_label_stays_clean(board: Board, opacity: np.ndarray) -> None:
    after = clean_residue(board, opacity, 1, 0.8, redeposit=0.05)
    x, y, width, height = board.label
    for sheet in (opacity, after):
        assert sheet.dtype == np.float32
        assert 0 <= sheet.min() <= sheet.max() < 1
        assert not sheet[~board.inside()].any()
        assert not sheet[y : y + height, x : x + width].any()


@pytest.mark.parametrize("kind", ["crystal", "film", "haze", "spatter"])
def test_each_kind_of_residue_can_be_planted_alone(board: Board, kind: str) -> None:
    sheet = plant_residue(board, 4, 0.02, (kind,))
    assert sheet[board.counted()].mean() == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize("efficiency", [0.5, 0.9, 0.98, 1.0])
def test_cleaning_removes_the_share_it_says(board: Board, opacity: np.ndarray, efficiency: float) -> None:
    after = clean_residue(board, opacity, 2, efficiency)
    reduction = true_reduction(board, opacity, after)["whole"].reduction_pct
    assert reduction == pytest.approx(100 * efficiency, abs=2)


def test_cleaning_leaves_some_deposits_untouched_and_some_as_faint_haze(board: Board, opacity: np.ndarray) -> None:
    after = clean_residue(board, opacity, 2, 0.85)
    thick = opacity > 0.2
    kept = after[thick] / opacity[thick]
    assert (kept > 0.9).mean() > 0.01
    assert ((kept > 0.005) & (kept < 0.3)).mean() > 0.3


def test_redeposited_residue_adds_to_what_remains(board: Board, opacity: np.ndarray) -> None:
    less, more = (clean_residue(board, opacity, 2, 0.9, share)[board.counted()].mean() for share in (0.0, 0.05))
    assert more - less == pytest.approx(0.05 * 0.08, rel=0.35)


def test_the_truth_is_the_mean_of_the_composited_opacity(board: Board, opacity: np.ndarray) -> None:
    after = clean_residue(board, opacity, 3, 0.9)
    dirty, clean = compose(board, opacity).astype(np.float64), compose(board, None).astype(np.float64)
    white = np.array(board.white)
    span = ((white - clean) ** 2).sum(-1)
    counted = board.counted() & (span > 0.02)
    unmixed = ((dirty - clean) * (white - clean)).sum(-1)[counted] / span[counted]
    assert unmixed == pytest.approx(opacity[counted], abs=1e-4)
    truth = true_reduction(board, opacity, after)
    whole = board.counted()
    assert truth["whole"].load_before == pytest.approx(float(opacity[whole].mean()), rel=1e-5)
    assert truth["whole"].reduction_pct == pytest.approx(
        100 * (1 - after[whole].sum() / opacity[whole].sum()), abs=1e-3
    )
    assert next(iter(truth)) == "whole"
    assert truth["elements"].pixels == sum(truth[f"element_{n}"].pixels for n in range(1, 7))


def test_the_truth_of_a_clean_board_has_no_reduction(board: Board) -> None:
    nothing = np.zeros(SHAPE, np.float32)
    assert true_reduction(board, nothing, nothing)["whole"].reduction_pct is None


def test_what_counts_leaves_out_label_and_white_bars(board: Board) -> None:
    for mask in areas(board).values():
        assert mask.any()
        for x, y, width, height in (board.label, *board.bars):
            assert not mask[y : y + height, x : x + width].any()


def test_residue_brightens_the_board(board: Board, opacity: np.ndarray) -> None:
    clean, dirty = (decoded(photograph(board, a, 1, "fixed").pixels).mean(-1) for a in (None, opacity))
    thick = (opacity > 0.4) & ~board.metal
    assert dirty[thick].mean() > clean[thick].mean() + 0.15
    untouched = (opacity == 0) & board.inside() & ~board.metal
    assert dirty[untouched].mean() == pytest.approx(clean[untouched].mean(), abs=0.01)


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_homography_says_where_a_marker_of_the_frame_lies_in_the_shot(board: Board, difficulty: str) -> None:
    for seed, (x, y) in enumerate([(120, 90), (280, 210), (200, 150)]):
        sheet = np.full(SHAPE, 0.0, np.float32)
        v, u = np.mgrid[: SHAPE[0], : SHAPE[1]]
        sheet[(u - x) ** 2 + (v - y) ** 2 <= 36] = 0.96
        shots = [photograph(board, a, seed, difficulty, 16) for a in (None, sheet)]
        assert np.array_equal(shots[0].matrix, shots[1].matrix)
        extra = np.clip(decoded(shots[1].pixels) - decoded(shots[0].pixels), 0, None).sum(-1)
        mapped = shots[1].matrix @ (x, y, 1.0)
        expected = mapped[:2] / mapped[2]
        near = extra * (extra > 0.3 * extra.max())
        found = np.array([(near * u).sum(), (near * v).sum()]) / near.sum()
        assert found == pytest.approx(expected, abs=1.5)


def test_the_fixed_shot_is_the_frame_itself(board: Board) -> None:
    shot = photograph(board, None, 1, "fixed", 16)
    assert np.array_equal(shot.matrix, np.eye(3))
    x, y, width, height = board.label
    label = decoded(shot.pixels)[y : y + height, x : x + width].reshape(-1, 3)
    assert np.percentile(label, 60, axis=0) == pytest.approx(board.white, rel=0.06)


def test_highlights_on_metal_stand_still_in_a_booth_and_wander_for_shots_from_the_hand(board: Board) -> None:
    fixed, hand = (
        [_glints(board, np.random.default_rng(seed), DIFFICULTIES[name]) for seed in (1, 2)]
        for name in ("fixed", "hard")
    )
    np.testing.assert_array_equal(*fixed)
    assert np.abs(hand[0] - hand[1])[board.metal].mean() > 0.05
    assert not fixed[0][~board.metal].any()


def test_the_even_odd_rule_counts_pixel_centres() -> None:
    mask = polygon_mask(((1, 1), (4, 1), (4, 3), (1, 3)), (5, 6))
    assert mask.sum() == 3 * 2
    assert mask[1:3, 1:4].all()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("lot")
    write_lot(target, len(BOARD_KINDS), 1, (150, 200), "easy", kinds=BOARD_KINDS)
    return target


def test_a_lot_has_every_file_that_its_truth_names(folder: Path) -> None:
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    assert read(folder / truth["golden"]).shape == (150, 200, 3)
    named = {row[phase] for row in truth["boards"] for phase in ("before", "after") if row[phase]}
    assert named == {str(p.relative_to(folder)) for p in (folder / "shots").rglob("*.jpg")}
    assert [row["kind"] for row in truth["boards"]] == list(BOARD_KINDS)


def test_a_lot_plants_the_trouble_that_was_asked_for(folder: Path) -> None:
    rows = {row["kind"]: row for row in json.loads((folder / "truth.json").read_text(encoding="utf-8"))["boards"]}
    whole = {kind: row["regions"]["whole"] for kind, row in rows.items()}
    assert rows["unpaired"]["after"] is None
    assert whole["null"]["reduction_pct"] == 0
    assert whole["worse"]["reduction_pct"] < 0
    assert whole["blank"]["reduction_pct"] is None
    assert whole["reduce"]["reduction_pct"] > 50
    data = (folder / rows["truncated"]["after"]).read_bytes()
    assert not data.endswith(b"\xff\xd9")
    images = {p: read(folder / rows["swapped"][p]).mean() for p in ("before", "after")}
    assert images["before"] < images["after"]


def test_a_lot_is_written_twice_with_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_lot(tmp_path / name, 1, 2, (150, 200))
    first, second = (
        {p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in "ab"
    )
    assert len(first) == 4
    assert first == second


@pytest.mark.parametrize("name", FORMATS)
def test_a_lot_can_be_written_in_each_format(tmp_path: Path, name: str) -> None:
    truth = write_lot(tmp_path, 1, 2, (150, 200), format=name)
    before = truth.boards[0].before
    assert before is not None
    image = read(tmp_path / before, cv2.IMREAD_UNCHANGED)
    assert image.dtype == (np.uint16 if name.endswith("16") else np.uint8)
    assert image.shape == (150, 200, 3)


def test_wrong_arguments_are_usage_errors(board: Board, opacity: np.ndarray, tmp_path: Path) -> None:
    for wrong in (
        lambda: render_board(1, SHAPE, "mauve"),
        lambda: render_board(1, (20, 30)),
        lambda: plant_residue(board, 1, 0.9),
        lambda: plant_residue(board, 1, 0.1, ("snow",)),
        lambda: clean_residue(board, opacity, 1, 1.2),
        lambda: photograph(board, opacity, 1, "absurd"),
        lambda: photograph(board, opacity, 1, bits=12),
        lambda: photograph(board, opacity[:-1], 1),
        lambda: true_reduction(board, opacity[:-1], opacity),
        lambda: write_lot(tmp_path, format="bmp"),
        lambda: write_lot(tmp_path, kinds=("stolen",)),
        lambda: write_lot(tmp_path, 0),
    ):
        with pytest.raises(UsageError):
            wrong()
