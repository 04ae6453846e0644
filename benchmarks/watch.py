"""One command in a process of its own, watched: when its boards were done, its CPU time and memory, children included.

A fresh process, so that nothing is warm. Speed is what comes after the first
third of the boards: imports, start-up and prepared scenes show in ``wall_s``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
import psutil  # type: ignore[import-untyped]

BLOCK = 64_000_000
"""Bytes that are copied to feel how much of the memory others leave: more than any cache keeps."""

HERE = Path(__file__).resolve().parent.parent
EVERY = 0.05  # s between two looks
LINES = 8
"""The last lines of an error are shown."""


class Sample(NamedTuple):
    """The process and its children at one moment: CPU seconds so far, resident bytes of all and of the largest."""

    at: float
    cpu_s: float
    tree: int
    largest: int


class FailedError(RuntimeError):
    """The command ended with an error, could not be started, or did not say what it has done."""


def copied() -> float:
    """GB/s at which memory is copied just now, the best of five: it is shared, and neighbours take from it."""
    source, target = np.ones(BLOCK, np.uint8), np.ones(BLOCK, np.uint8)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        seconds.append(time.perf_counter() - start)
    return BLOCK / min(seconds) / 1e9


def watched(module: str, *given: object, boards: int, python: str = sys.executable, workers: int = 1) -> dict[str, Any]:
    """Run ``python -m module given...`` and return what it says of its boards, with its speed and memory.

    ``boards`` is how many it has to do, ``workers`` how many at the same time.

    Raises
    ------
    FailedError
        With the last lines of what it said; or if boards are missing, whatever it says; or if it cannot be started.
    """
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    command = [python, "-m", module, *map(str, given)]
    start = time.time()
    # into files: nobody reads a pipe while the process is watched
    with TemporaryFile("w+") as out, TemporaryFile("w+") as errors:
        try:
            process = subprocess.Popen(  # noqa: S603 -- our own words only
                command, stdout=out, stderr=errors, text=True, env=os.environ | {"PYTHONPATH": path}
            )
        except OSError as error:
            raise FailedError(f"{python}: {error.strerror}") from error
        samples = _samples(process)
        for file in (out, errors):
            file.seek(0)
        if process.wait():
            raise FailedError(f"{module}: " + "\n".join(errors.read().splitlines()[-LINES:]))
        found = _told(module, out.read())
    if len(found["moments"]) != boards:
        raise FailedError(f"{module} measured {len(found['moments'])} boards of {boards}")
    return found | {"wall_s": time.time() - start} | rates(found["moments"], samples, workers)


def _told(module: str, said: str) -> dict[str, Any]:
    """What a command says of its boards, on its last line."""
    last = "".join(said.splitlines()[-1:])
    try:
        found = json.loads(last)
        return {"boards": dict(found["boards"]), "moments": list(found["moments"])}
    except (ValueError, TypeError, KeyError):
        raise FailedError(f"{module} does not say what it measured, but '{last[:80]}'") from None


def _samples(process: subprocess.Popen[str]) -> list[Sample]:
    """Look at the process and its children until it ends."""
    samples: list[Sample] = []
    ended: dict[int, float] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        sizes = []
        try:
            family = [root, *root.children(recursive=True)]
        except psutil.Error:
            break
        for one in family:
            try:
                times = one.cpu_times()
                ended[one.pid] = times.user + times.system
                sizes.append(int(one.memory_info().rss))
            except psutil.Error:  # it has just ended
                continue
        samples.append(Sample(time.time(), sum(ended.values()), sum(sizes), max(sizes, default=0)))
        time.sleep(EVERY)
    return samples


def rates(moments: Sequence[float], samples: Sequence[Sample], workers: int) -> dict[str, Any]:
    """Seconds by the clock and of the CPU per board, once a run has settled; peaks of memory, MB.

    That is when each worker has done its first board and a third of all are done: until then tables and report are
    loaded beside the measuring. It is the median over the boards, taken by as many at once as there are workers: what
    else the machine does comes in bursts. Every board by itself, from the end of the one before, is in two lists.
    """
    ends = np.array([samples[0].at, *moments])
    spent = np.interp(ends, [s.at for s in samples], [s.cpu_s for s in samples])
    first = min(max(workers, len(moments) // 3), len(moments) - 1)
    at, cpu = ends[first:], spent[first:]
    together = min(workers, len(at) - 1)
    return {
        "board_s": float(np.median(at[together:] - at[:-together])) / together,
        "board_cpu_s": float(np.median(cpu[together:] - cpu[:-together])) / together,
        "boards_s": np.diff(ends).tolist(),
        "boards_cpu_s": np.diff(spent).tolist(),
        "first_s": moments[0] - samples[0].at,
        "tree_mb": max(s.tree for s in samples) / 1e6,
        "process_mb": max(s.largest for s in samples) / 1e6,
    }
