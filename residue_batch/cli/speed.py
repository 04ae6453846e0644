"""The command ``bench``: how fast a lot of one's own is measured."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import rich_click as click

from residue_batch.cli.measuring import EXECUTORS, WORKFLOW
from residue_batch.cli.shell import settings, shared
from residue_batch.cli.show import complain, duration, number, out, pairs, plural, say, size, table, write_json

SLOWER = 6


def _share(_: click.Context, __: click.Parameter, value: str) -> float:
    """A share, written ``10%`` or ``0.1``."""
    try:
        found = float(value.strip().removesuffix("%")) / (100 if value.strip().endswith("%") else 1)
    except ValueError:
        found = math.nan
    if not 0 <= found < 1:
        raise click.BadParameter(f"{value!r} is no share below 1; write 10% or 0.1")
    return found


def _counts(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    """Whole numbers, written ``1,2``."""
    words = [word.strip() for word in value.split(",")]
    if not all(word.isdecimal() for word in words):
        raise click.BadParameter(f"{value!r} are no numbers of workers; write 1,2")
    return tuple(int(word) for word in words)


@click.command
@click.argument("name", metavar="LOT")
@click.option("--workflow", default=WORKFLOW, show_default=True, metavar="NAME", help="What to do.")
@click.option("--board-type", metavar="NAME", help="The type of every board, above what the lot says.")
@click.option("--boards", type=click.IntRange(min=1), default=8, show_default=True, metavar="N",
              help="How many boards are drawn from the lot.")  # fmt: skip
@click.option("--workers", callback=_counts, default="1", show_default=True, metavar="N[,N...]",
              help="Numbers of local workers, one run each; 0: here, without Dask.")  # fmt: skip
@click.option("--executor", type=click.Choice(EXECUTORS), default="auto", show_default=True,
              help="One task per board, one graph per board, or by size.")  # fmt: skip
@click.option("--tile", type=click.IntRange(min=64), metavar="N", help="Side of a tile, px.")
@click.option("--scratch", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
              help="Where runs are written meanwhile; default the system's temporary folder.")  # fmt: skip
@click.option("--compare", "old", type=click.Path(path_type=Path), metavar="OLD.json",
              help="What --json printed before: ends with 6 if it is slower now.")  # fmt: skip
@click.option("--tolerance", callback=_share, default="10%", show_default=True, metavar="SHARE",
              help="How much slower is still the same.")  # fmt: skip
@settings
@shared()
def bench(name: str, workflow: str, old: Path | None, tolerance: float, *, as_json: bool, **given: Any) -> int:
    """How fast a sample of a lot is measured, where the time goes, how long all of it would take.

    The runs are written into a temporary folder and gone afterwards. Ends with 6
    if it is slower than an older measurement by more than the tolerance.
    """
    from residue_batch import speed
    from residue_batch.cli.progress import progress

    # read first: a mistyped path must not cost a measurement
    before = speed.earlier(old) if old else None
    with progress() as on_progress:
        found = speed.bench(name, workflow, like=before, on_progress=on_progress, **given)
    compared = speed.against(before, found, tolerance) if before else ()
    for note in speed.differences(before, found) if before else ():
        say(f"warning: {note}", "yellow")
    code = SLOWER if any(one.slower for one in compared) else 0
    if as_json:
        write_json({**speed.document(found), "compared": compared, "exit_code": code})
        return code
    _show(found)
    for one in compared:
        if one.slower:
            complain(f"{one.what}: {one.new:.1f} now, {one.old:.1f} before: slower by more than {100 * tolerance:g} %")
    if compared:
        rows = [[one.what, number(one.old), number(one.new), number(one.ratio, 2)] for one in compared]
        table(["against before", ">before", ">now", ">ratio"], rows)
    return code


def _show(found: Any) -> None:
    from residue_batch.cli.profile import bar

    gone = f", {found.refused} refused" if found.refused else ""
    pairs(
        {
            "lot": f"{found.lot}, {plural(found.archive_boards, 'board')} that can be measured",
            "workflow": found.workflow,
            "sample": f"{plural(found.boards, 'board')}{gone}",
            "a board": f"{found.board_mp:.1f} MP, {found.board_mb:.1f} MB of files",
            "machine": found.machine,
        }
    )
    rows = [
        [
            run.workers or "here",
            number(run.mp_s),
            number(run.scaling, 2),
            number(run.board_s, 2),
            number(run.peak_mb, 0),
            number(run.start_s),
            number(run.once_s, 2),
            number(run.finish_s),
            duration(run.archive_s),
        ]
        for run in found.runs
    ]
    columns = [
        "workers",
        ">MP/s",
        ">scaling",
        ">s a board",
        ">peak MB",
        ">start s",
        ">once s",
        ">finish s",
        ">all boards",
    ]
    table(columns, rows)
    last = found.runs[-1]
    rows = [
        [
            share.name,
            number(share.seconds, 2),
            number(share.mp_s),
            number(share.mb_s),
            f"{share.share_pct:.0f} %",
            bar(share.share_pct / 100),
        ]
        for share in found.runs[0].shares
    ]
    table(["where it goes", ">seconds", ">MP/s", ">MB/s", ">share", ""], rows)
    everything = last.output_mb * 1e6 * found.archive_boards
    out(f"{size(last.output_mb * 1e6)} are written for each board, {size(everything)} for all")


COMMANDS = (bench,)
