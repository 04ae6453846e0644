"""One way to a cluster: workers on this machine, or a scheduler that already runs."""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import warnings
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, LocalCluster

from residue_batch import __version__
from residue_batch.config import Cluster
from residue_batch.errors import ClusterError

CONNECT_SECONDS = 30
WORKER_ENVIRON = {
    # tasks run beside the main thread: an arena of their own would give every plane back, to be faulted in again
    "MALLOC_ARENA_MAX": 1,
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1),
}
"""What workers on this machine are started with."""

DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
"""What workers on this machine do first: Ctrl-C reaches them too, and is the command's to answer."""

QUIET = {
    # every 10 ms: a tenth of the work; every 200 ms still a fortieth. A run has a profile of its own
    "distributed.worker.profile.enabled": False,
    # the rest together costs a fortieth of a core in each process: 20, 100 and 500 ms, and tasks take a second
    "distributed.admin.tick.interval": "1s",
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.admin.system-monitor.interval": "2s",
}
"""How often a cluster on this machine looks at itself."""

# another run may take the dashboard's port between the look and the opening; the link says which port it became
warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)


def _no_cancellation(record: logging.LogRecord) -> bool:
    """What Ctrl-C called off is no error, though tornado logs it as one, with a page of traceback."""
    return not (record.exc_info and isinstance(record.exc_info[1], CancelledError))


logging.getLogger("tornado.application").addFilter(_no_cancellation)

STALL_SECONDS = 900.0
"""Without any result for this long, the run stops with what it has; it can be resumed."""


@contextmanager
def open_cluster(spec: Cluster, workers: int | None = None) -> Iterator[Client]:
    """A client of the cluster that ``spec`` describes; what was started here ends with it.

    Raises
    ------
    ClusterError
        If no scheduler answers, or its workers run other versions of this package.
    """
    if spec.kind == "local":
        with _local(spec, workers) as cluster, Client(cluster) as client:
            yield client
        return
    address = _address(spec)
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address}: {error}; start one with 'dask scheduler'"
        ) from None
    with client:
        _same_versions(client)
        yield client


def _address(spec: Cluster) -> str:
    """Where the scheduler is; a scheduler's file is read here, because Dask waits for ever for a missing one."""
    if spec.address:
        return spec.address
    assert spec.scheduler_file is not None
    try:
        return str(json.loads(Path(spec.scheduler_file).read_text())["address"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ClusterError(f"{spec.scheduler_file} is not the file of a scheduler that runs ({reason})") from None


def _local(spec: Cluster, workers: int | None) -> LocalCluster:
    # loopback everywhere: a Dask port without TLS runs any code it is sent
    # one thread per worker: the kernels are single-threaded and hold whole photographs
    begin = {"distributed.nanny.pre-spawn-environ": WORKER_ENVIRON, "distributed.worker.preload": [DEAF]}
    with dask.config.set(QUIET | begin):
        try:
            return LocalCluster(
                n_workers=workers or spec.workers or os.cpu_count(),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                memory_limit=spec.memory_limit,
                # without a dashboard the scheduler still listens to HTTP
                dashboard_address=_free(spec.dashboard or "127.0.0.1:0"),
                scheduler_kwargs={"dashboard": spec.dashboard is not None},
                worker_dashboard_address="127.0.0.1:0",
                silence_logs=40,
            )
        except RuntimeError as error:
            remedy = "a script that starts a run begins it with: if __name__ == '__main__':"
            raise ClusterError(f"the workers did not start ({error}); {remedy}") from None


def _free(address: str) -> str:
    """The dashboard's address, with a free port when that one is taken."""
    host, _, port = address.rpartition(":")
    host = host or "127.0.0.1"
    with socket.socket() as probe:
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return f"{host}:{port}"


def installed_version() -> str:
    """The version of this package where the call runs."""
    return __version__


def _same_versions(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        raise ClusterError(
            f"the scheduler has no worker after {CONNECT_SECONDS} s; start one with 'dask worker ADDRESS'"
        ) from None
    try:
        versions = client.run(installed_version)
    except Exception as error:
        raise ClusterError(f"the cluster's workers cannot import residue_batch: {error}; install it there") from None
    other = {worker: version for worker, version in versions.items() if version != __version__}
    if other:
        worker, version = next(iter(other.items()))
        raise ClusterError(
            f"worker {worker} runs residue_batch {version}, this is {__version__}; install the same version on both"
        )


def worker_memory(client: Client) -> int:
    """The memory limit of the smallest worker, bytes; 0 when unlimited or unknown."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return min((w["memory_limit"] or 0 for w in workers.values()), default=0)


def watch(client: Client, since: float) -> None:
    """Give up a cluster that is lost, or from which nothing has come since (``time.monotonic``) too long.

    Raises
    ------
    ClusterError
    """
    if client.status != "running":
        raise ClusterError("the connection to the Dask scheduler is lost; the same command resumes")
    if time.monotonic() - since > STALL_SECONDS:
        raise ClusterError(f"nothing was finished in {STALL_SECONDS / 60:.0f} minutes; the same command resumes")
