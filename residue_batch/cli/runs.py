"""Commands about a run directory: status, report."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from residue_batch.cli.shell import shared
from residue_batch.cli.show import out, pairs, plural, write_json


@click.command
@click.argument("folder", metavar="RUN_DIR", type=click.Path(path_type=Path))
@shared()
def status(folder: Path, *, as_json: bool) -> int:
    """How far a run is, also while it goes on."""
    from residue_batch import api

    found = api.status(folder)
    if as_json:
        write_json(found)
        return 0
    state = found["status"]
    if found["being_written"] and state != "finished":
        state += " (a process writes it now)"
    elif state != "finished":
        state += " (the same command resumes)"
    of = f" of {found['boards']}" if found["boards"] is not None else ""
    rows = {
        "lot": found["lot"],
        "workflow": found["workflow"],
        "status": state,
        "reason": found.get("reason", ""),
        "boards": f"{found['done']}{of} done, {found['refused']} refused",
        "damaged": plural(found["damaged_records"], "record") if found["damaged_records"] else "",
        "per board": f"{found['seconds_per_board']:.3g} s" if found["seconds_per_board"] else "",
        "last board": found["last_board_at"] or "",
        "exit code": "" if found["exit_code"] is None else found["exit_code"],
    }
    pairs((name, value) for name, value in rows.items() if value != "")
    return 0


@click.command
@click.argument("folder", metavar="RUN_DIR", type=click.Path(path_type=Path))
@shared()
def report(folder: Path, *, as_json: bool) -> int:
    """Write report.html of a finished run again; nothing is measured."""
    from residue_batch import api

    path = api.report(folder)
    if as_json:
        write_json({"report": path})
    else:
        out(path)
    return 0


COMMANDS = (status, report)
