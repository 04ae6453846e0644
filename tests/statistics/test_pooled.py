"""The intervals of a lot: what boards err by themselves averages, what they share does not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from residue_batch.intervals import COMPONENTS
from residue_batch.statistics.pooled import FEWEST, Boards, measurement, sampling


def boards(count: int, **errors: float) -> Boards:
    """Alike boards with a reduction of 90 %, and errors by component."""
    row = [errors.get(name, 0.0) for name in COMPONENTS]
    side = np.full(count, errors.get("reach", 0.0))
    full = np.full
    return Boards(full(count, 1e6), full(count, 0.1), full(count, 0.01), np.array([row] * count), side, side)


def half(interval: tuple[float, float]) -> float:
    return (interval[1] - interval[0]) / 2


def test_what_a_board_errs_by_itself_averages_over_boards() -> None:
    one, many = (half(measurement(boards(n, measurement_after=1e-6))) for n in (1, 25))
    assert one == pytest.approx(1.96 * 100 * 1e-3 / 0.1)
    assert many == pytest.approx(one / 5)


def test_the_colour_of_residue_is_the_same_for_all_boards_and_does_not_average() -> None:
    one, many = (half(measurement(boards(n, white_before=0.01, white_after=0.003))) for n in (1, 25))
    assert many == pytest.approx(one)
    assert one == pytest.approx(1.96 * 100 * (0.003 - 0.1 * 0.01) / 0.1)


def test_an_error_that_both_phases_share_cancels_where_nothing_was_removed() -> None:
    own = boards(5, measurement_before=1e-6, measurement_covariance=1e-6, measurement_after=1e-6)
    null = own._replace(after=own.before)
    assert half(measurement(null)) == pytest.approx(0, abs=1e-6)
    assert half(measurement(own)) > 0


def test_what_pairs_cannot_see_goes_the_same_way_on_all_boards() -> None:
    low, high = measurement(boards(25, reach=15.0))
    assert (low, high) == pytest.approx((75, 105))


def test_without_errors_there_is_no_interval() -> None:
    assert all(math.isnan(end) for end in measurement(boards(3, measurement_before=math.nan)))
    assert all(math.isnan(end) for end in sampling(boards(FEWEST - 1), "x"))


def test_other_boards_of_the_process_differ_as_these_do() -> None:
    random = np.random.default_rng(5)
    own = boards(40)._replace(after=0.1 * random.uniform(0.05, 0.25, 40))
    low, high = sampling(own, "load")
    expected = 1.96 * 100 * float(np.std(own.after, ddof=1)) / 0.1 / math.sqrt(40)
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)
    assert sampling(own, "load") == (low, high)


def test_blocks_are_drawn_within_boards() -> None:
    """Boards that are all alike still differ by their blocks."""
    low, high = sampling(boards(16, sampling_after=4e-6), "load")
    assert (high - low) / 2 == pytest.approx(1.96 * 100 * 2e-3 / 0.1 / 4, rel=0.2)
