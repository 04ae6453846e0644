"""The ledger: which boards are done, under which keys, and what to show of them."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_up import turned_away
from small import SmallLot

from residue_batch import records
from residue_batch.board import Board
from residue_batch.engine.inline import Done, identify
from residue_batch.errors import Refusal
from residue_batch.ledger import JOURNAL, Ledger, Progress
from residue_batch.outcome import refused
from residue_batch.prepare import Prepared, prepare


@pytest.fixture(scope="module")
def prepared(lot: SmallLot) -> Prepared:
    return prepare(lot.lot, lot.workflow)


def finished(board: Board, reason: str = "rotated", failure: str = "") -> Done:
    """What measuring the board would have brought, as a refusal: it is shorter."""
    board, stats = identify(board)
    record = refused(board.name, board.lot, "small", board.key, Refusal(reason, "turned"))
    return Done(board.name, board.key, record, dict(board.shots), stats, 1.0, failure)


def take(ledger: Ledger, done: Done) -> None:
    with records.Log(ledger.folder) as log, (ledger.folder / JOURNAL).open("a") as journal:
        ledger.take(done, log, journal)


def test_an_empty_directory_has_everything_to_do(prepared: Prepared, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    assert [(board.name, known) for board, known in ledger.work()] == [("B001", frozenset()), ("B002", frozenset())]
    assert ledger.rows() == []
    assert ledger.total == 2


def test_what_is_taken_is_done_next_time(prepared: Prepared, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    (first, _), *_ = ledger.work()
    done = finished(first)
    take(ledger, done)
    assert [row["board"] for row in ledger.rows()] == ["B001"]
    again = Ledger(tmp_path, prepared, None)
    assert [board.name for board, _ in again.work()] == ["B002"]
    assert again.rows() == [done.record]


def test_without_the_journal_a_board_is_hashed_but_known(prepared: Prepared, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    (first, _), *_ = ledger.work()
    take(ledger, finished(first))
    (tmp_path / JOURNAL).unlink()
    again = Ledger(tmp_path, prepared, None)
    work = {board.name: known for board, known in again.work()}
    assert work == {"B001": frozenset({identify(first)[0].key}), "B002": frozenset()}
    take(again, replace(finished(first), record=None))
    assert [row["board"] for row in again.rows()] == ["B001"]
    assert (tmp_path / records.LOG).read_bytes().count(b"\n") == 1


@pytest.mark.parametrize(("reason", "bug"), [("internal_error", True), ("worker_lost", False)])
def test_a_failure_is_shown_and_not_kept(prepared: Prepared, tmp_path: Path, reason: str, bug: bool) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    (first, _), *_ = ledger.work()
    take(ledger, finished(first, reason, "Traceback ..."))
    assert [row["board"] for row in ledger.rows()] == ["B001"]
    assert ledger.bugs == ({"B001": "Traceback ..."} if bug else {})
    assert records.read(tmp_path) == ({}, 0)
    assert [board.name for board, _ in Ledger(tmp_path, prepared, None).work()] == ["B001", "B002"]


def test_records_of_boards_that_left_the_lot_are_not_shown(prepared: Prepared, tmp_path: Path) -> None:
    with records.Log(tmp_path) as log:
        log.append(turned_away("a board of long ago"))
    ledger = Ledger(tmp_path, prepared, None)
    assert ledger.rows() == []


def test_damage_is_counted(prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / records.LOG).write_bytes(b"rubbish\nmore")
    assert Ledger(tmp_path, prepared, None).damaged == 2


def test_progress_says_how_far_it_is(prepared: Prepared, tmp_path: Path) -> None:
    told: list[Progress] = []
    ledger = Ledger(tmp_path, prepared, told.append)
    for board, _ in ledger.work():
        take(ledger, finished(board))
    assert [(p.done, p.total, p.refused, p.board, p.outcome) for p in told] == [
        (1, 2, 1, "B001", "refused"),
        (2, 2, 2, "B002", "refused"),
    ]


def test_what_the_scan_refuses_is_a_row_from_the_start(lot: SmallLot, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"board,phase,path\nZ1,before,{lot.shot(0, 'before')}\n")
    listed = tmp_path / "lot.yaml"
    listed.write_text(f"schema: 1\nlot: L1\nboard_type: {lot.board_type}\nmanifest: m.csv\n")
    ledger = Ledger(tmp_path / "run", prepare(listed, lot.workflow), None)
    assert [(row["board"], row["outcome"], row["reason"]) for row in ledger.rows()] == [("Z1", "refused", "unpaired")]
    assert list(ledger.work()) == []


def test_a_line_of_the_journal_says_what_was_measured(prepared: Prepared, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    (first, _), *_ = ledger.work()
    done = finished(first)
    take(ledger, done)
    line: dict[str, Any] = json.loads((tmp_path / JOURNAL).read_text())
    assert (line["board"], line["key"], line["seconds"], line["failure"]) == ("B001", done.key, 1.0, "")
    assert line["shots"]["after"]["sha256"] == done.shots["after"].sha256
    assert line["shots"]["after"]["stat"] == list(done.stats["after"])


def test_the_journal_is_flushed_with_each_board(prepared: Prepared, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, prepared, None)
    (first, _), *_ = ledger.work()
    written = io.StringIO()
    with records.Log(tmp_path) as log:
        ledger.take(finished(first), log, written)
    assert written.getvalue().endswith("\n")
