"""The profile of a run: what each stage, plane and measure cost, over all of its boards.

Boards bring what they cost with them; ``run.jsonl`` keeps it board by board,
``profile.json`` merged. Clocks stand in no other file.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from residue_batch import records
from residue_batch.errors import UsageError
from residue_batch.laps import Cost, Spent, summed

PROFILE = "profile.json"
FORMAT = 1


class Phases:
    """Seconds of the phases of a run, by the clock."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def ended(self, name: str) -> None:
        """The phase from the end of the last one until now."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 4)
        self.last = now


def line_of(spent: Spent) -> dict[str, Any]:
    """What a board cost, as it stands in its line of ``run.jsonl``."""
    costs = {name: [c.calls, round(c.seconds, 6), round(c.cpu_s, 6), *c[3:]] for name, c in spent.costs.items()}
    return {"spent": costs, "peak_bytes": spent.peak_bytes}


def lines_of(journal: Path) -> list[dict[str, Any]]:
    """The last line of each board in ``run.jsonl`` that says what the board cost."""
    found = {}
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        try:
            entry = json.loads(line)
            if "spent" in entry:
                found[entry["board"]] = entry
        except (ValueError, LookupError, TypeError):  # a torn or foreign line
            continue
    return list(found.values())


def profile_of(lines: Iterable[Mapping[str, Any]], phases: Mapping[str, float]) -> dict[str, Any]:
    """The boards' costs together: the document ``profile.json``.

    ``parts`` are exclusive and add up to ``seconds``; the part '' of a stage is
    what is counted nowhere else. ``mp`` are pixels made, halos included, and
    ``bytes_per_px`` what is held of each.
    """
    boards = list(lines)
    costs = summed((name, Cost(*cost)) for line in boards for name, cost in line["spent"].items())
    total = Cost()
    for cost in costs.values():
        total = total.plus(cost)
    return {
        "format": FORMAT,
        "boards": len(boards),
        "input_mp": costs.get("open/decode", Cost()).pixels / 1e6,
        "seconds": total.seconds,
        "cpu_s": total.cpu_s,
        "peak_mb": max((line["peak_bytes"] for line in boards), default=0) / 1e6,
        "run_s": dict(phases),
        "parts": [_part(name, cost, total) for name, cost in costs.items()],
    }


def _part(name: str, cost: Cost, total: Cost) -> dict[str, Any]:
    stage, _, part = name.partition("/")
    return {
        "stage": stage,
        "part": part,
        "calls": cost.calls,
        "seconds": cost.seconds,
        "cpu_s": cost.cpu_s,
        "share_pct": 100 * cost.seconds / total.seconds if total.seconds else 0.0,
        "mp": cost.pixels / 1e6,
        "mb": cost.nbytes / 1e6,
        "ns_per_px": 1e9 * cost.seconds / cost.pixels if cost.pixels else None,
        "bytes_per_px": cost.nbytes / cost.pixels if cost.pixels and cost.nbytes else None,
    }


def stages_of(profile: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of each stage, in the order in which a board goes through them."""
    seconds: dict[str, float] = {}
    for part in profile["parts"]:
        seconds[part["stage"]] = seconds.get(part["stage"], 0.0) + part["seconds"]
    return seconds


def write_profile(folder: Path, journal: Path, phases: Mapping[str, float]) -> None:
    """Write ``profile.json`` of a run from its ``run.jsonl``."""
    records.write_json(folder / PROFILE, profile_of(lines_of(journal), phases))


def profile(folder: str | Path) -> dict[str, Any]:
    """What the boards of a run cost, stage by stage and plane by plane; see ``profile_of``.

    Raises
    ------
    UsageError
        If the run was not profiled.
    """
    path = Path(folder) / PROFILE
    if not path.is_file():
        raise UsageError(f"{folder} holds no profile: there is no {PROFILE}; run the lot with --profile")
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{path} is damaged; the same run with --profile writes it new") from None
    return found
