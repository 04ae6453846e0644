"""What a benchmark found, as values: written, read back, and held against an older one.

Whatever is compared was measured alike: another lot, workflow or executor is
refused, another machine is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from residue_batch.errors import UsageError

FORMAT: Literal[2] = 2
ALIKE = {
    "lot": "LOT",
    "workflow": "--workflow",
    "board_types": "--board-type",
    "sets": "--set",
    "executor": "--executor",
    "tile": "--tile",
}
"""What two measurements must share to be compared, and where the command line says it."""

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True)
class Share:
    """One kind of work, over all boards of a sample: seconds of a worker, what share of all, and at what rate.

    ``mp_s`` and ``mb_s`` are of the input: pixels of both shots, bytes of their files.
    """

    name: str
    seconds: Amount
    cpu_s: Amount
    share_pct: Amount
    mp_s: Rate | None
    mb_s: Rate | None


@dataclass(frozen=True)
class Timed:
    """The sample with one number of workers; seconds by the clock.

    ``mp_s`` is what all workers together measured in a second, see
    ``speed_of``; ``scaling`` is ``mp_s`` over that of the fewest workers.
    ``board_s`` is the median board on its worker, without what a worker does
    once (``once_s``). ``archive_s`` is start, once, all boards of the lot at
    ``mp_s`` (as many of them refused as of the sample), and the finish of the
    sample, which grows with the number of boards: tables and report of a
    large lot take longer than that.
    """

    workers: Annotated[int, Field(ge=0)]
    start_s: Amount
    boards_s: Amount
    finish_s: Amount
    once_s: Amount
    board_s: Amount
    mp_s: Rate
    scaling: Rate
    peak_mb: Amount
    output_mb: Amount
    archive_s: Amount
    shares: Annotated[tuple[Share, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Bench:
    """What was measured: the machine, the sample, and a row per number of workers, the fewest first.

    ``tile`` is in px, ``board_mp`` and ``board_mb`` are both shots of a board.
    """

    format: Literal[2]
    lot: str
    workflow: str
    board_types: tuple[str, ...]
    sets: tuple[str, ...]
    executor: str
    tile: int
    boards: int
    archive_boards: int
    refused: int
    board_mp: Amount
    board_mb: Amount
    machine: str
    version: str
    runs: Annotated[tuple[Timed, ...], Field(min_length=1)]


class Earlier(NamedTuple):
    """An older measurement, and the file it stands in."""

    file: Path
    found: Bench


def document(found: Bench) -> dict[str, Any]:
    """What ``--json`` prints, and ``earlier`` reads."""
    return asdict(found)


@dataclass(frozen=True)
class Against:
    """One number of two measurements; ``ratio`` is new over old, above 1 is faster."""

    what: str
    old: float
    new: float
    ratio: float
    slower: bool


def earlier(old: Earlier | str | Path) -> Earlier:
    """What ``bench`` found before, from the file that ``--json`` was written to; as it is if it was read already.

    Raises
    ------
    UsageError
        If the file cannot be read, is damaged or no such measurement.
    """
    if isinstance(old, Earlier):
        return old
    path, remedy = Path(old), "write it with 'residue bench LOT --json'"
    try:
        return Earlier(path, TypeAdapter(Bench).validate_json(path.read_bytes(), strict=True))
    except OSError as error:
        raise UsageError(f"{path} cannot be compared with: {error.strerror or error}; {remedy}") from None
    except ValidationError as error:
        wrong = error.errors()
    if any(one["loc"] == ("format",) and one["type"] == "literal_error" for one in wrong):
        raise UsageError(f"{path} was written by another version of residue bench; measure again with this one")
    place = ".".join(map(str, wrong[0]["loc"]))
    reason = f"it does not hold what 'residue bench --json' prints ({place}{': ' if place else ''}{wrong[0]['msg']})"
    raise UsageError(f"{path} cannot be compared with: {reason}; {remedy}")


def check_alike(old: Earlier, now: Mapping[str, Any], workers: Collection[int]) -> None:
    """Refuse to compare different work.

    Raises
    ------
    UsageError
        With both values of the first thing that differs.
    """
    for name, option in ALIKE.items():
        then = getattr(old.found, name)
        if then != now[name]:
            raise UsageError(
                f"{old.file} is of {name.replace('_', ' ')} {_said(then)}, this is of {_said(now[name])}; compare like "
                f"with like: give the same {option}, or measure anew what to compare with: residue bench LOT --json"
            )
    had = [run.workers for run in old.found.runs]
    if not set(had) & set(workers):
        have = ", ".join(map(str, had))
        raise UsageError(f"{old.file} has no run with as many workers: it has {have}; give one of them with --workers")


def _said(value: Any) -> str:
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value)


def differences(old: Earlier, new: Bench) -> tuple[str, ...]:
    """What keeps two measurements from being wholly comparable: other machines and samples, and runs of one only."""
    then = old.found
    had, have = ({run.workers for run in found.runs} for found in (then, new))
    return (
        *(
            f"{old.file} is of {what} {before}, this is of {now}: ratios are not of the program alone"
            for what, before, now in (("machine", then.machine, new.machine), ("boards", then.boards, new.boards))
            if before != now
        ),
        *(f"{_workers(count)}: only in {old.file}, not compared" for count in sorted(had - have)),
        *(f"{_workers(count)}: not in {old.file}, not compared" for count in sorted(have - had)),
    )


def against(old: Earlier | str | Path, new: Bench, tolerance: float) -> tuple[Against, ...]:
    """Compare with what was found before, or the file it stands in; see ``earlier``.

    Speed by number of workers is held against the tolerance (a share of 1);
    the kinds of work of the fewest workers are told beside it.

    Raises
    ------
    UsageError
        If the file is no such measurement, or of something else.
    """
    old = earlier(old)
    check_alike(old, {name: getattr(new, name) for name in ALIKE}, [run.workers for run in new.runs])
    runs = {run.workers: run for run in old.found.runs}
    common = [run for run in new.runs if run.workers in runs]
    found = []
    for run in common:
        before = runs[run.workers].mp_s
        ratio = run.mp_s / before
        found.append(Against(f"MP/s, {_workers(run.workers)}", before, run.mp_s, ratio, ratio < 1 - tolerance))
    shares = {share.name: share.mp_s for share in runs[common[0].workers].shares}
    both = [(share.name, shares.get(share.name), share.mp_s) for share in common[0].shares]
    found += [Against(f"{name}, MP/s", was, now, now / was, slower=False) for name, was, now in both if was and now]
    return tuple(found)


def _workers(count: int) -> str:
    return "in this process" if count == 0 else "1 worker" if count == 1 else f"{count} workers"
