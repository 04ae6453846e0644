"""The lot: pooled and mean are named, order does not matter, what has no number is counted."""

from __future__ import annotations

import math
from typing import Any

import made_up
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import measured, turned_away

from residue_batch import results
from residue_batch.config import Limit
from residue_batch.statistics import ALL_TYPES, judge, lot_summary, verdict_of

loads = st.floats(1e-3, 0.5)
boards = st.lists(st.tuples(loads, loads, st.integers(1, 10_000_000)), min_size=1, max_size=8)


def made(*records: dict[str, Any]) -> xr.Dataset:
    return results.dataset(records, made_up.program(), {})


def number(summary: xr.Dataset, name: str, kind: str = ALL_TYPES, **where: Any) -> float:
    return float(summary[name].sel(lot="L1", board_type=kind, region="whole", **where))


def of(sizes: list[tuple[float, float, int]]) -> list[dict[str, Any]]:
    return [measured(f"{i}", loads=[(b, a)] * 2, pixels=[n, 1]) for i, (b, a, n) in enumerate(sizes)]


@settings(max_examples=25, deadline=None)
@given(before=loads, after=loads, pixels=st.integers(1, 10_000_000))
def test_pooled_of_one_board_is_its_reduction(before: float, after: float, pixels: int) -> None:
    summary = lot_summary(made(*of([(before, after, pixels)])))
    reduction = 100 * (1 - after / before)
    for label in ("pooled", "mean", "median", "p05", "p95"):
        assert number(summary, f"load_reduction_pct_{label}") == pytest.approx(reduction, rel=1e-9, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(sizes=boards, data=st.data())
def test_the_order_of_the_boards_does_not_matter(sizes: list[tuple[float, float, int]], data: st.DataObject) -> None:
    ds = made(*of(sizes), turned_away("r"))
    order = data.draw(st.permutations(range(ds.sizes["board"])))
    xr.testing.assert_identical(lot_summary(ds), lot_summary(ds.isel(board=order)))


@settings(max_examples=25, deadline=None)
@given(sizes=boards)
def test_pooled_lies_between_the_boards(sizes: list[tuple[float, float, int]]) -> None:
    pooled = number(lot_summary(made(*of(sizes))), "load_reduction_pct_pooled")
    each = [100 * (1 - a / b) for b, a, _ in sizes]
    assert min(each) - 1e-6 <= pooled <= max(each) + 1e-6


def test_pooled_weighs_by_area_and_load_and_mean_does_not() -> None:
    summary = lot_summary(made(*of([(0.2, 0.02, 3000), (0.1, 0.05, 1000)])))
    assert number(summary, "load_reduction_pct_pooled") == pytest.approx(100 * (1 - 110 / 700))
    assert number(summary, "load_reduction_pct_mean") == pytest.approx(70)
    assert number(summary, "load_pooled", phase="before") == pytest.approx(700 / 4000)
    assert number(summary, "area_reduction_pct_pooled", tau=0.05) == pytest.approx(100 * (1 - 110 / 700))


def test_what_is_left_is_pooled_over_all_boards_and_the_ratio_over_those_that_have_one() -> None:
    none = {"load_reduction_pct": [None, None]}
    worse = measured("b", status=["increase"] * 2, loads=[(1e-5, 0.3)] * 2, pixels=[1000, 1], values=none)
    summary = lot_summary(made(*of([(0.1, 0.01, 1000)]), worse))
    assert number(summary, "load_pooled", phase="after") == pytest.approx(0.155)
    assert number(summary, "load_reduction_pct_pooled") == pytest.approx(90)


def test_boards_without_a_reduction_are_counted_and_left_out() -> None:
    none = {"load_reduction_pct": [None, None]}
    summary = lot_summary(
        made(
            measured("a"),
            measured("b", status=["before_below_lod"] * 2, loads=[(1e-4, 1e-2)] * 2, values=none),
            measured("c", status=["increase"] * 2, loads=[(0.1, 0.2)] * 2),
            measured("d", status=["after_below_lob"] * 2, flags=[["indicative"], []]),
            turned_away("e"),
        )
    )
    names = ("n", "n_measured", "n_refused", "n_before_below_lod", "n_increase", "n_censored", "n_indicative")
    assert [number(summary, n) for n in names] == [5, 1, 1, 1, 1, 1, 1]
    assert number(summary, "load_reduction_pct_n") == 3
    assert number(summary, "load_reduction_pct_mean") == pytest.approx((90 - 100 + 90) / 3)
    assert number(summary, "load_reduction_pct_pooled") == pytest.approx(100 * (1 - 0.22 / 0.3))


def test_two_board_types_are_never_pooled_together() -> None:
    summary = lot_summary(made(measured("a"), measured("b", board_type="panel B", regions=["whole"])))
    assert math.isnan(number(summary, "load_reduction_pct_pooled"))
    assert number(summary, "load_reduction_pct_mean") == pytest.approx(90)
    assert number(summary, "load_reduction_pct_pooled", "panel B") == pytest.approx(90)
    chips = summary["n"].sel(lot="L1", region="chips")
    assert chips.sel(board_type="panel B") == 0
    assert chips.sel(board_type=ALL_TYPES) == 1


def test_limits_judge_each_board_and_the_lot_and_name_what_they_cannot() -> None:
    ds = made(measured("good"), measured("bad", loads=[(0.1, 0.04)] * 2), turned_away("none"))
    found = judge({"load_reduction_pct": Limit(min=85)}, ds)
    assert [(v.board, v.of, v.verdict) for v in found] == [
        ("bad", "board", "fail"),
        ("good", "board", "pass"),
        ("none", "board", "not_judged"),
        ("", "pooled", "fail"),
    ]
    assert found[0].why == "60 is below 85"
    assert found[2].why == "refused registration"
    assert found[2].value is None
    assert verdict_of(found) == "fail"
    assert verdict_of(found[2:3]) == "not_judged"
    assert verdict_of(found[1:3]) == "pass"


def test_a_limit_on_a_phase_judges_after_and_one_on_a_sweep_every_tau() -> None:
    ds = made(measured("a"))
    found = judge({"load": {"max": 0.02}, "area_reduction_pct": {"min": 95, "max": None}}, ds)
    assert [(v.variable, v.verdict) for v in found if v.board] == [
        ("load", "pass"),
        *((f"area_reduction_pct[tau={t:g}]", "fail") for t in made_up.TAU),
    ]
    assert [v.of for v in found if not v.board] == ["pooled"] * 4


def test_no_limits_no_verdicts() -> None:
    assert judge({}, made(measured("a"))) == []
    assert verdict_of([]) == "not_judged"
