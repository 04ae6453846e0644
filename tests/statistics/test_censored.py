"""Percentiles of boards of which some only say "at least"."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from residue_batch.statistics.censored import percentile

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(numbers, st.floats(0, 100))
def test_without_bounds_it_is_the_plain_percentile(values: list[float], percent: float) -> None:
    array = np.array(values)
    found = percentile(array, np.zeros(len(array), bool), percent)
    assert found.value == pytest.approx(float(np.percentile(array, percent)), rel=1e-9, abs=1e-9)
    assert not found.at_least


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile(np.zeros(0), np.zeros(0, bool), 50).value)


@given(numbers, st.data())
def test_a_bound_never_lowers_a_percentile(values: list[float], data: st.DataObject) -> None:
    """A board that says at least x may be better than x, never worse."""
    array = np.array(values)
    censored = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    for percent in (5, 50, 95):
        plain = percentile(array, np.zeros(len(array), bool), percent).value
        assert percentile(array, censored, percent).value >= plain - 1e-6


@given(numbers, st.data())
def test_the_order_of_the_boards_does_not_matter(values: list[float], data: st.DataObject) -> None:
    array = np.array(values)
    censored = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values))))
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert percentile(array, censored, 50) == percentile(array[order], censored[order], 50)


def test_weights_are_those_of_kaplan_and_meier() -> None:
    """Of 90, 92+, 94, 98 the third carries 1/4 + 1/8 and the fourth the same."""
    values, censored = np.array([90.0, 92.0, 94.0, 98.0]), np.array([False, True, False, False])
    # mass below: 0, 1/4, 5/8; between equal weights places are i / (n - 1), so here 0, 1/3, 5/6
    assert percentile(values, censored, 100 / 3).value == pytest.approx(94)
    assert percentile(values, censored, 100 / 6).value == pytest.approx(92)
    assert percentile(values, censored, 250 / 3).value == pytest.approx(98)
    assert percentile(values, censored, 99).value == pytest.approx(98)


def test_a_percentile_that_falls_on_the_largest_bound_is_a_bound_itself() -> None:
    values, censored = np.array([90.0, 95.0, 98.2]), np.array([False, False, True])
    assert percentile(values, censored, 95).at_least
    assert not percentile(values, censored, 25).at_least
    only = percentile(np.array([98.2]), np.array([True]), 50)
    assert only == (98.2, True)
