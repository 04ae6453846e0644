"""The distribution of the boards as a bar chart: numbers for the template's SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, BASE = 560, 150, 120
_BINS, _TICKS = 30, 8
_STEPS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@dataclass(frozen=True)
class Bar:
    """Boards between two values, how many of them failed, and the bar's text."""

    x: float
    width: float
    height: float
    failed_height: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Bars, ticks (x, label) and limits (x, label)."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    limits: tuple[tuple[float, str], ...]
    most: int
    below: int


def chart_of(passed: Sequence[float], failed: Sequence[float], limits: Sequence[float]) -> Chart:
    """Count boards in round bins; the few far below the others go into the first bin."""
    values = sorted([*passed, *failed])
    # one board at -300 % must not press all others into one bar
    low = min(values[len(values) // 50], *limits, max(values) - 1)
    high = max(values[-1], *limits, min(100.0, values[-1] + 1))
    step = next((s for s in _STEPS if (high - low) / s <= _BINS), (high - low) / _BINS)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    bins = last - first
    counts = [[0, 0] for _ in range(bins)]
    for kind, group in enumerate((passed, failed)):
        for value in group:
            counts[min(max(math.floor(value / step) - first, 0), bins - 1)][kind] += 1
    below = sum(v < first * step for v in values)
    most, wide = max(sum(c) for c in counts), WIDTH / bins
    bars = tuple(
        Bar(
            round(i * wide + 1, 2),
            round(wide - 2, 2),
            round((BASE - 15) * (good + bad) / most, 2),
            round((BASE - 15) * bad / most, 2),
            f"{_range((first + i) * step, (first + i + 1) * step, below if i == 0 else 0)}: {good + bad}"
            + (f", {bad} beyond the limit" if bad else ""),
        )
        for i, (good, bad) in enumerate(counts)
        if good or bad
    )
    every = next((n for n in (1, 2, 5, 10) if bins / n <= _TICKS), bins)
    ticks = tuple((round(i * wide, 2), _short((first + i) * step)) for i in range(-first % every, bins + 1, every))
    marks = tuple((round((x / step - first) * wide, 2), _short(x)) for x in limits)
    return Chart(bars, ticks, marks, most, below)


def _range(low: float, high: float, below: int) -> str:
    return f"below {_short(high)} %" if below else f"{_short(low)} to {_short(high)} %"


def _short(value: float) -> str:
    return f"{round(value, 6):g}".replace("-", "−")
