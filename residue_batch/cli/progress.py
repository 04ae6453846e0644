"""How far a run is: a bar on a terminal, plain lines in a pipe, the dashboard's link first."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from residue_batch.cli.show import duration, plural, say, stderr

if TYPE_CHECKING:
    from residue_batch.ledger import Progress

SECONDS = 2.0
"""At most one plain line in this time, but for refused boards."""


@contextmanager
def progress(*, at_once: bool = True) -> Iterator[Any]:
    """A callback for ``run(on_progress=...)``; the bar is shown at once, or when the first board is known."""
    console = stderr()
    watch = _Bar(console, at_once=at_once) if console.is_terminal else _Lines()
    if at_once and not console.is_terminal:
        say("preparing")
    try:
        yield watch.show
    finally:
        watch.stop()


class _Lines:
    """One line per board, or every few seconds when boards are fast."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.last = 0.0
        self.linked = False

    def show(self, now: Progress) -> None:
        if now.dashboard and not self.linked:
            self.linked = True
            say(f"dashboard: {now.dashboard}")
        if not now.board:
            if now.done:
                say(f"{now.done} of {plural(now.total, 'board')} settled before measuring")
            return
        clock = time.monotonic()
        if now.outcome == "refused" or clock - self.last >= SECONDS or now.done == now.total:
            self.last = clock
            gone = f", {now.refused} refused" if now.refused else ""
            say(f"{now.done}/{now.total} boards{gone}, {duration(clock - self.start)}: {now.board} {now.outcome}")

    def stop(self) -> None:
        """Nothing to clear away."""


class _Bar:
    """A bar with the boards done, refused and the time that is left."""

    def __init__(self, console: Any, *, at_once: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Rich

        self.linked = False
        self.bar = Rich(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("boards{task.fields[refused]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self.task = self.bar.add_task("preparing", total=None, refused="")
        if at_once:
            self.bar.start()

    def show(self, now: Progress) -> None:
        self.bar.start()
        if now.dashboard and not self.linked:
            self.linked = True
            self.bar.console.print(f"dashboard: {now.dashboard}", markup=False, soft_wrap=True)
        gone = f", {now.refused} refused" if now.refused else ""
        what = f"{now.board} {now.outcome}" if now.board else "measuring"
        self.bar.update(self.task, total=now.total, completed=now.done, description=what, refused=gone)

    def stop(self) -> None:
        self.bar.stop()
