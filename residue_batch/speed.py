"""Where the time goes on a lot of one's own: a sample of its boards, measured and timed through ``api.run``.

A few boards are drawn evenly, run with a profile by each number of workers in
a folder that is gone afterwards, and what was found is laid over the archive.
"""

from __future__ import annotations

import csv
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from residue_batch import __version__, api, photo
from residue_batch.canonical import digest
from residue_batch.config import BoardShots, Lot, load_board_type, load_lot, load_workflow, scan, to_yaml
from residue_batch.config.load import find
from residue_batch.errors import Refusal, UsageError
from residue_batch.outcome import REFUSED
from residue_batch.pace import (
    FORMAT,
    Bench,
    Earlier,
    Share,
    Timed,
    against,
    check_alike,
    differences,
    document,
    earlier,
)
from residue_batch.prepare import TILE, sets_for
from residue_batch.profile import lines_of

if TYPE_CHECKING:
    from residue_batch.ledger import Progress

GROUPS: dict[str, Callable[[str, str], bool]] = {
    "read": lambda _, part: part == "read",
    "hash": lambda _, part: part == "hash",
    "decode": lambda _, part: part == "decode",
    "board frame": lambda _, part: part == "scene",
    "match": lambda stage, _: stage == "match",
    "planes": lambda _, part: part.startswith(("plane ", "fit ")),
    "measures": lambda _, part: part.startswith("measure ") or part in ("regions", "evidence"),
    "pictures": lambda _, part: part == "picture",
    "write": lambda _, part: part == "write",
    "the rest": lambda *_: True,
}
"""What a board's time is spent on, as people call it; the first that applies."""
ONCE = "board frame"
"""Done once by each worker, not for each board."""


class BoardTime(NamedTuple):
    """A board that was measured: when it was done, the seconds of its worker, and the pixels of both shots, MP."""

    done_at: float
    seconds: float
    megapixels: float


