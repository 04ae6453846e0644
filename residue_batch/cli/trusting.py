"""Commands for before a night: blanks, nullcheck, selftest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from residue_batch.cli.measuring import PHOTOGRAPH, WORKFLOW
from residue_batch.cli.shell import settings, shared
from residue_batch.cli.show import complain, load, number, out, plural, say, table, write_json
from residue_batch.errors import UsageError

NO_NUMBER, NOT_MET = 3, 6
DIFFICULTIES = ("fixed", "easy", "medium", "hard")

F = TypeVar("F", bound=Callable[..., Any])


def _measured(*, lots: bool) -> Callable[[F], F]:
    """The options of what is measured here, as ``run`` has them."""
    options = [
        shared(),
        settings,
        click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Local workers; 0: here."),
        click.option("--workflow", default=WORKFLOW, show_default=True, metavar="NAME", help="What to measure by."),
    ]
    if lots:
        options += [
            click.option("--out", default="runs", show_default=True, metavar="DIR", help="Where runs are written."),
            click.option("--board-type", metavar="NAME", help="The type of every board, above what the lot says."),
        ]

    def add(function: F) -> F:
        for option in options:
            function = option(function)
        return function

    return add


# blanks ---------------------------------------------------------------------------


@click.command
@click.argument("lots", nargs=-1, required=True, metavar="LOT...")
@click.option("--low", multiple=True, metavar="LOT", help="A lot of boards with a little residue, shot twice.")
@_measured(lots=True)
def blanks(lots: tuple[str, ...], low: tuple[str, ...], *, as_json: bool, **given: Any) -> int:
    """Find the limits of blank and of detection from clean boards.

    LOT is a lot of clean boards, each photographed twice: once as 'before', once
    as 'after', taken out and put back in between. Ten boards make a percentile,
    three are the least. Prints the line for the board type; edits nothing.
    Ends with 3 if boards have no number or are not clean.
    """
    from residue_batch.cli.progress import progress
    from residue_batch.trust import blanks as limits

    with progress() as on_progress:
        found = limits(lots, low=low, on_progress=on_progress, **given)
    code = NO_NUMBER if any(one.problem or one.no_number for one in found) else 0
    if as_json:
        write_json({"board_types": [{**asdict(one), "yaml": one.yaml} for one in found], "exit_code": code})
        return code
    for one in found:
        _limits(one)
    return code


def _limits(one: Any) -> None:
    count = f"{plural(one.readings, 'reading')} of {plural(one.boards, 'clean board')}"
    out(f"board type {one.board_type}: {count}", "bold")
    if one.readings:
        rows = [[r.board, load(r.load_before), load(r.load_after)] for r in one.loads]
        table(["board", ">first shot", ">second shot"], rows)
    _refused(one.no_number)
    if one.problem:
        complain(one.problem, remedy=one.remedy)
        return
    method = {"percentile": "95th percentile of the readings", "normal": "mean + 1.645 sd, corrected for few readings"}
    low = f"sd of {plural(one.low_boards, 'low sample')}" if one.low_boards else "sd of the blanks"
    out(f"mean {load(one.mean)}, sd {load(one.sd)}, from {load(one.lowest)} to {load(one.highest)} of full cover")
    out(f"limit of blank      {load(one.lob)}   ({method[one.method]})")
    out(f"limit of detection  {load(one.lod)}   (limit of blank + 1.645 {low})")
    for note in one.notes:
        say(f"note: {note}")
    say(f"Put this into the YAML of {one.board_type}:")
    out(one.yaml, "bold green")


def _refused(readings: Iterable[Any]) -> None:
    for one in readings:
        complain(f"{one.board} has no number ({one.reason}): {one.message}", remedy=one.remedy)


# nullcheck ------------------------------------------------------------------------


@click.command
@click.argument("what", nargs=-1, required=True, metavar="LOT | BOARD_TYPE BEFORE AFTER")
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True, max_open=True), metavar="LOAD",
              help="Largest difference of the loads; default the limit of detection, or 2 % of the load.")  # fmt: skip
@_measured(lots=True)
def nullcheck(what: tuple[str, ...], tolerance: float | None, *, as_json: bool, **given: Any) -> int:
    """An uncleaned board, photographed twice, must read 0.

    Give a lot of such boards, or a board type and two photographs. Judged by the
    difference of the loads, since points explode on nearly clean boards.
    Ends with 6 if a difference is out of tolerance, with 3 if a board has no number.
    """
    from residue_batch.cli.progress import progress
    from residue_batch.trust import nullcheck as check

    if len(what) not in (1, 3):
        raise UsageError("give a lot, or a board type and two photographs")
    for path in map(Path, what[1:]):
        if not path.is_file():
            raise UsageError(f"there is no photograph {path}")
    if len(what) == 3 and given["board_type"]:
        raise UsageError("the board type stands before the two photographs; --board-type is for a lot")
    with progress() as on_progress:
        found = check(*what, tolerance=tolerance, on_progress=on_progress, **given)
    code = NOT_MET if found.failed else NO_NUMBER if found.no_number or not found.boards else 0
    if as_json:
        boards = [{**asdict(b), "difference": b.difference, "passed": b.passed} for b in found.boards]
        write_json({"boards": boards, "no_number": found.no_number, "mean_difference": found.mean_difference,
                    "exit_code": code})  # fmt: skip
        return code
    rows = [
        [
            b.board,
            load(b.load_before),
            load(b.load_after),
            f"{100 * b.difference:+.3f} %",
            load(b.tolerance),
            number(b.reduction_pct, 1, " %"),
            _interval(b),
            "in tolerance" if b.passed else "OUT OF TOLERANCE",
        ]
        for b in found.boards
    ]
    if rows:
        columns = ["board", ">first", ">second", ">difference", ">tolerance", ">reduction", ">interval", "verdict"]
        table(columns, rows)
    _refused(found.no_number)
    for bare in (b.board for b in found.boards if not b.detectable):
        say(f"note: {bare} carries almost no residue; a null check says more on an uncleaned board")
    if found.failed:
        complain(
            f"{plural(len(found.failed), 'board')} of {len(found.boards)} did not read 0: mean difference "
            f"{100 * (found.mean_difference or 0):+.3f} % of full cover",
            remedy="was it cleaned or touched in between? If not: light, glare or focus differ between the two shots",
        )
    elif found.boards:
        out(f"{plural(len(found.boards), 'board')} read 0 within tolerance", "bold green")
    return code


def _interval(one: Any) -> str:
    if one.low_pct is None or one.high_pct is None:
        return number(None)
    return f"{one.low_pct:.1f} to {one.high_pct:.1f}"


# selftest -------------------------------------------------------------------------


@click.command
@click.option("--board-type", required=True, metavar="NAME", help="Whose shots and whose rules.")
@click.option("--clean", multiple=True, type=PHOTOGRAPH, metavar="PHOTO",
              help="A clean board to plant on; default the golden shot, though others test more.")  # fmt: skip
@click.option("--boards", type=click.IntRange(min=1), default=8, show_default=True, metavar="N", help="How many.")
@click.option("--difficulty", type=click.Choice(DIFFICULTIES), default="medium", show_default=True,
              help="How two shots differ: fixed is a camera on a stand, hard is from the hand.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True, metavar="POINTS",
              help="Largest mean absolute error; no board may be off by three times it.")  # fmt: skip
@click.option("--coverage", type=click.FloatRange(0, 100), default=90.0, show_default=True, metavar="PERCENT",
              help="How often the intervals shall hold the truth.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, metavar="N",
              help="Another seed is other residue and other shots.")  # fmt: skip
@click.option("--keep", "folder", type=click.Path(path_type=Path), metavar="DIR",
              help="Keep the soiled photographs and the run, to look at.")  # fmt: skip
@_measured(lots=False)
def selftest(folder: Path | None, *, as_json: bool, **given: Any) -> int:
    """Plant known residue on clean shots of a board type and measure it back.

    Residue of known amount is composited into clean photographs of the board
    type, which are photographed again and measured as any lot: typical, faint,
    heavy, not cleaned (null), worse and blank boards. Ends with 6 if the error
    or the coverage of the intervals is out of tolerance.
    """
    from residue_batch.cli.progress import progress
    from residue_batch.trust import selftest as test

    for path in given["clean"]:
        if not path.is_file():
            raise UsageError(f"there is no photograph {path}")
    with progress(at_once=False) as on_progress:
        found = test(folder=folder, on_plant=_tell, on_progress=on_progress, **given)
    code = NOT_MET if found.failures else 0
    if as_json:
        boards = [{**asdict(b), "true_pct": b.true_pct, "error": b.error, "covered": b.covered} for b in found.boards]
        write_json(
            {**asdict(found), "boards": boards, "mean_absolute_error_points": found.mean_error,
             "bias_points": found.bias, "covered": found.covered[0], "intervals": found.covered[1],
             "mean_width_points": found.mean_width, "failures": found.failures, "exit_code": code}
        )  # fmt: skip
        return code
    _results(found)
    if folder is not None:
        say(f"photographs and run: {folder}")
    return code


def _tell(board: int, of: int) -> None:
    say(f"planting known residue: board {board} of {of}")


def _results(found: Any) -> None:
    rows = [
        [
            b.board,
            load(b.true_before),
            load(b.load_before),
            number(b.true_pct, 1, " %"),
            number(b.estimate_pct, 1, " %"),
            "" if b.error is None else f"{b.error:+.2f}",
            _interval(b),
            {True: "yes", False: "no", None: ""}[b.covered],
            b.reason or b.status,
        ]
        for b in found.boards
    ]
    columns = ["board", ">planted", ">read", ">true reduction", ">measured", ">error", ">interval", "covered", "status"]
    table(columns, rows)
    hits, count = found.covered
    intervals = f"{hits} of {count}, mean width {number(found.mean_width, 1)} points" if count else "not estimated"
    out(f"mean absolute error {number(found.mean_error, 2)} points, bias {number(found.bias, 2)}", "bold")
    out(f"intervals that hold the truth: {intervals}")
    say("Residue composited by the model that measures it favours the measurement: real errors are larger than this.")
    for failure in found.failures:
        complain(failure)
    out("out of tolerance" if found.failures else "in tolerance", "bold red" if found.failures else "bold green")


COMMANDS = (blanks, nullcheck, selftest)
