"""The driver: small results as they come, whatever becomes of a board or a worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small
from distributed import Client, Future, LocalCluster
from small import SmallLot

from residue_batch import board as boards
from residue_batch import stages
from residue_batch.board import Board
from residue_batch.canonical import canonical
from residue_batch.engine import cluster as rooms
from residue_batch.engine import driver
from residue_batch.engine.driver import Work, drive
from residue_batch.engine.graph import run_graph
from residue_batch.engine.inline import Done, identify, measure_boards, run_inline, settle
from residue_batch.errors import ClusterError, Refusal
from residue_batch.files import PhotoFile

NEW: frozenset[str] = frozenset()


@pytest.fixture
def board(lot: SmallLot) -> Board:
    return small.board(small.setting(lot.board_type), lot.shot(0, "before"), lot.shot(0, "after"))


def named(board: Board, count: int) -> list[Work]:
    return [(replace(board, name=f"B{n:02d}"), NEW) for n in range(count)]


def missing(board: Board) -> Board:
    return replace(board, shots={p: PhotoFile(f"nowhere/{p}.png") for p in board.shots})


# a board on its own ----------------------------------------------------------------------


def test_a_board_is_measured_and_its_shots_are_hashed(board: Board) -> None:
    done = settle(board, NEW, lambda b: run_inline(boards.plan_board(b), b))
    assert done.record is not None
    assert done.record["outcome"] == "measured"
    assert done.key == done.record["key"] == identify(board)[0].key
    assert done.failure == ""
    for phase, file in done.shots.items():
        state = Path(file.path).stat()
        assert done.stats[phase] == (state.st_size, state.st_mtime_ns)
        assert file.sha256 == done.record["shots"][phase]["sha256"]


def test_a_board_that_is_known_is_not_measured(board: Board) -> None:
    done = settle(board, frozenset({identify(board)[0].key}), pytest.fail)
    assert done.record is None
    assert done.failure == ""


def test_shots_that_are_decoded_beside_each_other_give_the_same_record(board: Board) -> None:
    plan = boards.plan_board(board)
    (done,) = measure_boards([(board, NEW)], alone=True)
    expected = run_inline(plan, identify(board)[0]).record
    assert canonical(done.record) == canonical(expected)


def test_of_two_broken_shots_the_first_is_named_however_they_are_decoded(board: Board, tmp_path: Path) -> None:
    torn = {}
    for phase, size in (("before", 0.9), ("after", 0.5)):
        data = Path(board.shots[phase].path).read_bytes()
        (tmp_path / f"{phase}.png").write_bytes(data[: int(len(data) * size)])
        torn[phase] = PhotoFile(str(tmp_path / f"{phase}.png"))
    for alone in (False, True):
        (done,) = measure_boards([(replace(board, shots=torn), NEW)], alone=alone)
        assert done.record is not None
        assert "before.png" in done.record["message"]


def test_photographs_are_forgotten_after_each_board(board: Board) -> None:
    settle(board, NEW, lambda b: run_inline(boards.plan_board(b), b))
    assert len(boards._photos._values) == 0


def test_a_refusal_is_a_record_without_folders(board: Board, lot: SmallLot) -> None:
    def refuse(board: Board) -> Board:
        raise Refusal("registration", f"{board.shots['after'].path} does not fit", "look")

    record = settle(board, NEW, refuse).record
    assert record is not None
    assert (record["outcome"], record["reason"], record["remedy"]) == ("refused", "registration", "look")
    assert record["message"] == f"{lot.shot(0, 'after').name} does not fit"


def test_a_bug_is_a_record_with_its_traceback_beside_it(board: Board) -> None:
    done = settle(board, NEW, lambda b: 1 / 0)
    assert done.record is not None
    assert done.record["reason"] == "internal_error"
    assert "ZeroDivisionError" in done.record["message"]
    assert "Traceback" in done.failure


def test_the_loss_of_the_cluster_is_not_the_boards(board: Board) -> None:
    def lose(board: Board) -> Board:
        raise ClusterError("gone")

    with pytest.raises(ClusterError):
        settle(board, NEW, lose)


@pytest.mark.parametrize("promise", [None, "0" * 64])
def test_a_file_that_cannot_be_read_never_takes_the_key_of_what_was_promised(board: Board, promise: str | None) -> None:
    gone = missing(board)
    gone = replace(gone, shots={p: replace(f, sha256=promise) for p, f in gone.shots.items()})
    done = settle(gone, NEW, pytest.fail)
    assert done.record is not None
    assert done.record["reason"] == "unreadable"
    assert done.key == missing(board).key


@pytest.mark.parametrize("reason", ["hash_mismatch", "unreadable"])
def test_a_file_that_fails_while_it_is_measured_does_not_take_the_key_of_its_pixels(board: Board, reason: str) -> None:
    def fail(board: Board) -> Board:
        raise Refusal(reason, "it changed") from OSError("stale handle")

    done = settle(board, NEW, fail)
    assert done.key != identify(board)[0].key


# on a cluster -----------------------------------------------------------------------------


def test_every_board_comes_back_once(client: Client, board: Board) -> None:
    work = [*named(board, 3), (replace(missing(board), name="gone"), NEW)]
    done = list(drive(client, iter(work), "inline"))
    assert sorted(one.board for one in done) == ["B00", "B01", "B02", "gone"]
    assert {one.board: one.record["outcome"] for one in done if one.record} == {
        "B00": "measured",
        "B01": "measured",
        "B02": "measured",
        "gone": "refused",
    }


@pytest.mark.parametrize("executor", ["auto", "graph"])
def test_what_has_no_plan_is_refused_where_it_runs(client: Client, board: Board, executor: str) -> None:
    (done,) = drive(client, [(missing(board), NEW)], executor)
    assert done.record is not None
    assert (done.record["reason"], done.failure) == ("unreadable", "")


def test_no_work_is_no_result(client: Client) -> None:
    assert list(drive(client, [])) == []


class Watched:
    """A client whose tasks do nothing, and are counted."""

    def __init__(self, client: Client) -> None:
        self.client, self.running, self.most, self.tasks = client, 0, 0, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def submit(self, function: Any, batch: list[Work], **given: Any) -> Future:
        self.running += 1
        self.tasks += 1
        self.most = max(self.most, self.running)
        names = [board.name for board, _ in batch]
        return self.client.submit(list, names, pure=False)


def test_the_window_bounds_what_is_on_the_cluster(
    client: Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(client)
    asked = 0

    def work() -> Iterator[Work]:
        nonlocal asked
        for one in named(board, 40):
            asked += 1
            yield one

    def results(client: Client, future: Future, batch: list[Work]) -> Iterator[str]:
        watched.running -= 1
        yield from future.result()

    monkeypatch.setattr(driver, "_results", results)
    ahead = 0
    found = []
    for name in drive(watched, work(), "inline", window=5):  # type: ignore[arg-type]
        found.append(name)
        ahead = max(ahead, asked - len(found))
    assert sorted(found) == [f"B{n:02d}" for n in range(40)]
    assert watched.most <= 5
    assert ahead <= 6, "the lot is read as it is measured"


def test_tiny_boards_are_packed(client: Client, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(client)
    monkeypatch.setattr(driver, "_results", lambda client, future, batch: iter(future.result()))
    monkeypatch.setattr(stages, "RATES", dict.fromkeys(stages.RATES, (0.001, 1e-9)))
    assert boards.plan_board(board).seconds < 0.2
    assert len(list(drive(watched, named(board, 40), "auto"))) == 40  # type: ignore[arg-type]
    assert watched.tasks < 10


def test_a_board_that_needs_more_than_half_a_worker_is_a_graph(
    client: Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    graphs: list[str] = []

    def graph(client: Client, plan: Any, board: Board) -> Board:
        graphs.append(board.name)
        return run_graph(client, plan, board)

    monkeypatch.setattr(driver, "run_graph", graph)
    monkeypatch.setattr(driver, "worker_memory", lambda client: 100 << 20)
    (done,) = drive(client, [(board, NEW)], "auto")
    assert graphs == ["B"]
    assert done.record is not None
    assert done.record["outcome"] == "measured"


def test_room_for_planes_that_are_left_makes_no_board_a_graph(
    client: Client, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = boards.plan_board(board)
    roomy = replace(plan, peak_bytes=plan.least_bytes + (90 << 20), room=90 << 20)
    monkeypatch.setattr(boards, "plan_board", lambda board: roomy)
    monkeypatch.setattr(driver, "run_graph", lambda *given: pytest.fail("it became a graph"))
    monkeypatch.setattr(driver, "worker_memory", lambda client: 2 * plan.least_bytes)
    (done,) = drive(client, [(board, NEW)], "auto")
    assert done.record is not None
    assert done.record["outcome"] == "measured"


def test_a_bug_on_a_worker_comes_back_as_a_failure(client: Client, board: Board) -> None:
    broken = replace(board, setting=replace(board.setting, tile=0))
    (done,) = drive(client, [(broken, NEW)], "inline")
    assert done.record is not None
    assert done.record["reason"] == "internal_error"
    assert "Traceback" in done.failure


# what is lost -----------------------------------------------------------------------------


@pytest.fixture
def lone() -> Iterator[Client]:
    """A cluster that a test may break."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def kill_while(client: Client, running: str) -> threading.Thread:
    """Kill a worker as soon as a task of this name runs on it."""
    pids = {address: pid for address, pid in client.run(os.getpid).items()}

    def wait() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for address, tasks in client.processing().items():
                if address in pids and any(running in task for task in tasks):
                    os.kill(pids[address], signal.SIGKILL)
                    return
            time.sleep(0.005)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(("executor", "task"), [("inline", "measure_boards"), ("graph", "run_batch")])
