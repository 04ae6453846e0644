"""One way to a cluster; what cannot be reached is said in time."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from residue_batch import __version__
from residue_batch.config import Cluster
from residue_batch.engine import cluster as rooms
from residue_batch.engine.cluster import installed_version, open_cluster, worker_memory
from residue_batch.errors import ClusterError

NOBODY = {
    "n_workers": 0,
    "processes": False,
    "protocol": "tcp",
    "host": "127.0.0.1",
    "dashboard_address": "127.0.0.1:0",
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "CONNECT_SECONDS", 1)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_scheduler_that_runs_is_joined_and_left_running(cluster: LocalCluster) -> None:
    for _ in range(2):
        with open_cluster(Cluster(kind="address", address=cluster.scheduler_address)) as client:
            assert set(client.run(installed_version).values()) == {__version__}
            assert worker_memory(client) == 4 << 30


def test_a_scheduler_is_found_by_its_file(cluster: LocalCluster, tmp_path: Path) -> None:
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": cluster.scheduler_address}))
    with open_cluster(Cluster(kind="scheduler_file", scheduler_file=str(file))) as client:
        assert client.submit(abs, -1).result() == 1


@pytest.mark.usefixtures("impatient")
def test_an_address_that_nobody_listens_at_is_an_error_in_time() -> None:
    start = time.monotonic()
    address = f"tcp://127.0.0.1:{closed_port()}"
    with (
        pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address}.*start one"),
        open_cluster(Cluster(kind="address", address=address)),
    ):
        pass
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]", '"tcp"'])
def test_a_scheduler_file_that_says_nothing_is_an_error_in_time(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "scheduler.json"
    if text is not None:
        file.write_text(text)
    with (
        pytest.raises(ClusterError, match=r"scheduler\.json is not the file of a scheduler"),
        open_cluster(Cluster(kind="scheduler_file", scheduler_file=str(file))),
    ):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_scheduler_without_workers_is_an_error_in_time() -> None:
    with (
        LocalCluster(**NOBODY) as empty,
        pytest.raises(ClusterError, match="no worker after"),
        open_cluster(Cluster(kind="address", address=empty.scheduler_address)),
    ):
        pass


def test_workers_of_another_version_are_refused(cluster: LocalCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "__version__", "99.0")
    with (
        pytest.raises(ClusterError, match=f"runs residue_batch {__version__}, this is 99.0"),
        open_cluster(Cluster(kind="address", address=cluster.scheduler_address)),
    ):
        pass


def test_a_local_cluster_stays_on_this_machine_and_ends_with_its_block() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = f"127.0.0.1:{taken.getsockname()[1]}"
        with open_cluster(Cluster(dashboard=wanted), workers=1) as client:
            workers = client.scheduler_info()["workers"]
            assert len(workers) == 1
            assert all(w["nthreads"] == 1 for w in workers.values())
            assert all(name.startswith("tcp://127.0.0.1:") for name in workers)
            assert client.scheduler.address.startswith("tcp://127.0.0.1:")
            assert client.dashboard_link.startswith("http://127.0.0.1:")
            assert wanted not in client.dashboard_link
    assert client.status == "closed"


def test_a_local_cluster_without_a_dashboard() -> None:
    with open_cluster(Cluster(dashboard="none"), workers=1) as client:
        assert client.submit(abs, -2).result() == 2
        address = client.cluster.scheduler.http_server._sockets  # type: ignore[union-attr]
        assert {s.getsockname()[0] for s in address.values()} == {"127.0.0.1"}


def test_memory_without_a_limit_is_unknown(client: Client) -> None:
    assert worker_memory(client) == 4 << 30


def test_a_script_that_its_workers_import_is_told_how_to_begin(tmp_path: Path) -> None:
    """Each worker runs the script again, and without the guard would start workers of its own."""
    script = tmp_path / "script.py"
    script.write_text(
        "from residue_batch.config import Cluster\n"
        "from residue_batch.workers import clients\n"
        "with clients(1, Cluster(kind='local'), ()) as workers:\n"
        "    workers()\n"
    )
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    told = ended.stderr.splitlines()
    assert "begins it with: if __name__ == '__main__'" in told[-1]
    assert any("a worker has imported the script that started it" in line for line in told)
