"""The records of a run: an append-only log that survives a kill at any byte.

One line per board, ``<crc32> <json>``, fsynced before the board counts as
done. The log is the truth; tables and stores are derived from it.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Self

from residue_batch.canonical import canonical
from residue_batch.errors import LockedError
from residue_batch.outcome import Record

LOG, LOCK = "records.log", ".lock"


def line_of(record: Record) -> bytes:
    """A record as a line of the log."""
    text = canonical(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def record_of(line: bytes) -> Record | None:
    """The record of a line, or None if the line is torn or changed."""
    crc, _, text = line.rstrip(b"\n").partition(b" ")
    try:
        if not line.endswith(b"\n") or int(crc, 16) != zlib.crc32(text):
            return None
        record: Record = json.loads(text)
    except ValueError:
        return None
    return record


def read(folder: Path) -> tuple[dict[str, Record], int]:
    """Every sound record by key, and how many lines were not sound.

    A later record of the same key replaces an earlier one; both hold the same.
    """
    path = folder / LOG
    if not path.exists():
        return {}, 0
    found, damaged = {}, 0
    with path.open("rb") as log:
        for line in log:
            record = record_of(line)
            if record is None:
                damaged += 1
            else:
                found[record["key"]] = record
    return found, damaged


class Log:
    """The open log of a run; ``append`` returns when the record is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._file: BinaryIO = (folder / LOG).open("ab")
        if self._file.tell() and not _ends_with_newline(folder / LOG):
            # a torn last line must not swallow the next record
            self._file.write(b"\n")

    def append(self, record: Record) -> None:
        """Write one record and wait for the disk."""
        self._file.write(line_of(record))
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as log:
        log.seek(-1, os.SEEK_END)
        return log.read(1) == b"\n"


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a run directory for one writer; the lock goes with the process, however it ends.

    Raises
    ------
    LockedError
        If another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as handle:
        if not _taken(handle):
            raise LockedError(f"{folder} is being written by another run; wait for it, or give another --out")
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process writes the run directory now."""
    path = folder / LOCK
    if not path.exists():
        return False
    with path.open("a") as handle:
        return not _taken(handle)


def _taken(handle: IO[str]) -> bool:
    """Take the lock of an open file, until it is closed; False if another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never a part."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """A value as indented JSON, in one step."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
