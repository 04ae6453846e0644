"""The cluster of a run comes and goes beside other work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from residue_batch.config import load_workflow
from residue_batch.engine import cluster
from residue_batch.errors import ConfigError
from residue_batch.workers import clients


class Opened:
    """A cluster that counts how often it comes and goes, and goes only when it is let."""

    def __init__(self) -> None:
        self.came = self.gone = 0
        self.may_go = threading.Event()
        self.went = threading.Event()

    @contextmanager
    def __call__(self, *_: Any) -> Iterator[str]:
        self.came += 1
        yield "client"
        assert self.may_go.wait(20)
        self.gone += 1
        self.went.set()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    found = Opened()
    monkeypatch.setattr(cluster, "open_cluster", found)
    return found


def mistake() -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_workflow("no_such_workflow")
    return caught.value


def test_a_cluster_comes_once_when_it_is_first_needed(opened: Opened) -> None:
    opened.may_go.set()
    with clients(2, None, ()) as client:
        assert client is not None
        assert not opened.came
        assert [client(), client(), client.ahead().result()] == ["client"] * 3
    assert (opened.came, opened.gone) == (1, 1)


def test_a_cluster_that_nobody_needs_does_not_come(opened: Opened) -> None:
    with clients(2, None, ()):
        pass
    with clients(0, None, ()) as client:
        assert client is None
    assert not opened.came


def test_a_cluster_goes_while_the_run_goes_on(opened: Opened) -> None:
    with clients(2, None, ()) as client:
        assert client is not None
        client()
        going = client.close()
        assert not going.done()
        opened.may_go.set()
        going.result()
    assert opened.gone == 1, "once, not again at the end"


def test_a_mistake_is_told_before_the_cluster_is_gone(opened: Opened) -> None:
    def run() -> None:
        with clients(2, None, ()) as client:
            assert client is not None
            client()
            raise mistake()

    with pytest.raises(ConfigError):
        run()
    assert not opened.gone
    opened.may_go.set()
    assert opened.went.wait(20), "but it goes"


def test_any_other_end_waits_for_the_cluster(opened: Opened) -> None:
    opened.may_go.set()

    def run() -> None:
        with clients(2, None, ()) as client:
            assert client is not None
            client()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert opened.gone == 1
