"""One run of a lot in a process of its own, watched: time, CPU time and memory of its workers.

    python -m benchmarks.watch '{"lot": ..., "workflow": ..., "out": ..., "workers": 2}'

prints one JSON document. A fresh process, so that start-up counts and nothing is warm.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

EVERY = 0.1  # s between two looks at the workers
MB = 1e6


def watched(lot: Path, workflow: str, out: Path, workers: int) -> dict[str, Any]:
    """Start the run in a fresh process and return what it says of itself."""
    given = {"lot": str(lot), "workflow": workflow, "out": str(out), "workers": workers}
    here = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "benchmarks.watch", json.dumps(given)]
    ended = subprocess.run(  # noqa: S603 -- our own words only
        command, check=False, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    if ended.returncode:
        raise RuntimeError(f"the run failed:\n{ended.stderr}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


class Watch(threading.Thread):
    """Looks at the worker processes until told to stop: [(time, {pid: resident bytes})]."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[tuple[float, dict[int, int]]] = []
        self.ended = threading.Event()

    def run(self) -> None:
        me = psutil.Process()
        while not self.ended.wait(EVERY):
            resident = {}
            for child in me.children(recursive=True):
                try:
                    if any("spawn_main" in word for word in child.cmdline()):
                        resident[child.pid] = int(child.memory_info().rss)
                except psutil.Error:  # it has just ended
                    continue
            self.samples.append((time.time(), resident or {me.pid: int(me.memory_info().rss)}))


def memory(samples: list[tuple[float, dict[int, int]]], begin: float, end: float) -> dict[str, float]:
    """Peak MB of the largest worker: over all, and in the first and last quarter of the boards' time."""
    quarter = (end - begin) / 4

    def peak(start: float, stop: float) -> float:
        inside = [size for at, sizes in samples if start <= at <= stop for size in sizes.values()]
        return max(inside, default=0) / MB

    whole = peak(begin, end)
    return {"peak": whole, "first_quarter": peak(begin, begin + quarter), "last_quarter": peak(end - quarter, end)}


def main(given: dict[str, Any]) -> dict[str, Any]:
    """Run the lot here and tell how it went."""
    started = psutil.Process().create_time()
    from residue_batch.api import run

    watch = Watch()
    watch.start()
    moments: list[float] = []
    dataset = run(
        given["lot"],
        given["workflow"],
        out=given["out"],
        workers=given["workers"],
        on_progress=lambda _: moments.append(time.time()),
    )
    ended = time.time()
    watch.ended.set()
    watch.join()
    # with a cluster the first word comes when the workers are there, before any board
    ready = moments[0] if given["workers"] else watch.samples[0][0]
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "workers": given["workers"],
        "wall_s": ended - started,
        "start_s": ready - started,
        "boards_s": moments[-1] - ready,
        "finish_s": ended - moments[-1],
        "cpu_s": sum(u.ru_utime + u.ru_stime for u in used),
        "cpu_workers_s": used[1].ru_utime + used[1].ru_stime,
        "memory_mb": memory(watch.samples, ready, moments[-1]),
        "boards": int(dataset.sizes["board"]),
        "exit_code": int(dataset.attrs["exit_code"]),
    }


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
