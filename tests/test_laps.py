"""Laps: costs are exclusive, add up, and are counted only where they were asked for."""

from __future__ import annotations

import pickle
import time

import pytest
import small

from residue_batch.laps import Cost, Spent, charged, lapped, laps, peak_bytes, recorded


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def outer() -> str:
    lap = laps()
    spin(0.02)
    inner()
    lap("outer", 10, 40)
    spin(0.01)
    return "done"


def inner() -> None:
    lap = laps()
    spin(0.03)
    lap("inner", 5)


def test_a_lap_does_not_count_what_was_counted_inside_it():
    start = time.perf_counter()
    result, spent = recorded("stage", outer)
    whole = time.perf_counter() - start
    assert result == "done"
    seconds = {name: cost.seconds for name, cost in spent.costs.items()}
    assert seconds.keys() == {"stage/outer", "stage/inner", "stage/"}
    assert seconds["stage/inner"] >= 0.03
    assert seconds["stage/outer"] >= 0.02
    assert seconds["stage/"] >= 0.01
    # each of the three spins once: together no more than what passed
    assert sum(seconds.values()) <= whole
    assert spent.costs["stage/outer"][3:] == (10, 40)


def test_without_a_recording_nothing_is_counted():
    lap = laps()
    lap("lost")
    assert recorded("stage", int)[1].costs.keys() == {"stage/"}


def test_a_recording_that_fails_leaves_nothing_behind():
    with pytest.raises(ZeroDivisionError):
        recorded("stage", lambda: 1 // 0)
    assert laps() is laps()  # the one that does nothing


def test_costs_add_up_and_travel():
    one = Spent({"a/": Cost(1, 0.5, 0.25, 10, 20), "b/": Cost(1)}, 100)
    two = Spent({"a/": Cost(2, 0.25, 0.5, 1, 2)}, 300)
    both = pickle.loads(pickle.dumps(one.plus(two)))
    assert both == Spent({"a/": Cost(3, 0.75, 0.75, 11, 22), "b/": Cost(1)}, 300)


def test_the_peak_of_memory_grows_with_what_is_held():
    before = peak_bytes()
    held = b"x" * (before + (64 << 20))
    assert peak_bytes() >= len(held)


def test_a_board_without_a_profile_is_not_charged(lot):
    board = small.board(small.setting(lot.board_type), lot.shot(0, "before"), lot.shot(0, "after"))
    assert charged(board, Spent({"a/": Cost(1)})) is board


@lapped("named")
def named(seconds: float, *, more: float = 0.0) -> float:
    """What it is for."""
    spin(seconds + more)
    return seconds


def test_a_function_can_be_a_lap_and_stays_what_it_is():
    result, spent = recorded("stage", lambda: named(0.01, more=0.01) + named(0.01))
    assert result == 0.02
    assert spent.costs["stage/named"].calls == 2
    assert spent.costs["stage/named"].seconds >= 0.03
    assert (named.__name__, named.__doc__) == ("named", "What it is for.")