def bench(
    lot: str | Path,
    workflow: str | Path = api.WORKFLOW,
    *,
    boards: int = 8,
    workers: Sequence[int] = (1,),
    board_type: str | Path | None = None,
    executor: str = "auto",
    tile: int | None = None,
    sets: Sequence[str] = (),
    scratch: str | Path | None = None,
    like: Earlier | str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Bench:
    """Measure how fast a sample of a lot is measured, and project that on all of it.

    Parameters
    ----------
    boards
        How many boards are drawn; at least four for each worker make sense.
    workers
        Numbers of local workers, one run each, the fewest first; 0 is this process.
    scratch
        Where runs are written meanwhile; default the system's temporary folder.
    like
        An older measurement that this one is to be compared with: refused before anything is measured if it cannot be.
    lot, workflow, board_type, executor, tile, sets, on_progress
        As for ``run``.

    Raises
    ------
    ConfigError, UsageError, ClusterError
    """
    old = None if like is None else earlier(like)
    if not workers or min(workers) < 0 or boards < 1:
        raise UsageError("a benchmark needs a board, and numbers of workers that are 0 or more")
    loaded = load_lot(str(lot), sets_for(sets, "lot"))
    if board_type is not None:
        loaded = loaded.model_copy(update={"board_type": str(board_type)})
    usable = scan(loaded).usable
    if not usable:
        raise UsageError(f"lot {loaded.lot} has no board with both shots; see 'residue lot scan {lot}'")
    drawn = sorted(usable, key=lambda shots: digest(f"{shots.lot}/{shots.board}"))[:boards]
    types = {load_board_type(shots.board_type, sets_for(sets, "board_type")).board_type for shots in drawn}
    conditions: dict[str, Any] = {
        "lot": loaded.lot,
        "workflow": load_workflow(str(workflow), sets_for(sets, "workflow")).workflow,
        "board_types": tuple(sorted(types)),
        "sets": tuple(sets),
        "executor": executor,
        "tile": tile or TILE,
    }
    counts = sorted(set(workers))
    if old is not None:
        check_alike(old, conditions, counts)
    megapixels = {shots.board: _megapixels(shots) for shots in drawn}
    size = statistics.fmean(shot_bytes(shots) for shots in drawn) / 1e6
    runs: list[Timed] = []
    with tempfile.TemporaryDirectory(prefix="residue-bench-", dir=scratch) as temporary:
        sample = _sample(Path(temporary), loaded, drawn)
        for count in counts:
            done_at: dict[str, float] = {}
            dataset = api.run(
                sample,
                workflow,
                out=Path(temporary) / f"runs-{count}",
                executor=executor,
                workers=count,
                tile=tile,
                sets=[one for one in sets if not one.startswith("lot.")],
                profile=True,
                on_progress=partial(_tell, done_at, on_progress),
            )
            measured = _measured(dataset, loaded.lot)
            times = {board: (done_at[board], megapixels[board]) for board in measured}
            share = len(measured) / len(drawn)
            runs.append(_timed(Path(dataset.attrs["folder"]), count, times, size, share * len(usable), runs))
    return Bench(
        format=FORMAT,
        **conditions,
        boards=len(drawn),
        archive_boards=len(usable),
        refused=len(drawn) - len(measured),
        board_mp=statistics.fmean(megapixels[board] for board in measured),
        board_mb=size,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        version=__version__,
        runs=tuple(runs),
    )


def _tell(done_at: dict[str, float], on_progress: Callable[[Progress], None] | None, now: Progress) -> None:
    """Remember when a board was measured, and pass the word on."""
    if now.board and now.outcome != REFUSED:
        done_at[now.board] = time.perf_counter()
    if on_progress:
        on_progress(now)


def shot_bytes(shots: BoardShots) -> int:
    """Bytes of both files of a board."""
    return sum(path.stat().st_size for path in (shots.before, shots.after) if path is not None)


def _megapixels(shots: BoardShots) -> float:
    """Pixels of both shots, millions; of shots that cannot be read none: such a board is refused."""
    try:
        headers = [photo.read_header(path) for path in (shots.before, shots.after) if path is not None]
    except Refusal:
        return 0.0
    return sum(header.height * header.width for header in headers) / 1e6


def _sample(folder: Path, lot: Lot, drawn: Sequence[BoardShots]) -> Path:
    """The drawn boards as a lot of their own, with all that the lot says but where its shots lie."""
    manifest = folder / "boards.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["board", "phase", "path", "sha256", "board_type"])
        for shots in drawn:
            kind = find(shots.board_type, "board_type").path
            for phase, path, sha256 in (
                ("before", shots.before, shots.sha256_before),
                ("after", shots.after, shots.sha256_after),
            ):
                assert path is not None
                rows.writerow([shots.board, phase, path.absolute(), sha256 or "", Path(kind).absolute()])
    # whatever a lot may say of its light or its shots is kept; its files are absolute since it was loaded
    listed = lot.model_copy(update={"board_type": None, "pattern": None, "manifest": str(manifest.absolute())})
    sample = folder / "lot.yaml"
    sample.write_text(to_yaml(listed), encoding="utf-8")
    return sample


def _measured(dataset: Any, lot: str) -> list[str]:
    """The boards of the sample that have a number.

    Raises
    ------
    UsageError
        If none has one: nothing can be said of the time.
    """
    from residue_batch.results import words

    outcomes = words(dataset["outcome"])
    measured = [
        str(name) for name, outcome in zip(dataset["board"].values, outcomes, strict=True) if outcome != REFUSED
    ]
    if not measured:
        reason, message = (str(dataset[name].values[0]) for name in ("reason", "message"))
        raise UsageError(f"no board of the sample of {lot} was measured ({reason}: {message}); measure the lot first")
    return measured


def speed_of(boards: Sequence[BoardTime], workers: int, boards_s: float) -> float:
    """MP/s of all workers together, from when each has done its first board until the last board is done.

    Small boards come back several at once: those that come with the last of
    the first ones are left out with them. Boards begun before that moment
    count as if they had been begun then, but never as more than workers can
    do in the seconds that the boards took them. Where nothing is left (no
    more boards than workers, or all at once) it is all boards over ``boards_s``,
    the seconds from the first board's begin to the last one's end.
    """
    cores = max(workers, 1)
    done = sorted(boards)
    at_once = statistics.median(board.seconds for board in done) / cores / 4
    first = cores
    while first < len(done) and done[first].done_at - done[first - 1].done_at < at_once:
        first += 1
    later = done[first:]
    if not later:
        return sum(board.megapixels for board in done) / boards_s
    least = sum(board.seconds for board in later) / cores
    seconds = max(done[-1].done_at - done[first - 1].done_at, least)
    return sum(board.megapixels for board in later) / seconds


def _timed(
    folder: Path,
    workers: int,
    times: Mapping[str, tuple[float, float]],
    board_mb: float,
    archive: float,
    before: Sequence[Timed],
) -> Timed:
    """One run of the sample, from its profile; ``times`` are the moment and the MP of each board that was measured."""
    profile, lines = api.profile(folder), lines_of(folder / "run.jsonl")
    clock = profile["run_s"]
    boards = [BoardTime(times[line["board"]][0], line["seconds"], times[line["board"]][1]) for line in lines]
    megapixels = sum(board.megapixels for board in boards)
    scenes = [sum(c[1] for name, c in line["spent"].items() if name.endswith("/scene")) for line in lines]
    speed = speed_of(boards, workers, clock["boards"])
    start = clock["prepare"] + clock["references"] + clock.get("cluster", 0.0)
    once = max(scenes)
    return Timed(
        workers=workers,
        start_s=start,
        boards_s=clock["boards"],
        finish_s=clock["finish"],
        once_s=once,
        board_s=statistics.median(line["seconds"] - scene for line, scene in zip(lines, scenes, strict=True)),
        mp_s=speed,
        scaling=speed / before[0].mp_s if before else 1.0,
        peak_mb=profile["peak_mb"],
        output_mb=sum(file.stat().st_size for file in (folder / "boards").rglob("*") if file.is_file())
        / 1e6
        / len(boards),
        archive_s=start + once + archive * megapixels / len(boards) / speed + clock["finish"],
        shares=_shares(profile, megapixels, board_mb * len(boards)),
    )


def _shares(profile: Mapping[str, Any], megapixels: float, megabytes: float) -> tuple[Share, ...]:
    seconds, cpu = dict.fromkeys(GROUPS, 0.0), dict.fromkeys(GROUPS, 0.0)
    for part in profile["parts"]:
        name = next(name for name, applies in GROUPS.items() if applies(part["stage"], part["part"]))
        seconds[name] += part["seconds"]
        cpu[name] += part["cpu_s"]
    return tuple(
        Share(
            name,
            spent,
            cpu[name],
            100 * spent / profile["seconds"],
            megapixels / spent if name != ONCE else None,
            megabytes / spent if name in ("read", "hash", "decode") else None,
        )
        for name, spent in seconds.items()
        if spent > 0
    )


__all__ = [
    "GROUPS",
    "Bench",
    "BoardTime",
    "Earlier",
    "Share",
    "Timed",
    "against",
    "bench",
    "differences",
    "document",
    "earlier",
    "shot_bytes",
    "speed_of",
]
