"""The coverage study: its truth is right, and the 95 % intervals hold it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks import coverage
from benchmarks.leaderboard import leaderboard
from residue_batch.synthetic import render_board

PAIRS, NOMINAL, ENOUGH = 200, 0.95, 0.90


def test_rows_are_those_of_the_accuracy_benchmark_and_each_board_has_its_truth(tmp_path):
    rows = coverage.study(tmp_path, 3, shape=(450, 600))
    assert [row["kind"] for row in rows] == ["reduce", "reduce", "reduce"]
    assert {row["level"] for row in rows} == {"easy"}
    assert all(0 < row["truth_pct"] < 100 for row in rows)
    # a quarter of a megapixel: the number is about right, not more
    assert np.mean([abs(row["estimate_pct"] - row["truth_pct"]) for row in rows]) < 6
    assert "easy    golden               3" in leaderboard(rows)


def test_large_bare_metal_is_ignored_and_little_else():
    board = render_board(3, (450, 600))
    ignored = np.zeros(board.shape, bool)
    for x, y, width, height in coverage.mirrors(board):
        ignored[y : y + height, x : x + width] = True
    assert (ignored & board.metal).sum() > 0.6 * board.metal.sum()
    assert ignored.mean() < 0.35


@pytest.mark.deep
def test_95_percent_intervals_hold_the_truth_in_at_least_90_percent_of_200_pairs(tmp_path, capsys):
    rows = coverage.study(tmp_path, PAIRS, workers=0)
    with capsys.disabled():
        print("\n" + leaderboard(rows, "rendered boards").partition("\n\nevery pair")[0])
    without = [row["id"] for row in rows if row["low_pct"] is None or row["high_pct"] is None]
    assert without == []
    hits = sum(row["low_pct"] <= row["truth_pct"] <= row["high_pct"] for row in rows)
    # intervals that hold the truth in 95 % fall below 90 % of 200 once in five hundred studies
    assert binom.cdf(ENOUGH * PAIRS - 1, PAIRS, NOMINAL) < 0.002
    assert hits >= ENOUGH * PAIRS, f"{hits} of {PAIRS}"
