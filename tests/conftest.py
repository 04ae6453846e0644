"""Material that several rooms share is imported by its name from this folder.

What is rendered or started once per session: a small lot, and a cluster of two processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from residue_batch.measure import MEASURES
from residue_batch.step import STEPS

sys.path.insert(0, str(Path(__file__).parent))

import small  # noqa: E402


@pytest.fixture(scope="session")
def lot(tmp_path_factory: pytest.TempPathFactory) -> small.SmallLot:
    """Two boards that were cleaned; read it, never write into it."""
    return small.make_lot(tmp_path_factory.mktemp("lot"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[LocalCluster]:
    """Two worker processes on this machine."""
    with LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", memory_limit="4 GiB"
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def client(cluster: LocalCluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


@pytest.fixture
def registry() -> Iterator[None]:
    """What a test registers is gone after it."""
    steps, measures = dict(STEPS), dict(MEASURES)
    yield
    for table, old in ((STEPS, steps), (MEASURES, measures)):
        table.clear()
        table.update(old)  # type: ignore[arg-type]
