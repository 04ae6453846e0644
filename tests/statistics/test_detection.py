"""Limits of blank and of detection, against their formulas and against many drawn blanks."""

from __future__ import annotations

import statistics

import numpy as np
import pytest

from residue_batch.statistics.detection import (
    ENOUGH,
    factor,
    limit_of_blank,
    limit_of_detection,
    repeatability,
)


def test_the_factor_is_that_of_the_guideline():
    # EP17-A2: 1.645 / (1 - 1 / (4 df)); the correction fades with the degrees of freedom
    assert factor(1) == pytest.approx(1.645 / 0.75)
    assert factor(60) == pytest.approx(1.652, abs=5e-4)
    with pytest.raises(ValueError, match="degrees of freedom"):
        factor(0)


def test_few_blanks_take_the_mean_and_many_take_the_percentile():
    few = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    lob, method = limit_of_blank(few, samples=3)
    assert method == "normal"
    assert lob == pytest.approx(3.5 + factor(3) * statistics.stdev(few))
    many = [float(v) for v in range(1, ENOUGH + 1)]
    lob, method = limit_of_blank(many, samples=ENOUGH // 2)
    assert method == "percentile"
    assert lob == pytest.approx(19.5)  # rank 0.5 + 0.95 n


def test_an_outlier_moves_the_percentile_less_than_the_mean():
    skewed = [0.0] * 38 + [100.0, 100.0]
    assert limit_of_blank(skewed, samples=20)[0] == pytest.approx(50.0)
    assert limit_of_blank([0.0] * 39 + [1000.0], samples=20)[0] == 0.0


@pytest.mark.parametrize("boards", [4, 30])
def test_about_95_percent_of_later_blanks_stay_below_the_limit(boards):
    rng = np.random.default_rng(2)
    below = []
    for _ in range(400):
        drawn = rng.normal(5e-4, 2e-4, 2 * boards).tolist()
        lob, _ = limit_of_blank(drawn, boards)
        below.append(np.mean(rng.normal(5e-4, 2e-4, 200) < lob))
    assert np.mean(below) == pytest.approx(0.95, abs=0.025)


def test_what_boards_differ_by_is_no_scatter_of_readings():
    assert repeatability([(1.0, 1.2), (9.0, 8.8), (5.0, 5.2)]) == pytest.approx(0.2 / 2**0.5)
    assert limit_of_detection(1.0, 0.0, 3) == 1.0
    assert limit_of_detection(1.0, 2.0, 10) == pytest.approx(1 + factor(10) * 2)
