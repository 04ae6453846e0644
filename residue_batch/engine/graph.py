"""The executor with a graph: each stage's items in batches on the cluster, merged in a tree."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

from distributed import Client, Future, KilledWorker, wait

from residue_batch.engine.cluster import watch
from residue_batch.engine.inline import State, set_up_process
from residue_batch.errors import ClusterError, Refusal
from residue_batch.outcome import WORKER_LOST
from residue_batch.stages import Plan, Stage

FAN_IN = 8
LOST = Refusal(
    WORKER_LOST,
    "the workers that measured it died",
    "run the same command again; give workers more memory if it repeats",
)


def run_batch(stage: Stage, board: Any, items: Sequence[Any]) -> Any:
    """One task: some items of a stage, merged."""
    set_up_process()
    return reduce(stage.merge, (stage.function(board, item) for item in items))


def merge_parts(stage: Stage, *parts: Any) -> Any:
    """One task: the merged parts."""
    return reduce(stage.merge, parts)


def run_graph(client: Client, plan: Plan, board: State) -> State:
    """Run every stage of a plan on the cluster; only the board's small state comes back."""
    for stage in plan.stages:
        # a task, because what is scattered is lost with the worker that holds it
        state = client.submit(itself, board, pure=False)
        size = stage.batch
        batches = [stage.items[i : i + size] for i in range(0, len(stage.items), size)]
        bare = replace(stage, items=())  # a batch carries its own
        parts = [client.submit(run_batch, bare, state, batch, pure=False) for batch in batches]
        work = list(parts)
        while len(parts) > 1:
            groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
            parts = [client.submit(merge_parts, bare, *group, pure=False) for group in groups]
        board = _result(client, client.submit(stage.then, state, parts[0], pure=False), work)
    return board


def itself(board: Any) -> Any:
    """One task: the state that the others read."""
    return board


def _result(client: Client, last: Future, work: Sequence[Future]) -> Any:
    """The result of the last task; waits as long as some of the work still gets done, never for ever."""
    since, done = time.monotonic(), 0
    while not last.done():
        with suppress(TimeoutError):
            wait(last, timeout=2)
        now = sum(future.done() for future in work)
        if now != done:
            since, done = time.monotonic(), now
        watch(client, since)
    if last.cancelled():
        raise ClusterError("the Dask scheduler went away; the same command resumes")
    try:
        return last.result()
    except KilledWorker:
        raise LOST from None
