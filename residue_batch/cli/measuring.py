"""Commands that look at photographs: try, lot scan, plan, run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from residue_batch.cli.shell import settings, shared
from residue_batch.cli.show import complain, duration, out, pairs, plural, say, size, table, write_json
from residue_batch.errors import UsageError

WORKFLOW = "flux_residue"
EXECUTORS = ("auto", "inline", "graph")
PHOTOGRAPH = click.Path(path_type=Path)

F = TypeVar("F", bound=Callable[..., Any])


def _of_a_lot(function: F) -> F:
    """The options that ``plan`` and ``run`` share: they decide what is measured."""
    # the last one stands first in the help
    for option in (
        shared(),
        click.option("--tile", type=click.IntRange(min=64), metavar="N",
                     help="Side of a tile, px: decides speed and memory, never a number."),
        settings,
        click.option("--out", default="runs", show_default=True, metavar="DIR", help="Where runs are written."),
        click.option("--board-type", metavar="NAME", help="The type of every board, above what the lot says."),
        click.option("--workflow", default=WORKFLOW, show_default=True, metavar="NAME", help="What to do."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command("try")
@click.argument("board_type")
@click.argument("before", type=PHOTOGRAPH)
@click.argument("after", type=PHOTOGRAPH)
@click.option("--workflow", default=WORKFLOW, show_default=True, metavar="NAME", help="What to do.")
@click.option("--planes", type=PHOTOGRAPH, metavar="DIR", help="Write every plane as a PNG, to look at.")
@settings
@shared()
def try_pair(
    board_type: str,
    before: Path,
    after: Path,
    workflow: str,
    planes: Path | None,
    sets: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Measure one pair of photographs here and now.

    Ends with 3 if there is no number, and says why.
    """
    from residue_batch import api
    from residue_batch.cli.record import show_record

    for path in (before, after):
        if not path.is_file():
            raise UsageError(f"there is no photograph {path}")
    record = api.try_pair(board_type, before, after, workflow, folder=planes, sets=sets)
    code = 3 if record["outcome"] == "refused" else 0
    if as_json:
        write_json({**record, "exit_code": code})
        return code
    if code:
        complain(f"no number ({record['reason']}): {record['message']}", remedy=record["remedy"])
        return code
    show_record(record)
    if planes is not None:
        say(f"planes: {planes}")
    return 0


@click.group
@shared(json=False)
def lot() -> None:
    """Look at the photographs of a lot."""


@lot.command
@click.argument("name", metavar="LOT")
@click.option("--all", "everything", is_flag=True, help="List boards without a problem too.")
@settings
@shared()
def scan(name: str, sets: tuple[str, ...], *, everything: bool, as_json: bool) -> int:
    """Which photographs make a board, and which do not, and why.

    Ends with 3 if a board cannot be measured, or there is none.
    """
    from residue_batch.config import load_lot
    from residue_batch.config import scan as scan_lot
    from residue_batch.prepare import sets_for

    loaded = load_lot(name, sets_for(sets, "lot"))
    found = scan_lot(loaded)
    lacking = len(found.boards) - len(found.usable)
    code = 3 if lacking or not found.boards else 0
    if as_json:
        usable = len(found.usable)
        write_json(
            {"lot": loaded.lot, "boards": len(found.boards), "usable": usable, "findings": found.findings,
             "exit_code": code}
        )  # fmt: skip
        return code
    rows = [
        [f.kind, f.board, "\n".join(_short(Path(p), Path(loaded.root)) for p in f.files), _why(f)]
        for f in found.findings
        if everything or f.kind != "matched"
    ]
    if rows:
        table(["what", "board", "files", "why, and what to do"], rows)
    kinds = ("matched", "unpaired", "ambiguous", "duplicate", "unmatched")
    counts = {kind: sum(f.kind == kind for f in found.findings) for kind in kinds}
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    out(
        f"lot {loaded.lot}: {plural(len(found.boards), 'board')}, {len(found.usable)} can be measured"
        + (f"; {told}" if told else "")
    )
    if not found.boards:
        say(f"nothing in {loaded.root} fits the pattern {loaded.pattern or ''}")
    return code


