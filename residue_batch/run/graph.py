"""The executor with a graph: each stage's items in batches on the cluster, merged in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import cv2
from distributed import Client

from residue_batch.board import Board
from residue_batch.plan import Plan, Stage

FAN_IN = 8


def run_batch(stage: Stage, board: Board, items: Sequence[Any]) -> Any:
    """One task: some items of a stage, merged."""
    cv2.setNumThreads(1)
    return reduce(stage.merge, (stage.function(board, item) for item in items))


def merge_parts(stage: Stage, *parts: Any) -> Any:
    """One task: the merged parts."""
    return reduce(stage.merge, parts)


def run_graph(client: Client, plan: Plan, board: Board) -> Board:
    """Run every stage of a plan on the cluster; only the board's small state comes back."""
    for stage in plan.stages:
        state = client.scatter(board, hash=False)
        size = stage.batch
        batches = [stage.items[i : i + size] for i in range(0, len(stage.items), size)]
        bare = replace(stage, items=())  # a batch carries its own
        parts = [client.submit(run_batch, bare, state, batch, pure=False) for batch in batches]
        while len(parts) > 1:
            groups = [parts[i : i + FAN_IN] for i in range(0, len(parts), FAN_IN)]
            parts = [client.submit(merge_parts, bare, *group, pure=False) for group in groups]
        board = client.submit(stage.then, state, parts[0], pure=False).result()
    return board
