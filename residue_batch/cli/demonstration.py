"""The command ``demo``."""

from __future__ import annotations

import time
from pathlib import Path

import rich_click as click

from residue_batch.cli.shell import shared
from residue_batch.cli.show import complain, duration, number, out, say, table, write_json


@click.command
@click.option("--out", "folder", default="demo", show_default=True, type=click.Path(path_type=Path), metavar="DIR",
              help="Where everything goes.")  # fmt: skip
@click.option("--boards", default=8, show_default=True, type=click.IntRange(min=1), metavar="N",
              help="Sound boards; two spoilt ones come on top.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Local workers; 0: here, without Dask.")
@shared()
def demo(folder: Path, boards: int, workers: int | None, *, as_json: bool) -> int:
    """Render a lot of boards whose truth is known, and measure it on a Dask cluster.

    Two boards are spoilt on purpose. Ends with 1 if the numbers are further
    than 2 points from the truth on average, or a spoilt board is not refused.
    """
    from residue_batch.cli.progress import progress
    from residue_batch.demo import demo as run_demo

    start = time.monotonic()
    # the bar begins when the photographs are there
    with progress(at_once=False) as on_progress:
        found = run_demo(folder, boards, workers=workers, on_render=say, on_progress=on_progress)
    seconds = time.monotonic() - start
    code = 1 if found.failures else 0
    if as_json:
        boards_json = [{**b.__dict__, "error_points": b.error} for b in found.boards]
        write_json(
            {"lot": found.lot, "run": found.run, "report": found.report, "boards": boards_json,
             "mean_absolute_error_points": found.mean_error, "failures": found.failures, "seconds": round(seconds, 1),
             "exit_code": code}
        )  # fmt: skip
        return code
    rows = [
        [
            b.board,
            number(b.true_pct, 2, " %"),
            number(b.measured_pct, 2, " %"),
            "" if b.error is None else f"{b.error:+.2f}",
            f"refused on purpose: {b.reason}" if b.outcome == "refused" else "",
        ]
        for b in found.boards
    ]
    table(["board", ">true reduction", ">measured", ">error, points", ""], rows)
    out(f"mean absolute error: {number(found.mean_error, 2)} points, in {duration(seconds)}", "bold")
    out(f"report: {found.report}")
    for failure in found.failures:
        complain(failure)
    return code


COMMANDS = (demo,)
