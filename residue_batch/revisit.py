"""Looking at a run again: what it came to, how far it is, its report. Nothing is measured."""

from __future__ import annotations

import json
import platform
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch import records
from residue_batch.config import load_board_type, load_lot, load_workflow, scan
from residue_batch.errors import ConfigError, UsageError
from residue_batch.ledger import JOURNAL
from residue_batch.outcome import REFUSED

if TYPE_CHECKING:
    import xarray as xr

    from residue_batch.statistics import Verdict


def open_run(folder: str | Path) -> xr.Dataset:
    """The dataset of a finished run.

    Raises
    ------
    UsageError
        If the folder holds no finished run.
    """
    path = Path(folder) / "lot.zarr"
    if not path.exists():
        state(folder)
        raise UsageError(f"{folder} holds no finished run: there is no lot.zarr; run the lot again to finish it")
    import xarray as xr

    dataset: xr.Dataset = xr.open_zarr(path)
    return dataset


def verdicts(folder: str | Path, dataset: xr.Dataset | None = None) -> list[Verdict]:
    """The boards and the lot of a finished run against the limits of its workflow."""
    from residue_batch.statistics import judge

    workflow = load_workflow(Path(folder) / "resolved" / "workflow.yaml")
    return judge(workflow.limits, open_run(folder) if dataset is None else dataset)


def state(folder: str | Path) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises
    ------
    UsageError
        If this is no run directory.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise UsageError(
            f"{folder} is no run directory: there is no run.json; runs lie in 'runs' unless --out says else"
        )
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UsageError(f"{path} is damaged; the same run again writes it new") from None
    return found


def status(folder: str | Path) -> dict[str, Any]:
    """How far a run is, also while another process writes it.

    Raises
    ------
    UsageError
        If this is no run directory.
    """
    path = Path(folder)
    head = state(path)
    kept, damaged = records.read(path)
    counts = head.get("counts", {})
    # boards that the scan of the lot refused have no record
    refused = sum(record["outcome"] == REFUSED for record in kept.values()) + counts.get("unusable", 0)
    done = len({record["board"] for record in kept.values()}) + counts.get("unusable", 0)
    seconds, last = _journal(path / JOURNAL)
    writing = records.is_locked(path)
    shown = head["status"]
    if shown == "running" and not writing:
        shown = "interrupted"  # it was killed before it could say so
    found = {
        "folder": str(path),
        "lot": head["lot"],
        "workflow": head["workflow"],
        "status": shown,
        "being_written": writing,
        "boards": counts.get("boards"),
        # a board of which a shot has gone since may have a record too
        "done": counts["boards"] if shown == "finished" else min(done, counts.get("boards", done)),
        "recorded": len(kept),
        "refused": counts.get("refused", refused),
        "damaged_records": damaged,
        "seconds_per_board": round(sum(seconds) / len(seconds), 3) if seconds else None,
        "last_board_at": last,
        "exit_code": head.get("exit_code"),
    }
    return found | ({"reason": head["reason"]} if "reason" in head else {})


def _journal(path: Path) -> tuple[list[float], str | None]:
    """Seconds that each board took, and when the last one was done."""
    seconds, last = [], None
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:  # a torn line
            continue
        seconds.append(float(entry.get("seconds", 0)))
        last = entry.get("at", last)
    return seconds, last


def report(folder: str | Path) -> Path:
    """Write the report of a finished run again, from its tables and records.

    Raises
    ------
    UsageError
        If the folder holds no finished run.
    """
    from residue_batch.report import ReportData, render
    from residue_batch.statistics import lot_summary

    path = Path(folder)
    head = state(path)
    dataset = open_run(path).load()
    kept, _ = records.read(path)
    pictures = {r["board"]: file for r in kept.values() if (file := path / "boards" / f"{r['key']}.jpg").exists()}
    configs = {file.name: file.read_text(encoding="utf-8") for file in sorted((path / "resolved").iterdir())}
    types = [load_board_type(path / "resolved" / name) for name in configs if name.startswith("board_type-")]
    data = ReportData(
        dataset=dataset,
        summary=lot_summary(dataset),
        verdicts=verdicts(path, dataset),
        findings=_findings(path),
        pictures=pictures,
        provenance={k: v for k, v in head.items() if k != "damaged_records"},
        configs=configs,
        gates={one.board_type: one.gates.model_dump() for one in types},
        footer=f"made again {datetime.now().astimezone():%Y-%m-%d %H:%M %Z} on {platform.node()}",
    )
    written = path / "report.html"
    records.write_text(written, render(data))
    return written


def _findings(folder: Path) -> Any:
    """What the scan says now; nothing where the photographs are gone."""
    try:
        return scan(load_lot(folder / "resolved" / "lot.yaml")).findings
    except (ConfigError, OSError):
        return ()