def _why(finding: Any) -> str:
    return "\n".join(line for line in (finding.reason, finding.remedy) if line)


def _short(path: Path, root: Path) -> str:
    try:
        return str(path.relative_to(root))
    except ValueError:
        return str(path)


@click.command
@click.argument("name", metavar="LOT")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="For the estimate of the time.")
@_of_a_lot
def plan(name: str, *, as_json: bool, workers: int | None, **given: Any) -> int:
    """What a run would do: boards, tiles, passes, tasks, bytes, memory, time.

    Only headers are read; nothing is measured or written.
    """
    _plan(name, workers, as_json=as_json, **given)
    return 0


def _plan(
    name: str, workers: int | None, *, workflow: str, board_type: str | None, out: str, tile: int | None,
    sets: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    import os

    from residue_batch import api

    found = api.plan(name, workflow, board_type=board_type, out=out, tile=tile, sets=sets)
    cores = max(workers if workers is not None else os.cpu_count() or 1, 1)
    if as_json:
        write_json({**asdict(found), "workers": cores, "seconds_with_workers": found.seconds / cores})
        return
    todo = found.boards - found.refused - found.done
    pairs(
        {
            "lot": found.lot,
            "workflow": found.workflow,
            "folder": found.folder,
            "boards": f"{found.boards}: {todo} to measure, {found.done} done, {found.refused} cannot be measured",
            **(
                {"first": f"{plural(found.references, 'reference')} built from {found.reference_shots} shots"}
                if found.references
                else {}
            ),
            "input": f"{size(found.input_bytes)}, {found.input_pixels / 1e6:.0f} MP",
            "tiles": f"{found.tiles}, in {plural(found.passes, 'pass')}".replace("passs", "passes"),
            "tasks": found.tasks,
            "peak memory": f"{size(found.peak_bytes)} per worker",
            "time": f"about {duration(found.seconds / cores)} with {plural(cores, 'worker')} (an estimate)",
        }
    )


@click.command
@click.argument("name", metavar="LOT")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Local workers; 0: here, without Dask.")
@click.option("--executor", type=click.Choice(EXECUTORS), default="auto", show_default=True,
              help="One task per board, one graph per board, or by size.")  # fmt: skip
@click.option("--profile", is_flag=True, help="Say what each stage, plane and measure cost; writes profile.json.")
@click.option("--cluster", metavar="NAME", help="A cluster file, or the address of a scheduler.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--any-versions", is_flag=True, help="Resume a run that other library versions began.")
@_of_a_lot
def run(
    name: str, workers: int | None, executor: str, cluster: str | None, *, profile: bool, dry_run: bool,
    any_versions: bool, as_json: bool, **given: Any,
) -> int:  # fmt: skip
    """Measure a lot. The same command again resumes where it stopped.

    Ends with 6 if a limit of the workflow was not met, with 3 if boards have
    no number; everything else was measured all the same.
    """
    if dry_run:
        _plan(name, workers, as_json=as_json, **given)
        return 0
    from residue_batch import api
    from residue_batch.cli.profile import show_profile
    from residue_batch.cli.progress import progress
    from residue_batch.cli.summary import show_summary, summary_of

    with progress() as on_progress:
        dataset = api.run(
            name, given.pop("workflow"), executor=executor, workers=workers, cluster=cluster,
            any_versions=any_versions, profile=profile, on_progress=on_progress, **given,
        )  # fmt: skip
    folder = Path(dataset.attrs["folder"])
    summary = summary_of(dataset, folder) | ({"profile": api.profile(folder)} if profile else {})
    if as_json:
        write_json(summary)
    else:
        show_summary(summary)
        if profile:
            show_profile(summary["profile"])
    return int(dataset.attrs["exit_code"])


COMMANDS = (try_pair, lot, plan, run)
