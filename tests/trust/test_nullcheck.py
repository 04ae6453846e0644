"""The null check: an uncleaned board passes, one that was cleaned in truth does not."""

from __future__ import annotations

import pytest
import small

import residue_batch as rb
from residue_batch.errors import UsageError


@pytest.fixture(scope="module")
def uncleaned(tmp_path_factory) -> small.SmallLot:
    """Two boards that were not cleaned, one that was, one that never was soiled."""
    return small.make_lot(tmp_path_factory.mktemp("null"), boards=4, kinds=("null", "null", "reduce", "blank"))


def test_an_uncleaned_board_reads_0_and_a_cleaned_one_does_not(uncleaned, tmp_path):
    found = rb.nullcheck(uncleaned.lot, workflow=uncleaned.workflow, workers=0, out=tmp_path / "runs")
    assert [one.passed for one in found.boards] == [True, True, False, True]
    assert [one.board for one in found.failed] == ["B003"]
    assert found.failed[0].difference < -0.02
    # a clean board says little: it reads 0 whatever happens
    assert [one.detectable for one in found.boards[:3]] == [True] * 3


def test_a_pair_is_judged_like_a_lot_and_leaves_nothing_behind(uncleaned, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shots = uncleaned.shot(0, "before"), uncleaned.shot(0, "after")
    found = rb.nullcheck(uncleaned.board_type, *shots, workflow=uncleaned.workflow)
    assert [one.passed for one in found.boards] == [True]
    assert list(tmp_path.iterdir()) == []
    lot = rb.nullcheck(uncleaned.lot, workflow=uncleaned.workflow, workers=0, out=tmp_path / "runs")
    assert found.boards[0].difference == lot.boards[0].difference


def test_a_tighter_tolerance_fails_what_the_default_passes(uncleaned, tmp_path):
    given = {"workflow": uncleaned.workflow, "workers": 0, "out": tmp_path / "runs"}
    found = rb.nullcheck(uncleaned.lot, tolerance=1e-7, **given)
    assert len(found.failed) == 4


def test_the_tolerance_grows_with_the_load_and_never_falls_below_the_limit_of_detection(uncleaned, tmp_path):
    found = rb.nullcheck(uncleaned.lot, workflow=uncleaned.workflow, workers=0, out=tmp_path / "runs")
    heavy, blank = found.boards[0], found.boards[3]
    assert heavy.tolerance == pytest.approx(0.02 * heavy.load_before)
    assert blank.tolerance == 1e-3


def test_swapped_photographs_of_two_boards_have_no_number_or_do_not_read_0(uncleaned):
    shots = uncleaned.shot(0, "before"), uncleaned.shot(1, "after")
    found = rb.nullcheck(uncleaned.board_type, *shots, workflow=uncleaned.workflow)
    assert found.failed or found.no_number


def test_wrong_arguments_are_named(uncleaned):
    with pytest.raises(UsageError, match="two photographs"):
        rb.nullcheck(uncleaned.board_type, uncleaned.shot(0, "before"))
    with pytest.raises(UsageError, match="tolerance"):
        rb.nullcheck(uncleaned.lot, tolerance=2)
