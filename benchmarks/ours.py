"""A workflow of this package on a lot, as the other ways are run: `residue_batch.run`, or a bare pool of processes.

    python -m benchmarks.ours LOT WORKFLOW OUT [--workers N] [--executor E] [--pool N]

The pool does the boards' work and nothing else: no cluster, no records, no tables. What a cluster costs is
the difference.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from residue_batch import run
from residue_batch.board import Board
from residue_batch.engine.inline import Done, measure_boards
from residue_batch.prepare import prepare

REDUCTION = "_reduction_pct"
SAME = {"grains": "area", "grains_load": "load"}
"""What the scripts of the peers call the measures of `bright_particles`."""


def by_run(lot: Path, workflow: str, out: Path, workers: int, executor: str) -> dict[str, Any]:
    """The whole run: its boards' reductions, and when each was done."""
    moments: list[float] = []
    dataset = run(
        lot,
        workflow,
        out=out,
        workers=workers,
        executor=executor,
        on_progress=lambda now: moments.append(time.time()) if now.board else None,
    )
    if dataset.attrs["exit_code"]:
        reasons = [str(reason) for reason in dataset["message"].values if str(reason)]
        raise SystemExit(f"the run ended with {dataset.attrs['exit_code']}: {reasons[:1]}")
    whole = dataset.sel(region="whole")
    numbers: dict[str, dict[str, float]] = {str(board): {} for board in whole["board"].values}
    for name, variable in whole.data_vars.items():
        if str(name).endswith(REDUCTION) and variable.ndim == 1:
            measure = str(name).removesuffix(REDUCTION)
            for row, value in zip(numbers.values(), variable.values, strict=True):
                row[SAME.get(measure, measure) + REDUCTION] = float(value)
    return {"boards": numbers, "moments": moments}


def one(work: tuple[Board, frozenset[str]]) -> Done:
    """A board in a process of the pool."""
    return measure_boards([work])[0]


def by_pool(lot: Path, workflow: str, out: Path, processes: int) -> dict[str, Any]:
    """The boards by a pool of processes."""
    prepared = prepare(lot, workflow)
    prepared = replace(prepared, settings={k: replace(s, folder=str(out)) for k, s in prepared.settings.items()})
    work = [(board, frozenset[str]()) for board in prepared.boards(str(out))]
    out.mkdir(parents=True, exist_ok=True)
    moments = []
    with get_context("spawn").Pool(processes) as pool:
        for done in pool.imap_unordered(one, work):
            if done.failure or done.record is None or done.record["outcome"] != "measured":
                raise SystemExit(f"{done.board} was not measured: {done.failure or done.record}")
            moments.append(time.time())
    return {"boards": {}, "moments": moments}


def main(arguments: Sequence[str] | None = None) -> None:
    """The script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("lot", type=Path)
    parser.add_argument("workflow")
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--executor", default="auto")
    parser.add_argument("--pool", type=int, default=0)
    given = parser.parse_args(arguments)
    if given.pool:
        found = by_pool(given.lot, given.workflow, given.out, given.pool)
    else:
        found = by_run(given.lot, given.workflow, given.out, given.workers, given.executor)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
