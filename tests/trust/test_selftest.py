"""The self test: a sound board type passes, one that was spoilt on purpose does not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import small

import residue_batch as rb
from residue_batch.config import load_board_type
from residue_batch.errors import UsageError
from residue_batch.synthetic import photograph, plant_residue, render_board, write_shot
from residue_batch.trust.planted import chance
from residue_batch.trust.planting import AMOUNTS, clean_shot, plant

SHAPE = (600, 800)


@pytest.fixture(scope="module")
def booth(tmp_path_factory) -> small.SmallLot:
    """A board type with its golden shot."""
    return small.make_lot(tmp_path_factory.mktemp("booth"), boards=1, shape=SHAPE)


def measured_back(booth, board_type=None, **given):
    options = {"boards": 6, "difficulty": "easy", "workflow": booth.workflow, "workers": 0}
    return rb.selftest(board_type or booth.board_type, **options | given)


@pytest.fixture(scope="module")
def passed(booth):
    return measured_back(booth)


def test_a_sound_board_type_measures_what_was_planted(passed):
    assert passed.failures == ()
    assert passed.mean_error < 3
    assert [board.kind for board in passed.boards] == list(AMOUNTS)
    by_kind = {board.kind: board for board in passed.boards}
    assert by_kind["typical"].true_pct == pytest.approx(90, abs=1)
    assert by_kind["null"].true_pct == 0
    assert by_kind["worse"].true_pct < -20
    assert by_kind["worse"].status == "increase"
    assert by_kind["blank"].true_pct is None
    assert by_kind["blank"].status == "before_below_lod"


def test_the_planted_amount_is_what_the_truth_says(booth, tmp_path):
    clean = clean_shot(load_board_type(str(booth.board_type)), booth.folder / booth.truth.golden, 3)
    truth = plant(clean, "heavy", 4, "fixed", tmp_path, "one")
    assert truth.before == pytest.approx(AMOUNTS["heavy"].load, rel=0.05)
    assert truth.after == pytest.approx(0.3 * truth.before, rel=0.1)
    # more light comes from a soiled board, most of it before cleaning
    means = [cv2.imread(str(p)).mean() for p in (tmp_path / "one_before.png", tmp_path / "one_after.png")]
    golden = small.read_image(booth.folder / booth.truth.golden).mean()
    assert means[0] > means[1] > golden


def test_the_same_seed_plants_the_same_and_another_one_something_else(booth, tmp_path):
    clean = clean_shot(load_board_type(str(booth.board_type)), booth.folder / booth.truth.golden, 3)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        plant(clean, "typical", seed, "easy", tmp_path, name)
    files = {name: (tmp_path / f"{name}_after.png").read_bytes() for name in "abc"}
    assert files["a"] == files["b"] != files["c"]


def test_other_clean_photographs_are_planted_on_where_the_board_lies_in_them(booth, tmp_path):
    board = render_board(3, SHAPE)
    moved = tmp_path / "clean.png"
    write_shot(moved, photograph(board, None, 77, "easy").pixels)
    found = measured_back(booth, clean=[moved], boards=3)
    assert found.photos == (str(moved),)
    assert found.failures == ()


def test_a_golden_shot_that_carries_residue_is_out_of_tolerance(booth, tmp_path):
    board = render_board(3, SHAPE)
    clean, dirty = tmp_path / "clean.png", tmp_path / "dirty.png"
    write_shot(clean, photograph(board, None, 5, "easy").pixels)
    write_shot(dirty, photograph(board, plant_residue(board, 9, 0.05), 5, "fixed").pixels)
    wrong = small.write_type(tmp_path / "wrong.yaml", booth.truth, golden=str(dirty))
    found = measured_back(booth, wrong, clean=[clean])
    assert found.failures
    assert found.mean_error is None or found.mean_error > 3


def test_a_golden_shot_of_another_board_is_found_before_anything_is_planted(booth, tmp_path):
    clean, other = tmp_path / "clean.png", tmp_path / "other.png"
    write_shot(clean, photograph(render_board(3, SHAPE), None, 5, "easy").pixels)
    write_shot(other, photograph(render_board(99, SHAPE), None, 5, "fixed").pixels)
    wrong = small.write_type(tmp_path / "wrong.yaml", booth.truth, golden=str(other))
    with pytest.raises(UsageError, match="clean.png"):
        measured_back(booth, wrong, clean=[clean])


def test_a_white_patch_that_is_not_white_is_refused(booth, tmp_path):
    wrong = small.write_type(tmp_path / "wrong.yaml", booth.truth, golden=str(booth.folder / booth.truth.golden))
    board = render_board(3, SHAPE)
    dark = board.linear.sum(2)
    # somewhere on bare solder mask
    inside = board.counted()
    y, x = np.argwhere(inside & (dark < np.median(dark[inside])))[1000]
    text = wrong.read_text()
    start, end = text.index("white:"), text.index("\nignore:")
    wrong.write_text(f"{text[:start]}white: {{box: [{x}, {y}, 12, 12]}}{text[end:]}")
    with pytest.raises(UsageError, match="white patch is (not white|black)"):
        measured_back(booth, wrong)


def test_a_tolerance_that_is_not_met_is_said_in_points(passed):
    strict = replace(passed, tolerance=1e-3)
    assert any("mean absolute error" in line for line in strict.failures)
    assert any("is off by" in line for line in strict.failures)


def test_intervals_that_miss_the_truth_too_often_are_out_of_tolerance(passed):
    def with_width(half):
        boards = [
            replace(b, low_pct=b.estimate_pct - half, high_pct=b.estimate_pct + half)
            if b.estimate_pct is not None
            else b
            for b in passed.boards
        ]
        return replace(passed, boards=tuple(boards))

    wide, narrow = with_width(20.0), with_width(1e-6)
    assert wide.covered == (5, 5)
    assert wide.mean_width == pytest.approx(40)
    assert wide.failures == ()
    assert narrow.covered == (0, 5)
    assert any("intervals hold the truth" in line for line in narrow.failures)


def test_a_board_without_a_number_and_a_blank_that_reads_something_are_failures(passed):
    boards = list(passed.boards)
    boards[0] = replace(boards[0], reason="registration", message="too unlike", estimate_pct=None)
    boards[5] = replace(boards[5], load_after=0.004)
    found = replace(passed, boards=tuple(boards)).failures
    assert any("has no number: registration" in line for line in found)
    assert any("is clean and reads 0.004" in line for line in found)


def test_chance_is_the_binomial_one():
    assert chance(6, 6, 0.9) == pytest.approx(1)
    assert chance(0, 3, 0.9) == pytest.approx(0.001)
    assert chance(4, 6, 0.9) == pytest.approx(0.1143, abs=1e-4)


def test_a_type_without_a_clean_photograph_asks_for_one(booth, tmp_path):
    frame = str(booth.folder / booth.truth.golden)
    pair = small.write_type(tmp_path / "pair.yaml", booth.truth, "pair", golden=frame)
    with pytest.raises(UsageError, match="--clean"):
        measured_back(booth, pair)
    # with one, pair mode is tested too, and is found as inaccurate as it is
    found = measured_back(booth, pair, clean=[frame], boards=2)
    assert {board.status for board in found.boards} <= {"measured", "refused", "increase", "after_below_lob"}


def test_grey_and_16_bit_photographs_are_planted_on_as_they_are(booth, tmp_path):
    pixels = small.read_image(booth.folder / booth.truth.golden)
    grey = small.write_image(tmp_path / "grey.png", cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY))
    deep = small.write_image(tmp_path / "deep.tif", pixels.astype(np.uint16) * 257)
    for name, golden, extra in (("g", grey, ""), ("d", deep, "tone: srgb\n")):
        board_type = small.write_type(tmp_path / f"{name}.yaml", booth.truth, golden=str(golden), extra=extra)
        found = measured_back(booth, board_type, boards=1, tolerance=10, folder=tmp_path / name)
        assert found.boards[0].status == "measured"
        written = small.read_image(next((tmp_path / name / "shots").glob("*_before.*")))
        assert (written.dtype, written.ndim) == (small.read_image(golden).dtype, small.read_image(golden).ndim)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"boards": 0}, "at least one board"),
        ({"tolerance": 0}, "tolerance above 0"),
        ({"difficulty": "absurd"}, "no such difficulty"),
    ],
)
def test_wrong_arguments_are_named(booth, given, text):
    with pytest.raises(UsageError, match=text):
        measured_back(booth, **given)


def test_a_folder_that_holds_something_is_not_written_into(booth, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        measured_back(booth, folder=tmp_path)
