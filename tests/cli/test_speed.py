"""The command `bench`."""

from __future__ import annotations

import json

import pytest

from residue_batch import api


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


def test_bench_says_on_stderr_what_it_does_not_compare(residue, lot, tmp_path):
    old = json.loads(residue(*bench_of(lot, "--json")).stdout)
    run = old["runs"][0]
    before = tmp_path / "old.json"
    before.write_text(json.dumps(old | {"machine": "Plan9", "runs": [run, run | {"workers": 4}]}))
    result = residue(*bench_of(lot, "--compare", before, "--tolerance", "0.999"))
    assert result.exit_code == 0
    assert f"warning: {before} is of machine Plan9, this is of {old['machine']}" in result.stderr
    assert f"warning: 4 workers: only in {before}, not compared" in result.stderr
    assert "against before" in result.stdout


def test_bench_measures_nothing_that_it_cannot_compare(residue, lot, tmp_path, monkeypatch):
    old = json.loads(residue(*bench_of(lot, "--json")).stdout)
    before = tmp_path / "old.json"
    before.write_text(json.dumps(old))
    monkeypatch.setattr(api, "run", lambda *_, **__: pytest.fail("a sample was measured"))
    other = residue(*bench_of(lot, "--compare", before, "--tile", "512"))
    assert (other.exit_code, "tile 1024, this is of 512; compare like with like" in other.stderr) == (2, True)
    mistyped = residue(*bench_of(lot, "--compare", "odl.json"))
    assert (mistyped.exit_code, "odl.json cannot be compared with: No such file" in mistyped.stderr) == (2, True)
    del old["runs"][0]["workers"]
    before.write_text(json.dumps(old))
    damaged = residue(*bench_of(lot, "--compare", before))
    assert (damaged.exit_code, "residue bench LOT --json" in damaged.stderr) == (2, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [(("--workers", "two"), "write 1,2"), (("--tolerance", "much"), "write 10%"), (("--tolerance", "120%"), "10%"),
     (("--compare", "nowhere.json"), "residue bench LOT --json")],
)  # fmt: skip
def test_bench_explains_wrong_words(residue, lot, given, said):
    result = residue(*bench_of(lot), *given)
    assert result.exit_code == 2
    assert said in result.stderr
