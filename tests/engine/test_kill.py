"""A run that is killed in its middle ends, when called again, as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import small
from small import FITTED, SmallLot

from residue_batch import api, records

RUN = """
import sys
from residue_batch import api

if __name__ == "__main__":
    lot, workflow, out, workers = sys.argv[1:]
    dataset = api.run(lot, workflow, out=out, workers=int(workers), tile=192, executor="inline")
    print(dataset.attrs["exit_code"])
"""
BOARDS = 5


@pytest.fixture(scope="module")
def lot(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    made = small.make_lot(tmp_path_factory.mktemp("kill"), BOARDS, ("reduce", "reduce", "truncated", "worse"))
    made.workflow.write_text(FITTED + "keep: [spots]\n")
    return made


@pytest.fixture(scope="module")
def undisturbed(lot: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with api.run(lot.lot, lot.workflow, out=tmp_path_factory.mktemp("whole"), workers=0, tile=192) as dataset:
        return Path(dataset.attrs["folder"])


def start(lot: SmallLot, out: Path, workers: int, stderr: Any = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    script = out.parent / "command.py"
    script.write_text(RUN)
    command = [sys.executable, "-W", "error", str(script), str(lot.lot), str(lot.workflow), str(out), str(workers)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)


def kept(folder: Path) -> list[str]:
    log = folder / records.LOG
    lines = log.read_bytes().splitlines(keepends=True) if log.exists() else []
    return [record["board"] for line in lines if (record := records.record_of(line))]


def folder_of(out: Path) -> Path | None:
    return next(iter(out.iterdir()), None) if out.exists() else None


def family(pid: int) -> list[int]:
    """Every process below this one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def until(happened: Any, seconds: float = 120, command: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert command is None or command.poll() is None, "the command ended before that"
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def files(folder: Path) -> dict[str, bytes]:
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    found["report.html"], footers = re.subn(rb"made \d{4}-\d\d-\d\d \d\d:\d\d [^<]*", b"", found["report.html"])
    assert footers == 1
    log = sorted(found.pop(records.LOG).splitlines())
    assert len(log) == len(set(log)), "no board stands twice in the log"
    found["the lines of the log"] = b"\n".join(log)
    return {name: data for name, data in found.items() if name not in ("run.json", "run.jsonl", ".lock")}


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are counted in /proc")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_where_it_was(lot: SmallLot, undisturbed: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "runs"
    with start(lot, out, workers) as command:
        until(lambda: (folder := folder_of(out)) and len(kept(folder)) >= 1, command=command)
        below = family(command.pid)
        os.kill(command.pid, signal.SIGKILL)
    folder = folder_of(out)
    assert folder is not None
    finished = kept(folder)
    assert 1 <= len(finished) < BOARDS, "killed in its middle"
    assert not (folder / "boards.csv").exists()
    assert json.loads((folder / "run.json").read_text())["status"] == "running"
    until(lambda: not any(alive(pid) for pid in below), 60)

    with start(lot, out, workers) as command:
        said, _ = command.communicate(timeout=240)
        assert (command.returncode, said) == (0, b"3\n")
    assert folder_of(out) == folder
    assert kept(folder)[: len(finished)] == finished
    assert sorted(kept(folder)) == [f"B00{n + 1}" for n in range(BOARDS)], "nothing was measured twice"
    assert folder.name == undisturbed.name
    assert files(folder).keys() == files(undisturbed).keys()
    assert files(folder) == files(undisturbed)


@pytest.mark.skipif(os.name == "nt", reason="a terminal interrupts a whole group of processes")
def test_an_interrupt_from_the_keyboard_is_answered_by_the_command_alone(lot: SmallLot, tmp_path: Path) -> None:
    """Ctrl-C reaches the workers too; a page of their tracebacks would hide what to do."""
    out, said = tmp_path / "runs", tmp_path / "said"
    with said.open("wb") as stderr:
        command = start(lot, out, 2, stderr=stderr)
        with command:
            until(lambda: (folder := folder_of(out)) and len(kept(folder)) >= 1, command=command)
            os.killpg(command.pid, signal.SIGINT)
            command.wait(60)
    told = said.read_text()
    # the script's own, and no worker's
    assert told.count("Traceback") == told.count('command.py", line') == 1
    assert "Dask Worker" not in told
    found = api.status(folder_of(out))
    assert (found["status"], found["reason"], found["boards"]) == ("interrupted", "KeyboardInterrupt", BOARDS)
    assert 1 <= found["done"] < BOARDS


def test_a_second_command_on_a_running_lot_is_turned_away(lot: SmallLot, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    with start(lot, out, 0) as first:
        until(lambda: (folder := folder_of(out)) and len(kept(folder)) >= 1)
        with start(lot, out, 0) as second:
            said, _ = second.communicate(timeout=120)
        assert said == b""
        assert second.returncode not in (0, None)
        os.kill(first.pid, signal.SIGKILL)
