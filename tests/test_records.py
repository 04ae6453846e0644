"""The log survives a kill at any byte, and a run directory has one writer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import measured, turned_away

from residue_batch import records
from residue_batch.errors import LockedError

SOME = [measured("B1"), turned_away("B2", message="naïve ✓\nline"), measured("B3")]
BYTES = b"".join(records.line_of(r) for r in SOME)
ENDS = [len(b"".join(records.line_of(r) for r in SOME[:n])) for n in range(len(SOME) + 1)]


def logged(folder: Path, data: bytes) -> Path:
    (folder / records.LOG).write_bytes(data)
    return folder


def keys(folder: Path) -> list[str]:
    return list(records.read(folder)[0])


def test_no_log_is_no_record(tmp_path: Path) -> None:
    assert records.read(tmp_path) == ({}, 0)


def test_a_record_comes_back_as_it_went(tmp_path: Path) -> None:
    with records.Log(tmp_path) as log:
        for record in SOME:
            log.append(record)
            assert list(records.read(tmp_path)[0])[-1] == record["key"], "it is on the disk when append returns"
    found, damaged = records.read(tmp_path)
    assert damaged == 0
    assert list(found.values()) == json.loads(json.dumps(SOME))
    assert (tmp_path / records.LOG).read_bytes() == BYTES


def test_the_log_cut_at_any_byte_keeps_every_complete_record(tmp_path: Path) -> None:
    for cut in range(len(BYTES) + 1):
        complete = sum(end <= cut for end in ENDS[1:])
        found, damaged = records.read(logged(tmp_path, BYTES[:cut]))
        assert list(found) == [r["key"] for r in SOME[:complete]], cut
        assert damaged == (cut not in ENDS), cut


@settings(max_examples=30)
@given(st.integers(0, len(BYTES)))
def test_a_record_can_be_appended_wherever_the_log_was_cut(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    folder = logged(tmp_path_factory.mktemp("cut"), BYTES[:cut])
    complete = sum(end <= cut for end in ENDS[1:])
    with records.Log(folder) as log:
        log.append(measured("B9"))
    # the newline that ends a torn line may make it whole, if only the newline was missing
    whole = [*(r["key"] for r in SOME[:complete]), measured("B9")["key"]]
    mended = [*(r["key"] for r in SOME[: complete + 1]), measured("B9")["key"]]
    assert keys(folder) in (whole, mended)
    if cut + 1 not in ENDS:
        assert keys(folder) == whole


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(BYTES) - 1), st.integers(1, 255))
def test_a_flipped_byte_costs_its_own_record_only(
    tmp_path_factory: pytest.TempPathFactory, place: int, flip: int
) -> None:
    changed = bytearray(BYTES)
    changed[place] ^= flip
    found, _ = records.read(logged(tmp_path_factory.mktemp("flip"), bytes(changed)))
    hit = next(n for n in range(len(SOME)) if place < ENDS[n + 1])
    # a lost newline joins two lines
    lost = {hit, hit + 1} if place == ENDS[hit + 1] - 1 else {hit}
    for number, record in enumerate(SOME):
        if number not in lost:
            assert found[record["key"]] == json.loads(json.dumps(record))
        elif record["key"] in found:
            assert found[record["key"]] == json.loads(json.dumps(record)), "never a changed record"


@pytest.mark.parametrize("rubbish", [b"\n", b"\n\n", b"\0" * 512, b"\xff\xfe\n", b"00000000 \n", b" {}\n", b"x {}\n"])
def test_rubbish_between_records_is_counted_and_passed_over(tmp_path: Path, rubbish: bytes) -> None:
    data = BYTES[: ENDS[1]] + rubbish + (b"" if rubbish.endswith(b"\n") else b"\n") + BYTES[ENDS[1] :]
    found, damaged = records.read(logged(tmp_path, data))
    assert list(found) == [r["key"] for r in SOME]
    assert damaged >= 1


def test_a_later_record_of_a_key_replaces_the_earlier(tmp_path: Path) -> None:
    old, new = turned_away("B1", key="k"), turned_away("B1", "rotated", key="k")
    logged(tmp_path, records.line_of(old) + records.line_of(new))
    assert [r["reason"] for r in records.read(tmp_path)[0].values()] == [new["reason"]]


def test_a_line_does_not_depend_on_the_order_of_keys() -> None:
    record = measured("B1")
    assert records.line_of(record) == records.line_of(dict(reversed(record.items())))


def test_nan_is_not_a_record() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        records.line_of({"key": "k", "value": float("nan")})


HOLD = """
import sys
from pathlib import Path
from residue_batch import records
with records.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_turned_away_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LockedError, match="another run"), records.lock(folder):
            pass
        holder.kill()
    with records.lock(folder):
        pass


def test_the_lock_is_released_with_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), records.lock(tmp_path):
        _ = 1 / 0
    with records.lock(tmp_path):
        pass


def test_a_text_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    records.write_text(path, "old\r\n")
    with path.open() as reader:
        records.write_text(path, "new ✓\n")
        assert reader.read() == "old\n", "who reads has the old file to its end"
    assert path.read_bytes() == "new ✓\n".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_is_sorted_and_ends_with_a_newline(tmp_path: Path) -> None:
    records.write_json(tmp_path / "a.json", {"b": 1, "a": "ü"})
    assert (tmp_path / "a.json").read_text() == '{\n "a": "ü",\n "b": 1\n}\n'
