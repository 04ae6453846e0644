"""A process keeps the few values it used last, and never more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residue_batch.recent import Recent


@given(st.integers(1, 4), st.lists(st.integers(0, 6)))
def test_it_holds_the_last_used_values(size: int, asked: list[int]) -> None:
    recent: Recent[int] = Recent(size)
    made: list[int] = []
    expected: list[int] = []  # least recently used first
    for key in asked:

        def make(key: int = key) -> int:
            made.append(key)
            return -key

        was = len(made)
        assert recent.get(key, make) == -key
        assert (len(made) > was) == (key not in expected)
        expected = [*(k for k in expected if k != key), key][-size:]
        assert len(recent._values) <= size


def test_room_is_made_before_the_next_value_is() -> None:
    recent: Recent[str] = Recent(1)
    recent.get("a", lambda: "a")
    recent.get("b", lambda: str(len(recent._values)))
    assert recent.get("b", lambda: "again") == "0"


def test_what_another_thread_makes_meanwhile_takes_no_more_room() -> None:
    recent: Recent[str] = Recent(1)
    # as if another thread had made "b" while "a" was made
    assert recent.get("a", lambda: "a" + recent.get("b", lambda: "b")) == "ab"
    assert len(recent._values) == 1


def test_what_could_not_be_made_is_not_kept() -> None:
    recent: Recent[str] = Recent(2)
    with pytest.raises(OSError, match="gone"):
        recent.get("a", lambda: (_ for _ in ()).throw(OSError("gone")))
    assert recent.get("a", lambda: "now") == "now"


def test_cleared_is_forgotten() -> None:
    recent: Recent[int] = Recent(2)
    recent.get("a", lambda: 1)
    recent.clear()
    assert recent.get("a", lambda: 2) == 2