def test_a_run_finishes_when_a_worker_is_killed(lone: Client, board: Board, executor: str, task: str) -> None:
    expected = run_inline(boards.plan_board(board), board).record
    assert expected is not None
    killer = kill_while(lone, task)
    done = list(drive(lone, named(board, 2), executor))
    killer.join()
    assert [one.failure for one in done] == ["", ""]
    for one in done:
        assert one.record is not None
        assert one.record["values"] == expected["values"]


def test_a_board_that_kills_every_worker_is_a_failure_of_its_own(lone: Client, board: Board) -> None:
    lone.cluster.scheduler.allowed_failures = 0  # type: ignore[union-attr]
    killer = kill_while(lone, "measure_boards")
    done = list(drive(lone, named(board, 1), "inline"))
    killer.join()
    assert [one.record["reason"] for one in done if one.record] == ["worker_lost"]
    assert done[0].failure


@pytest.mark.parametrize("executor", ["inline", "graph"])
def test_a_cluster_on_which_nothing_moves_is_given_up(
    board: Board, executor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "STALL_SECONDS", 0.5)
    with (
        LocalCluster(
            n_workers=0, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as empty,
        Client(empty) as idle,
        pytest.raises(ClusterError, match="nothing was finished"),
    ):
        list(drive(idle, [(board, NEW)], executor))


def test_measure_boards_takes_several(board: Board) -> None:
    done = measure_boards([(missing(board), NEW), (missing(board), NEW)])
    assert [isinstance(one, Done) for one in done] == [True, True]
