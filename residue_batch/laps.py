"""Where the time of a board goes: a stopwatch that runs only where a profile is wanted.

    (part, spent) = recorded("open", open_shot, board, "before")

    lap = laps()             # in anything that open_shot calls
    data = read_all(file)
    lap("read", nbytes=len(data))

A lap counts the time since the one before it, without the laps that were
counted meanwhile: costs are exclusive, and add up to the whole. Outside
``recorded`` a lap does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Cost(NamedTuple):
    """What one part of the work cost: seconds by the clock and of the CPU, pixels made, bytes they take."""

    calls: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    pixels: int = 0
    nbytes: int = 0

    def plus(self, other: Cost) -> Cost:
        return Cost(
            self.calls + other.calls,
            self.seconds + other.seconds,
            self.cpu_s + other.cpu_s,
            self.pixels + other.pixels,
            self.nbytes + other.nbytes,
        )


@dataclass(frozen=True)
class Spent:
    """What the stages of a board cost: ``stage/part`` -> cost; the part '' is what no lap counted.

    ``peak_bytes`` is the most memory that a process which worked on it ever held.
    """

    costs: Mapping[str, Cost] = field(default_factory=dict)
    peak_bytes: int = 0

    def plus(self, other: Spent) -> Spent:
        costs = summed([*self.costs.items(), *other.costs.items()])
        return Spent(costs, max(self.peak_bytes, other.peak_bytes))


def summed(costs: Iterable[tuple[str, Cost]]) -> dict[str, Cost]:
    """Costs of the same name together."""
    found: dict[str, Cost] = {}
    for name, cost in costs:
        found[name] = found.get(name, Cost()).plus(cost)
    return found


class Lap(Protocol):
    """Ends a lap: what it was, and the pixels and bytes that it made."""

    def __call__(self, name: str, pixels: int = 0, nbytes: int = 0) -> None: ...


class _Recorder:
    """What is counted in this thread until it is asked for."""

    def __init__(self) -> None:
        self.costs: dict[str, Cost] = {}
        self.seconds = self.cpu_s = 0.0

    def count(self, name: str, cost: Cost) -> None:
        self.costs[name] = self.costs.get(name, Cost()).plus(cost)
        self.seconds += cost.seconds
        self.cpu_s += cost.cpu_s

    def laps(self) -> Lap:
        def mark() -> tuple[float, float]:
            # what was counted since then moves the mark
            return time.perf_counter() - self.seconds, time.thread_time() - self.cpu_s

        last = mark()

        def lap(name: str, pixels: int = 0, nbytes: int = 0) -> None:
            nonlocal last
            now = mark()
            seconds, cpu_s = now[0] - last[0], now[1] - last[1]
            self.count(name, Cost(1, seconds, cpu_s, pixels, nbytes))
            last = now[0] - seconds, now[1] - cpu_s

        return lap


_recorder: ContextVar[_Recorder | None] = ContextVar("recorder", default=None)


def _nothing(name: str, pixels: int = 0, nbytes: int = 0) -> None:
    """No profile is wanted."""


def laps() -> Lap:
    """A stopwatch that has just been started."""
    recorder = _recorder.get()
    return _nothing if recorder is None else recorder.laps()


def lapped(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A function each call of which is a lap."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def call(*given: P.args, **named: P.kwargs) -> T:
            lap = laps()
            result = function(*given, **named)
            lap(name)
            return result

        return call

    return decorate


def recorded(stage: str, function: Callable[..., T], *given: Any) -> tuple[T, Spent]:
    """Call a function, and say what it cost; its laps are counted as parts of the stage."""
    recorder = _Recorder()
    before = _recorder.set(recorder)
    try:
        lap = recorder.laps()
        result = function(*given)
        lap("")
    finally:
        _recorder.reset(before)
    costs = {f"{stage}/{name}": cost for name, cost in recorder.costs.items()}
    return result, Spent(costs, peak_bytes())


def charged(state: Any, spent: Spent) -> Any:
    """A board with what was spent on it, where a profile is wanted (``state.spent``)."""
    return state if state.spent is None else replace(state, spent=state.spent.plus(spent))


def peak_bytes() -> int:
    """The most memory that this process has held at once; 0 where the system does not tell."""
    try:
        # not getrusage: its peak is inherited from the process that started this one
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")), 0)
