"""The driver: streams boards through a cluster and takes small results as they come.

At most ``window`` boards are on the cluster at any time, so the scheduler's
memory does not grow with the lot. A board that fits half a worker's memory is
one task; a larger one is a graph of its own, after the others.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterable, Iterator, Sequence

from distributed import Client, Future, KilledWorker

from residue_batch import board as boards
from residue_batch.board import Board
from residue_batch.engine.cluster import watch, worker_memory
from residue_batch.engine.graph import LOST, run_graph
from residue_batch.engine.inline import Done, measure_boards, settle
from residue_batch.errors import ClusterError, Refusal
from residue_batch.outcome import INTERNAL_ERROR, refused
from residue_batch.stages import TASK_SECONDS, Plan

WINDOW = 64

Work = tuple[Board, frozenset[str]]


def drive(client: Client, work: Iterable[Work], executor: str = "auto", window: int = WINDOW) -> Iterator[Done]:
    """Measure boards on a cluster; results come in the order they finish.

    Parameters
    ----------
    work
        Boards, each with the keys under which it is already done.
    executor
        ``inline`` (one task per board), ``graph`` (one graph per board) or
        ``auto`` (by the memory its plan needs).

    Raises
    ------
    ClusterError
        If the cluster is lost or nothing finishes for ``STALL_SECONDS``.
    """
    memory = worker_memory(client) if executor == "auto" else 0
    large: list[Work] = []

    def small() -> Iterator[tuple[Work, float]]:
        for one in work:
            plan = _plan(one[0]) if executor != "inline" else None
            if executor == "graph" or (plan and memory and plan.least_bytes > memory / 2):
                large.append(one)
            else:
                yield one, plan.seconds if plan else TASK_SECONDS

    yield from _stream(client, _packed(small()), window)
    for board, known in large:
        yield settle(board, known, lambda b: run_graph(client, boards.plan_board(b), b))


def _plan(board: Board) -> Plan | None:
    """The board's plan, or None if its shots cannot be read: the worker will say why."""
    try:
        return boards.plan_board(board)
    except Refusal:
        return None


def _packed(work: Iterable[tuple[Work, float]]) -> Iterator[list[Work]]:
    """Tiny boards together, so that no task is shorter than its overhead is worth."""
    batch: list[Work] = []
    total = 0.0
    for one, seconds in work:
        batch.append(one)
        total += seconds
        if total >= TASK_SECONDS:
            yield batch
            batch, total = [], 0.0
    if batch:
        yield batch


def _stream(client: Client, batches: Iterator[list[Work]], window: int) -> Iterator[Done]:
    finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
    running: dict[str, tuple[Future, list[Work]]] = {}

    def refill() -> None:
        while len(running) < window:
            batch = next(batches, None)
            if batch is None:
                return
            future = client.submit(measure_boards, batch, pure=False)
            running[future.key] = (future, batch)
            future.add_done_callback(finished.put)

    refill()
    while running:
        future = _next(client, finished)
        _, batch = running.pop(future.key)
        yield from _results(client, future, batch)
        refill()


def _next(client: Client, finished: queue.SimpleQueue[Future]) -> Future:
    """The next finished future; never waits for ever."""
    since = time.monotonic()
    while True:
        try:
            return finished.get(timeout=2)
        except queue.Empty:
            watch(client, since)


def _results(client: Client, future: Future, batch: Sequence[Work]) -> Iterator[Done]:
    if future.status == "finished":
        yield from future.result()
        return
    if future.status == "cancelled" or client.status != "running":
        raise ClusterError("the Dask scheduler went away; the same command resumes")
    error = future.exception()
    refusal = LOST if isinstance(error, KilledWorker) else Refusal(INTERNAL_ERROR, f"{type(error).__name__}: {error}")
    for board, _ in batch:
        record = refused(board.name, board.lot, board.setting.board_type.board_type, "", refusal)
        yield Done(board.name, "", record, dict(board.shots), {}, 0.0, failure=refusal.message)
