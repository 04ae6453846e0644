"""Where work is done: in this process, or by the workers of a cluster that opens when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from importlib import import_module
from multiprocessing import current_process
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from residue_batch.artefacts import Execute
from residue_batch.building import Building
from residue_batch.config import Cluster, load_cluster
from residue_batch.engine.inline import run_inline, set_up_process
from residue_batch.errors import ConfigError, UsageError
from residue_batch.prepare import sets_for
from residue_batch.stages import Plan

if TYPE_CHECKING:
    from distributed import Client


class Workers:
    """The cluster of a run: opened when first needed, or ahead of that; closed at the end, or ahead of that.

    A cluster takes seconds to come and to go, in which this process has better to do than to wait.
    """

    def __init__(self, opened: Callable[[ExitStack], Client]) -> None:
        self._opened, self._stack = opened, ExitStack()
        self._beside = ThreadPoolExecutor(1, "cluster")
        self._client: Future[Client] | None = None

    def __call__(self) -> Client:
        """The client of the cluster."""
        return self.ahead().result()

    def ahead(self) -> Future[Client]:
        """Begin to open the cluster."""
        if self._client is None:
            self._client = self._beside.submit(self._opened, self._stack)
        return self._client

    def close(self) -> Future[None]:
        """Begin to close the cluster: nothing needs it any more."""
        return self._beside.submit(self._stack.close)


@contextmanager
def clients(workers: int | None, cluster: str | Path | Cluster | None, sets: Sequence[str]) -> Iterator[Workers | None]:
    """The workers of a run; None to work in this process.

    UsageError for fewer workers than none.
    """
    if workers is not None and workers < 0:
        raise UsageError(f"workers is {workers}; it may be 0, for this process, or more")
    if getattr(current_process(), "_inheriting", False):  # as multiprocessing itself asks, too late for a clear word
        raise UsageError("a worker has imported the script that started it; begin it with: if __name__ == '__main__':")
    if workers == 0:
        yield None
        return

    def opened(stack: ExitStack) -> Client:
        from residue_batch.engine.cluster import open_cluster

        return stack.enter_context(open_cluster(_cluster_spec(cluster, sets), workers))

    found, waits = Workers(opened), True
    try:
        yield found
    except ConfigError:
        waits = False  # the message first: the process waits at its end
        raise
    finally:
        closed = found.close()
        if waits:
            closed.result()


def executor_of(client: Workers | None) -> Execute:
    """What runs the plan of an artefact."""

    def execute(plan: Plan, state: Building) -> Building:
        if client is None:
            set_up_process()
            return run_inline(plan, state)
        from residue_batch.engine.graph import run_graph

        return run_graph(client(), plan, state)

    return execute


def load_ahead() -> None:
    """Load what tables and report are made with, beside the measuring: a second less at the end of a run."""

    def load() -> None:
        for name in ("residue_batch.report", "dask.array"):  # xarray looks for the latter
            import_module(name)

    Thread(target=load, daemon=True).start()


def _cluster_spec(cluster: str | Path | Cluster | None, sets: Sequence[str]) -> Cluster:
    if isinstance(cluster, Cluster):
        return cluster
    if cluster is None:
        return Cluster()
    if "://" in str(cluster):
        return Cluster(kind="address", address=str(cluster))
    return load_cluster(str(cluster), sets_for(sets, "cluster"))
