"""The command `bench`."""

from __future__ import annotations

import json

import pytest


def bench_of(lot, *more):
    return ("bench", lot.lot, "--workflow", lot.workflow, "--workers", "0", "--boards", "2", *more)


def test_bench_shows_speed_shares_and_the_time_of_all_boards_and_leaves_no_run(residue, lot, tmp_path):
    result = residue(*bench_of(lot))
    assert result.exit_code == 0
    shown = result.stdout
    assert "2 boards that can be measured" in shown
    assert all(word in shown for word in ("scaling", "all boards", "where it goes", "decode", "MB/s", "█"))
    assert list(tmp_path.iterdir()) == []


def test_bench_ends_with_6_when_it_is_slower_than_before(residue, lot, tmp_path):
    old = json.loads(residue(*bench_of(lot, "--json")).stdout)
    assert old["exit_code"] == 0
    for run in old["runs"]:
        run["mp_s"] *= 100
    before = tmp_path / "old.json"
    before.write_text(json.dumps(old))
    result = residue(*bench_of(lot, "--compare", before))
    assert result.exit_code == 6
    assert "slower by more than 10 %" in result.stderr
    assert "against before" in result.stdout
    again = residue(*bench_of(lot, "--compare", before, "--tolerance", "0.999", "--json"))
    assert again.exit_code == 0
    assert json.loads(again.stdout)["compared"][0]["slower"] is False


@pytest.mark.parametrize(
    ("given", "said"),
    [(("--workers", "two"), "write 1,2"), (("--tolerance", "much"), "write 10%"), (("--tolerance", "120%"), "10%"),
     (("--compare", "nowhere.json"), "residue bench LOT --json")],
)  # fmt: skip
def test_bench_explains_wrong_words(residue, lot, given, said):
    result = residue(*bench_of(lot), *given)
    assert result.exit_code == 2
    assert said in result.stderr
