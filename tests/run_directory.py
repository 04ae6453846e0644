"""What a run directory holds: the boards that were measured, their rows, and every file that must not change."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from residue_batch import records

# what only the clock, the host and the attempt decide
OWN = {"run.json", "run.jsonl", ".lock"}


def measured(folder: Path) -> list[str]:
    """Boards in the order in which they were measured; a board may stand here twice."""
    return [
        r["board"] for line in (folder / records.LOG).read_bytes().splitlines(True) if (r := records.record_of(line))
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Every file that must not depend on clock, host or attempt; the report without its footer."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name in OWN or name == records.LOG:
            continue
        data = path.read_bytes()
        if name == "report.html":
            data, changes = re.subn(rb"made \d{4}-\d\d-\d\d \d\d:\d\d [^<]*", b"", data)
            assert changes == 1, "the footer"
        found[name] = data
    return found


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "boards.csv").open(newline="", encoding="utf-8") as table:
        return {row["board"]: row for row in csv.DictReader(table)}
