"""Partial results merge exactly, in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from residue_batch.tally import CEILING, ONE, Tally, count, fixed, merge, merge_all, select

values = hnp.arrays(st.sampled_from([np.int64, np.int16, np.uint8]), 3)
tallies = st.dictionaries(st.sampled_from(["a", "b", "c/d"]), values, max_size=3)


def same(left: Tally, right: Tally) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@given(tallies, tallies)
def test_merging_is_commutative(left: Tally, right: Tally) -> None:
    assert same(merge(left, right), merge(right, left))


@given(tallies, tallies, tallies)
def test_merging_is_associative(a: Tally, b: Tally, c: Tally) -> None:
    assert same(merge(merge(a, b), c), merge(a, merge(b, c)))


@given(tallies)
def test_the_empty_tally_changes_nothing(tally: Tally) -> None:
    assert same(merge({}, tally), tally)
    assert same(merge(tally, {}), tally)


@given(st.lists(tallies, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_parts_does_not_matter(parts: list[Tally], random: object) -> None:
    shuffled = parts.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert same(merge_all(parts), merge_all(shuffled))


@given(tallies, tallies)
def test_merging_leaves_its_parts_alone(left: Tally, right: Tally) -> None:
    before = [{k: v.copy() for k, v in t.items()} for t in (left, right)]
    merge(left, right)
    assert same(left, before[0])
    assert same(right, before[1])


@given(tallies, tallies)
def test_a_prefix_comes_off_as_it_went_on(left: Tally, right: Tally) -> None:
    both = {f"one/{k}": v for k, v in left.items()} | {f"two/{k}": v for k, v in right.items()}
    assert same(select(both, "one"), left)
    assert same(select(both, "two"), right)


def test_small_integers_do_not_wrap() -> None:
    full = {"n": np.full(2, 255, np.uint8)}
    np.testing.assert_array_equal(merge_all([full] * 3)["n"], [765, 765])


@pytest.mark.parametrize("value", [np.array(0.5), np.array([True])])
def test_what_does_not_merge_exactly_is_refused(value: np.ndarray) -> None:
    with pytest.raises(TypeError, match="only integers merge exactly"):
        merge({}, {"x": value})


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        merge({"x": count(1)}, {"x": np.zeros(3, np.int64)})


@given(hnp.arrays(np.float32, 20, elements=st.floats(-1.875, 1.875, width=32)))
def test_fixed_point_is_half_a_quantum_from_the_opacity(plane: np.ndarray) -> None:
    assert fixed(plane).dtype == np.int16
    assert np.abs(fixed(plane) / ONE - plane).max() <= 0.5 / ONE + 1e-6


@given(st.floats(allow_nan=False, width=32))
def test_fixed_point_is_odd_and_clipped(value: float) -> None:
    plane = np.array([value], np.float32)
    assert fixed(-plane)[0] == -fixed(plane)[0]
    assert abs(int(fixed(plane)[0])) <= round(CEILING * ONE)


@given(hnp.arrays(np.float32, 64, elements=st.floats(-3, 3, width=32)), st.integers(0, 64))
def test_a_sum_of_fixed_points_does_not_depend_on_the_cut(plane: np.ndarray, cut: int) -> None:
    parts = [{"s": count(int(fixed(p).sum(dtype=np.int64)))} for p in (plane[:cut], plane[cut:])]
    assert int(merge_all(parts)["s"]) == int(fixed(plane).sum(dtype=np.int64))


def test_fixed_point_is_rounded_half_to_even() -> None:
    plane = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32) / np.float32(ONE)
    assert fixed(plane).tolist() == [0, 2, 2, 0, -2]
    assert fixed(plane[:0]).shape == (0,)


@pytest.mark.parametrize("length", [1, 7, 64, 1000])
def test_nan_has_no_fixed_point(length: int) -> None:
    plane = np.zeros(length, np.float32)
    plane[-1] = np.nan
    with pytest.raises(FloatingPointError):
        fixed(plane)
