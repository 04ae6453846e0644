"""The executor without a graph: for stage, for item, merge."""

from __future__ import annotations

import ctypes
import gc
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial, reduce
from pathlib import Path
from typing import Any, TypeVar

import cv2

from residue_batch import board as boards
from residue_batch import photo
from residue_batch.board import Board
from residue_batch.errors import ClusterError, Refusal
from residue_batch.files import PhotoFile
from residue_batch.laps import Spent, charged, recorded
from residue_batch.outcome import INTERNAL_ERROR, WORKER_LOST, Record, refused
from residue_batch.shelf import shelves
from residue_batch.stages import Plan, Stage

State = TypeVar("State")


@dataclass(frozen=True)
class Done:
    """What comes back from measuring a board: a record, or word that it was done already.

    ``stats`` are (size, mtime_ns) of the shots as they were hashed; ``failure``
    is the traceback of a bug, whose record must not be kept.
    """

    board: str
    key: str
    record: Record | None
    shots: dict[str, PhotoFile]
    stats: dict[str, tuple[int, int]]
    seconds: float
    failure: str = ""
    spent: Spent | None = None


def set_up_process() -> None:
    """One thread for OpenCV, and an allocator that keeps what planes of the last tile have freed."""
    cv2.setNumThreads(1)
    _keep_freed_memory()


@cache
def _keep_freed_memory() -> None:
    """Tell glibc not to give freed planes back: faulting them in again costs a fifth of a board's time.

    All threads share them: what each of those that decode keeps for itself was 118 MB after ten boards.
    """
    trim_threshold, mmap_threshold, arena_max = -1, -3, -8  # from malloc.h
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # another C library
        return
    mallopt(trim_threshold, 256 << 20)
    mallopt(mmap_threshold, 32 << 20)
    mallopt(arena_max, 1)


def run_inline(plan: Plan, board: State, *, alone: bool = False) -> State:
    """Run every stage of a plan here; the state is a board, or a reference that is built.

    A process that is ``alone`` on its machine decodes the after-shot beside the before-shot.
    """
    for stage in plan.stages:
        work = partial(stage.function, board)
        board = stage.then(board, reduce(stage.merge, _beside(work, stage) if alone else map(work, stage.items)))
    return board


def _beside(work: Callable[[Any], Any], stage: Stage) -> Iterable[Any]:
    """The parts of a stage, in the order of its items whichever ends first."""
    if not stage.beside:
        return map(work, stage.items)
    with ThreadPoolExecutor(len(stage.items)) as pool:
        return list(pool.map(work, stage.items))


def identify(board: Board) -> tuple[Board, dict[str, tuple[int, int]]]:
    """The board with the sha256 of its shots, and their size and time at that moment.

    Raises
    ------
    Refusal
        If a shot cannot be read.
    """
    found = {phase: photo.hash_file(file.path, keep=True) for phase, file in board.shots.items()}
    shots = {phase: PhotoFile(board.shots[phase].path, one.sha256) for phase, one in found.items()}
    for phase, file in board.shots.items():
        photo.check_hash(file.path, shots[phase].sha256 or "", file.sha256)
    return replace(board, shots=shots), {phase: (one.size, one.mtime_ns) for phase, one in found.items()}


def settle(board: Board, known: frozenset[str], measure: Any) -> Done:
    """Measure a board by ``measure(board) -> Board``, whatever happens on the way.

    A refusal becomes a record; a bug becomes a record that is shown, not kept.

    Raises
    ------
    ClusterError
        If there is nothing left to measure on.
    """
    start = time.perf_counter()
    stats: dict[str, tuple[int, int]] = {}
    name = board.setting.board_type.board_type
    failure = ""
    record: Record | None = None
    try:
        (board, stats), spent = recorded("identify", identify, board)
        board = charged(board, spent)
        if board.key not in known:
            board = measure(board)
            record = board.record
    except Refusal as error:
        if not stats or error.reason == "hash_mismatch" or isinstance(error.__cause__, OSError):
            # the file is at fault, not its pixels: once it can be read, the board is measured
            board = replace(board, shots={phase: PhotoFile(file.path) for phase, file in board.shots.items()})
        record = refused(board.name, board.lot, name, board.key, without_folders(error, board))
        # a lost worker says nothing of the board: shown, not kept
        failure = error.message if error.reason == WORKER_LOST else ""
    except ClusterError:
        raise
    except Exception as error:  # a bug in one board must not end the night
        failure = traceback.format_exc()
        refusal = Refusal(INTERNAL_ERROR, f"{type(error).__name__}: {error}", "report this with run.jsonl")
        record = refused(board.name, board.lot, name, board.key, refusal)
    finally:
        boards.forget_photographs()
    return Done(
        board.name, board.key, record, dict(board.shots), stats, time.perf_counter() - start, failure, board.spent
    )


def without_folders(error: Refusal, board: Board) -> Refusal:
    """The refusal with bare file names: a record does not depend on where the lot lies."""
    message = error.message
    for file in board.shots.values():
        message = message.replace(file.path, Path(file.path).name)
    return Refusal(error.reason, message, error.remedy)


def measure_boards(work: Sequence[tuple[Board, frozenset[str]]], *, alone: bool = False) -> list[Done]:
    """One task of the driver: a board, or several tiny ones, each run inline."""

    def measure(board: Board) -> Board:
        plan = boards.plan_board(board)
        with shelves(plan.room):
            return run_inline(plan, board, alone=alone)

    set_up_process()
    with _without_collections():
        return [settle(board, known, measure) for board, known in work]


@contextmanager
def _without_collections() -> Iterator[None]:
    """No search for cycles while a board is measured: it walks over every object of every library, for a hundredth of
    the time, and finds nothing that holds pixels.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
