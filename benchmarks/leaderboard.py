"""The accuracy of every estimator as readable tables: what README quotes.

A row is what ``accuracy`` prints as JSON: id, level, kind, estimator,
truth_pct, estimate_pct, low_pct, high_pct, load_before, status.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.naive import NAIVE
from benchmarks.pairs import PRODUCT

Row = dict[str, Any]
LEVELS = ("easy", "medium", "hard")
ESTIMATORS = (*PRODUCT, *NAIVE)
SOUND = ("measured", "after_below_lob")


def leaderboard(rows: Sequence[Row], title: str = "") -> str:
    """Readable: errors by level and estimator, intervals, then every pair."""
    present = [name for name in ESTIMATORS if any(row["estimator"] == name for row in rows)]
    head = f"{title}: " if title else ""
    lines = [f"{head}load reduction, percentage points of error (kind: reduce)", ""]
    lines += [f"{'level':8}{'estimator':18}{'n':>4}{'no number':>11}{'mean abs':>10}{'bias':>8}{'worst':>8}"]
    lines[-1] += f"{'covered':>10}{'width':>8}  worst pair"
    reduce = [row for row in rows if row["kind"] == "reduce"]
    for level in _levels(reduce):
        lines += [_summary(level, name, _chosen(reduce, level, name)) for name in present]
    estimated = [name for name in present if _intervals(_of(rows, name))]
    lines += ["", "95 % intervals over all kinds: covered, mean width in points", ""]
    lines += [f"  {name:18}{_covered(_of(rows, name)):>10}{_width(_of(rows, name)):>8}" for name in estimated] or [
        "  none"
    ]
    lines += ["", "every pair: true, and estimated by each", ""]
    lines += [f"{'pair':26}{'true':>8}" + "".join(f"{name:>17}" for name in present)]
    for kind in sorted({row["kind"] for row in rows}, key=lambda k: (k == "reduce", k)):
        for pair in dict.fromkeys(row["id"] for row in rows if row["kind"] == kind):
            by = {row["estimator"]: row for row in rows if row["id"] == pair}
            cells = "".join(f"{_cell(by[name]):>17}" for name in present)
            lines.append(f"{pair:26}{_points(next(iter(by.values()))['truth_pct']):>8}{cells}")
    odd = [row for row in rows if row["status"] not in SOUND and row["estimator"] in PRODUCT]
    lines += ["", "product, other than measured:"]
    lines += [f"  {row['id']:26}{row['estimator']:8}{row['status']}, load before {_load(row)}" for row in odd] or [
        "  none"
    ]
    return "\n".join(lines)


def _levels(rows: Iterable[Row]) -> list[str]:
    return sorted({row["level"] for row in rows}, key=lambda v: (LEVELS.index(v) if v in LEVELS else 99, v))


def _of(rows: Iterable[Row], estimator: str) -> list[Row]:
    return [row for row in rows if row["estimator"] == estimator]


def _chosen(rows: Iterable[Row], level: str, estimator: str) -> list[Row]:
    return [row for row in _of(rows, estimator) if row["level"] == level]


def _summary(level: str, estimator: str, rows: Sequence[Row]) -> str:
    errors = {
        row["id"]: row["estimate_pct"] - row["truth_pct"]
        for row in rows
        if row["estimate_pct"] is not None and row["truth_pct"] is not None
    }
    head = f"{level:8}{estimator:18}{len(errors):4}{len(rows) - len(errors):11}"
    if not errors:
        return head
    size = statistics.fmean(abs(e) for e in errors.values())
    worst = max(errors, key=lambda name: abs(errors[name]))
    return (
        f"{head}{size:10.2f}{statistics.fmean(errors.values()):8.2f}{errors[worst]:8.2f}"
        f"{_covered(rows):>10}{_width(rows):>8}  {worst}"
    )


def _intervals(rows: Iterable[Row]) -> list[Row]:
    """Rows with a truth and both ends of an interval."""
    return [row for row in rows if None not in (row["truth_pct"], row["low_pct"], row["high_pct"])]


def _covered(rows: Iterable[Row]) -> str:
    given = _intervals(rows)
    hit = sum(row["low_pct"] <= row["truth_pct"] <= row["high_pct"] for row in given)
    return f"{hit}/{len(given)}" if given else "-"


def _width(rows: Iterable[Row]) -> str:
    given = _intervals(rows)
    return f"{statistics.fmean(row['high_pct'] - row['low_pct'] for row in given):.2f}" if given else "-"


def _points(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _cell(row: Row) -> str:
    return row["status"].removeprefix("refused: ")[:16] if row["estimate_pct"] is None else _points(row["estimate_pct"])


def _load(row: Row) -> str:
    return "-" if row["load_before"] is None else f"{row['load_before']:.5f}"
