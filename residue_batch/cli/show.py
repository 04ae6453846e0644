"""How things are shown: tables and JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch.errors import Problem

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000
"""Columns of a pipe: nothing is folded or cut there."""
DASH = "–"


def stdout() -> Console:
    """Where data goes."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where chatter goes."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    # not kept: tests and callers swap the streams
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDE
    return console


def write_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def plain(value: Any) -> Any:
    """A value as JSON knows it: NaN becomes null, a dataclass a map, a path text."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Path):
        return str(value)
    return plain(value.tolist()) if hasattr(value, "tolist") else str(value)


def text(value: Any, style: str = "") -> Any:
    """Text that is shown as it is: brackets are no markup, control characters do nothing."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() or c == "\n" else "�" for c in str(value)), style)


def out(line: Any = "", style: str = "") -> None:
    """One line of data."""
    stdout().print(text(line, style), soft_wrap=True)


def say(line: Any = "", style: str = "") -> None:
    """One line of chatter."""
    stderr().print(text(line, style), soft_wrap=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", last: str = "fold") -> None:
    """A table on stdout; columns that begin with ``>`` are set flush right."""
    from rich import box
    from rich.table import Table

    console = stdout()
    shown = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        title=title or None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        padding=(0, 2, 0, 0),
    )
    for index, column in enumerate(columns):
        folds = last if index == len(columns) - 1 else "fold"
        shown.add_column(
            column.removeprefix(">"),
            justify="right" if column.startswith(">") else "left",
            overflow=folds,  # type: ignore[arg-type]
            no_wrap=column.startswith(">"),
        )
    for row in rows:
        shown.add_row(*(cell if hasattr(cell, "plain") else text(cell) for cell in row))
    console.print(shown)


def pairs(rows: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
    """Names and values in two columns, without a head."""
    listed = list(rows.items() if isinstance(rows, Mapping) else rows)
    wide = max((len(name) for name, _ in listed), default=0)
    for name, value in listed:
        out(f"{name:{wide}}  {value}")


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """A number, or a dash where there is none."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:.{digits}f}{unit}"


def ranged(value: float | None, low: float | None, high: float | None) -> str:
    """A percentage with its interval: ``93.1 % (91.0-94.8)``."""
    if value is None or low is None or high is None or not math.isfinite(low + high):
        return number(value, 1, " %")
    dash = "-" if low >= 0 and high >= 0 else " to "
    return f"{number(value, 1, ' %')} ({number(low)}{dash}{number(high)})"


def load(value: float | None) -> str:
    """A load or area: a share, in per cent."""
    return number(None if value is None else 100 * value, 3, " %")


def size(count: float) -> str:
    """Bytes, readable."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds, readable."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def plural(count: int, word: str) -> str:
    """``1 board``, ``2 boards``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def complain(message: str, problems: Sequence[Problem] = (), remedy: str = "") -> None:
    """An error on stderr: every problem with its place, its line, a caret and what to do."""
    for problem in problems:
        show_problem(problem)
    say(f"error: {message}", "bold red")
    if remedy:
        say(f"  {remedy}")


def show_problem(problem: Problem, console: Console | None = None) -> None:
    """One problem, on stderr unless told; the caret stands under the column."""
    place = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
    line = text(place, "bold")
    line.append_text(text(f"{': ' if place else ''}{problem.message}", "red"))
    console = console or stderr()
    console.print(line, soft_wrap=True)
    if problem.excerpt:
        excerpt = textwrap.dedent(problem.excerpt)
        cut = len(problem.excerpt) - len(excerpt)
        console.print(text(f"    {excerpt}"), soft_wrap=True)
        console.print(text(f"    {' ' * max(problem.column - 1 - cut, 0)}^", "bold red"), soft_wrap=True)
    if problem.remedy:
        console.print(text(f"    {problem.remedy}", "green"), soft_wrap=True)
