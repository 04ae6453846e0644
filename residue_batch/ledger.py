"""The ledger of a run: which boards are done, under which keys, and what to show of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from residue_batch import records
from residue_batch.board import Board, board_key
from residue_batch.engine.inline import Done
from residue_batch.laps import Spent
from residue_batch.outcome import INTERNAL_ERROR, REFUSED, Record
from residue_batch.prepare import Prepared
from residue_batch.profile import line_of

JOURNAL = "run.jsonl"


@dataclass(frozen=True)
class Progress:
    """How far a run is: what a progress bar shows."""

    done: int
    total: int
    refused: int
    board: str
    outcome: str
    dashboard: str = ""


class Ledger:
    """What a run knows while it goes on: the one place whose state changes."""

    def __init__(
        self,
        folder: Path,
        prepared: Prepared,
        on_progress: Callable[[Progress], None] | None,
        *,
        profile: bool = False,
    ) -> None:
        self.folder, self.prepared, self.on_progress = folder, prepared, on_progress
        self.spent = Spent() if profile else None
        self.kept, self.damaged = records.read(folder)
        self.stats = _stats(folder / JOURNAL)
        self.keys: dict[str, str] = {}
        self.shown: dict[str, Record] = {}
        self.bugs: dict[str, str] = {}
        self.outcomes: dict[str, str] = {}
        self.gone = 0
        self.dashboard = ""
        self.total = len(prepared.scan.boards)
        for record in prepared.unusable():
            self.shown[record["board"]] = record
            self._count(record)

    def work(self) -> Iterator[tuple[Board, frozenset[str]]]:
        """Boards to measure, each with the keys under which it may be done already."""
        known: dict[str, set[str]] = {}
        for key, record in self.kept.items():
            known.setdefault(record["board"], set()).add(key)
        for board in self.prepared.boards(str(self.folder / "boards")):
            key = self.known_key(board)
            if key in self.kept:
                self.keys[board.name] = key
                self._count(self.kept[key])
                continue
            yield replace(board, spent=self.spent), frozenset(known.get(board.name, ()))

    def known_key(self, board: Board) -> str:
        """The board's key, if its files have not changed since they were hashed; else ''."""
        found = {}
        for phase, file in board.shots.items():
            try:
                state = Path(file.path).stat()
            except OSError:
                return ""
            digest = self.stats.get((file.path, state.st_size, state.st_mtime_ns))
            if digest is None or (file.sha256 and file.sha256.lower() != digest):
                return ""
            found[phase] = digest
        return board_key(board.name, board.lot, board.setting, found)

    def take(self, done: Done, log: records.Log, journal: Any) -> None:
        """Keep what came back from one board."""
        if done.record is not None:
            if done.failure:
                if done.record["reason"] == INTERNAL_ERROR:
                    self.bugs[done.board] = done.failure
                self.shown[done.board] = done.record
            else:
                log.append(done.record)
                self.kept[done.key] = done.record
        if not done.failure:
            self.keys[done.board] = done.key
        shots = {
            phase: {"path": file.path, "sha256": file.sha256, "stat": done.stats.get(phase)}
            for phase, file in done.shots.items()
        }
        line = {"board": done.board, "key": done.key, "seconds": round(done.seconds, 3), "shots": shots}
        line |= {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "failure": done.failure}
        if done.spent is not None and done.record is not None and done.record["outcome"] != REFUSED:
            line |= line_of(done.spent)
        journal.write(json.dumps(line) + "\n")
        journal.flush()
        record = done.record or self.kept[done.key]
        self._count(record)
        self.tell(done.board, record["outcome"])

    def tell(self, board: str, outcome: str) -> None:
        """Report progress."""
        if self.on_progress:
            self.on_progress(Progress(len(self.outcomes), self.total, self.gone, board, outcome, self.dashboard))

    def _count(self, record: Record) -> None:
        before = self.outcomes.get(record["board"])
        self.outcomes[record["board"]] = record["outcome"]
        self.gone += (record["outcome"] == REFUSED) - (before == REFUSED)

    def rows(self) -> list[Record]:
        """One record per board of the lot, as far as they are known, sorted by board."""
        found = {name: self.kept[key] for name, key in self.keys.items()} | self.shown
        return [found[name] for name in sorted(found)]


def _stats(journal: Path) -> dict[tuple[str, int, int], str]:
    """(path, size, mtime_ns) -> sha256 of every shot hashed before: a cache only."""
    found: dict[tuple[str, int, int], str] = {}
    if not journal.exists():
        return found
    for line in journal.read_bytes().splitlines():
        try:
            for shot in json.loads(line)["shots"].values():
                if shot["stat"] and shot["sha256"]:
                    size, mtime_ns = shot["stat"]
                    found[shot["path"], size, mtime_ns] = shot["sha256"]
        except (ValueError, LookupError, TypeError, AttributeError):  # a torn or foreign line
            continue
    return found
