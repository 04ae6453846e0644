"""What blanks, nullcheck and selftest say at night, and how they end."""

from __future__ import annotations

import json

import pytest
import small


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> small.SmallLot:
    return small.make_lot(tmp_path_factory.mktemp("clean"), boards=3, kinds=("blank",))


@pytest.fixture(scope="module")
def uncleaned(tmp_path_factory) -> small.SmallLot:
    return small.make_lot(tmp_path_factory.mktemp("null"), boards=2, kinds=("null", "reduce"))


def of(lot, *more):
    return (lot.lot, "--workflow", lot.workflow, "--workers", 0, *more)


def test_blanks_prints_the_line_to_paste_and_nothing_else_in_green(residue, clean):
    result = residue("blanks", *of(clean))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1].startswith("detection: {lob: 0.0")
    assert "6 readings of 3 clean boards" in result.stdout
    assert "mean + 1.645 sd" in result.stdout
    assert "Put this into the YAML of small" in result.stderr
    document = json.loads(residue("blanks", *of(clean), "--json").stdout)
    assert document["exit_code"] == 0
    (kind,) = document["board_types"]
    assert kind["yaml"] == result.stdout.splitlines()[-1]
    assert kind["lob"] < kind["lod"]


def test_blanks_that_are_not_clean_end_with_3_and_name_the_boards(residue, lot):
    result = residue("blanks", *of(lot, "--low", lot.lot))
    assert result.exit_code == 3
    assert "too few blanks: 2 of 2" in result.stderr
    assert "detection:" not in result.stdout


def test_nullcheck_passes_an_uncleaned_board_and_ends_with_6_on_a_cleaned_one(residue, uncleaned):
    sound = (uncleaned.shot(0, "before"), uncleaned.shot(0, "after"))
    result = residue("nullcheck", uncleaned.board_type, *sound, "--workflow", uncleaned.workflow)
    assert result.exit_code == 0
    assert "1 board read 0 within tolerance" in result.stdout
    result = residue("nullcheck", *of(uncleaned))
    assert result.exit_code == 6
    assert "1 board of 2 did not read 0" in result.stderr
    assert "was it cleaned" in result.stderr
    document = json.loads(residue("nullcheck", *of(uncleaned), "--json").stdout)
    assert [board["passed"] for board in document["boards"]] == [True, False]
    assert document["exit_code"] == 6


def test_nullcheck_without_a_number_ends_with_3(residue, uncleaned):
    shot = uncleaned.shot(0, "before")
    result = residue("nullcheck", uncleaned.board_type, shot, shot, "--workflow", uncleaned.workflow)
    assert result.exit_code == 3
    assert "no number (duplicate)" in result.stderr


def test_selftest_prints_truth_and_estimate_of_each_board(residue, clean):
    given = ("selftest", "--board-type", clean.board_type, "--workflow", clean.workflow, "--workers", 0)
    result = residue(*given, "--boards", 2, "--tolerance", 20)
    assert result.exit_code == 0
    assert "01_typical" in result.stdout
    assert "mean absolute error" in result.stdout
    assert "favours" in result.stderr
    result = residue(*given, "--boards", 1, "--tolerance", 1e-6, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == document["exit_code"] == 6
    assert document["failures"]
    (board,) = document["boards"]
    assert board["error"] == pytest.approx(board["estimate_pct"] - board["true_pct"])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (("blanks",), "Missing argument"),
        (("blanks", "no_such_lot"), "no lot 'no_such_lot'"),
        (("nullcheck", "a", "b"), "two photographs"),
        (("nullcheck", "any_board", "no.jpg", "no.jpg"), "no photograph no.jpg"),
        (("nullcheck", "x", "--tolerance", "2"), "tolerance"),
        (("selftest",), "board-type"),
        (("selftest", "--board-type", "nothing"), "no board type 'nothing'"),
        (("selftest", "--board-type", "any_board"), "--clean"),
        (("selftest", "--board-type", "any_board", "--clean", "no.jpg"), "no photograph no.jpg"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(residue, given, text):
    result = residue(*given)
    assert result.exit_code == 2
    assert text in result.stdout + result.stderr
