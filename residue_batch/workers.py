"""Where work is done: in this process, or by the workers of a cluster that opens when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from residue_batch.artefacts import Execute
from residue_batch.building import Building
from residue_batch.config import Cluster, load_cluster
from residue_batch.engine.inline import run_inline, set_up_process
from residue_batch.prepare import sets_for
from residue_batch.stages import Plan

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def clients(
    workers: int | None, cluster: str | Path | Cluster | None, sets: Sequence[str]
) -> Iterator[Callable[[], Client] | None]:
    """A call that opens the cluster when it is first needed; None to work in this process."""
    if workers == 0:
        yield None
        return
    with ExitStack() as stack:

        @cache
        def client() -> Client:
            from residue_batch.engine.cluster import open_cluster

            return stack.enter_context(open_cluster(_cluster_spec(cluster, sets), workers))

        yield client


def executor_of(client: Callable[[], Client] | None) -> Execute:
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
