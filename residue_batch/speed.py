"""Where the time goes on a lot of one's own: a sample of its boards, measured and timed through ``api.run``.

A few boards are drawn evenly, run with a profile by each number of workers in
a folder that is gone afterwards, and what was found is laid over the archive.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch import __version__, api
from residue_batch.canonical import digest
from residue_batch.config import BoardShots, load_lot, scan
from residue_batch.config.load import find
from residue_batch.errors import UsageError
from residue_batch.outcome import REFUSED
from residue_batch.prepare import sets_for
from residue_batch.profile import lines_of

if TYPE_CHECKING:
    from residue_batch.ledger import Progress

FORMAT = 1
LOT = "bench"

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


@dataclass(frozen=True)
class Share:
    """One kind of work, over all boards of a sample: seconds of a worker, what share of all, and at what rate.

    ``mp_s`` and ``mb_s`` are of the input: pixels of both shots, bytes of their files.
    """

    name: str
    seconds: float
    cpu_s: float
    share_pct: float
    mp_s: float | None
    mb_s: float | None


@dataclass(frozen=True)
class Timed:
    """The sample with one number of workers; seconds by the clock.

    ``board_s`` is the median board on its worker, without what a worker does
    once; ``mp_s`` what all workers then do together. ``scaling`` is ``mp_s``
    over that of the fewest workers.
    """

    workers: int
    start_s: float
    boards_s: float
    finish_s: float
    once_s: float
    board_s: float
    mp_s: float
    scaling: float
    peak_mb: float
    output_mb: float
    archive_s: float
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Bench:
    """What was measured: the machine, the sample, and a row per number of workers."""

    lot: str
    workflow: str
    boards: int
    archive_boards: int
    refused: int
    board_mp: float
    board_mb: float
    machine: str
    version: str
    runs: tuple[Timed, ...]
    format: int = FORMAT


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
    on_progress: Callable[[Progress], None] | None = None,
) -> Bench:
    """Measure how fast a sample of a lot is measured, and project that on all of it.

    Parameters
    ----------
    boards
        How many boards are drawn; at least two for each worker make sense.
    workers
        Numbers of local workers, one run each; 0 is this process.
    scratch
        Where runs are written meanwhile; default the system's temporary folder.
    lot, workflow, board_type, executor, tile, sets, on_progress
        As for ``run``.

    Raises
    ------
    ConfigError, UsageError, ClusterError
    """
    if not workers or min(workers) < 0 or boards < 1:
        raise UsageError("a benchmark needs a board, and numbers of workers that are 0 or more")
    loaded = load_lot(str(lot), sets_for(sets, "lot"))
    if board_type is not None:
        loaded = loaded.model_copy(update={"board_type": str(board_type)})
    usable = scan(loaded).usable
    if not usable:
        raise UsageError(f"lot {loaded.lot} has no board with both shots; see 'residue lot scan {lot}'")
    drawn = sorted(usable, key=lambda shots: digest(f"{shots.lot}/{shots.board}"))[:boards]
    size = statistics.fmean(shot_bytes(shots) for shots in drawn) / 1e6
    runs: list[Timed] = []
    with tempfile.TemporaryDirectory(prefix="residue-bench-", dir=scratch) as temporary:
        sample = _sample(Path(temporary), drawn)
        for count in dict.fromkeys(workers):
            dataset = api.run(
                sample,
                workflow,
                out=Path(temporary) / f"runs-{count}",
                executor=executor,
                workers=count,
                tile=tile,
                sets=[one for one in sets if not one.startswith("lot.")],
                profile=True,
                on_progress=on_progress,
            )
            folder = Path(dataset.attrs["folder"])
            refused = _refused(dataset, loaded.lot)
            runs.append(_timed(folder, count, size, len(usable), runs))
        name = dataset.attrs["workflow"]
        pixels = api.profile(folder)["input_mp"] / (len(drawn) - refused)
    return Bench(
        lot=loaded.lot,
        workflow=str(name),
        boards=len(drawn),
        archive_boards=len(usable),
        refused=refused,
        board_mp=pixels,
        board_mb=size,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        version=__version__,
        runs=tuple(runs),
    )


def shot_bytes(shots: BoardShots) -> int:
    """Bytes of both files of a board."""
    return sum(path.stat().st_size for path in (shots.before, shots.after) if path is not None)


def _sample(folder: Path, drawn: Sequence[BoardShots]) -> Path:
    """The drawn boards as a lot of their own."""
    with (folder / "boards.csv").open("w", newline="", encoding="utf-8") as manifest:
        rows = csv.writer(manifest)
        rows.writerow(["board", "phase", "path", "sha256", "board_type"])
        for shots in drawn:
            kind = find(shots.board_type, "board_type").path
            for phase, path, sha256 in (
                ("before", shots.before, shots.sha256_before),
                ("after", shots.after, shots.sha256_after),
            ):
                assert path is not None
                rows.writerow([shots.board, phase, path.absolute(), sha256 or "", Path(kind).absolute()])
    lot = folder / "lot.yaml"
    lot.write_text(f"schema: 1\nlot: {LOT}\nmanifest: boards.csv\n", encoding="utf-8")
    return lot


def _refused(dataset: Any, lot: str) -> int:
    """How many boards of the sample have no number.

    Raises
    ------
    UsageError
        If none has one: nothing can be said of the time.
    """
    from residue_batch.results import words

    gone = [i for i, outcome in enumerate(words(dataset["outcome"])) if outcome == REFUSED]
    if len(gone) == dataset.sizes["board"]:
        reason, message = (str(dataset[name].values[gone[0]]) for name in ("reason", "message"))
        raise UsageError(f"no board of the sample of {lot} was measured ({reason}: {message}); measure the lot first")
    return len(gone)


def _timed(folder: Path, workers: int, board_mb: float, archive: int, before: Sequence[Timed]) -> Timed:
    """One run of the sample, from its profile."""
    profile, lines = api.profile(folder), lines_of(folder / "run.jsonl")
    clock, measured = profile["run_s"], profile["boards"]
    shares = _shares(profile, board_mb * measured)
    scenes = [sum(c[1] for name, c in line["spent"].items() if name.endswith("/scene")) for line in lines]
    board_s = statistics.median(line["seconds"] - scene for line, scene in zip(lines, scenes, strict=True))
    cores = max(workers, 1)
    speed = cores * profile["input_mp"] / measured / board_s
    start = clock["prepare"] + clock["references"] + clock.get("cluster", 0.0)
    once = max(scenes)
    return Timed(
        workers=workers,
        start_s=start,
        boards_s=clock["boards"],
        finish_s=clock["finish"],
        once_s=once,
        board_s=board_s,
        mp_s=speed,
        scaling=speed / before[0].mp_s if before else 1.0,
        peak_mb=profile["peak_mb"],
        output_mb=sum(file.stat().st_size for file in (folder / "boards").rglob("*") if file.is_file())
        / 1e6
        / measured,
        archive_s=start + once + archive * board_s / cores + clock["finish"],
        shares=shares,
    )


def _shares(profile: Mapping[str, Any], megabytes: float) -> tuple[Share, ...]:
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
            profile["input_mp"] / spent if name != ONCE else None,
            megabytes / spent if name in ("read", "hash", "decode") else None,
        )
        for name, spent in seconds.items()
        if spent > 0
    )


# against an older measurement -------------------------------------------------------


@dataclass(frozen=True)
class Against:
    """One number of two measurements; ``ratio`` is new over old, above 1 is faster."""

    what: str
    old: float
    new: float
    ratio: float
    slower: bool


def against(old_file: str | Path, new: Bench, tolerance: float) -> tuple[Against, ...]:
    """Compare with what ``bench`` found before, as it was written with ``--json``.

    Speed by number of workers is held against the tolerance (a share of 1);
    the kinds of work of the fewest workers are told beside it.

    Raises
    ------
    UsageError
        If the file is no such measurement, or of something else.
    """
    old = _read(Path(old_file))
    if old["workflow"] != new.workflow:
        raise UsageError(f"{old_file} is of workflow {old['workflow']}, this is {new.workflow}; compare like with like")
    runs = {run["workers"]: run for run in old["runs"]}
    common = [run for run in new.runs if run.workers in runs]
    if not common:
        have = ", ".join(map(str, runs))
        raise UsageError(f"{old_file} has no run with as many workers: it has {have}; give one of them with --workers")
    found = []
    for run in common:
        before, ratio = runs[run.workers]["mp_s"], run.mp_s / runs[run.workers]["mp_s"]
        found.append(Against(f"MP/s, {_workers(run.workers)}", before, run.mp_s, ratio, ratio < 1 - tolerance))
    shares = {share["name"]: share for share in runs[common[0].workers]["shares"]}
    for share in common[0].shares:
        if share.mp_s and share.name in shares:
            before = shares[share.name]["mp_s"]
            found.append(Against(f"{share.name}, MP/s", before, share.mp_s, share.mp_s / before, slower=False))
    return tuple(found)


def _workers(count: int) -> str:
    return "in this process" if count == 0 else "1 worker" if count == 1 else f"{count} workers"


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        sound = found["format"] == FORMAT and all(run["mp_s"] > 0 and run["shares"] for run in found["runs"])
        sound = sound and isinstance(found["workflow"], str)
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not hold what 'residue bench --json' prints"
        raise UsageError(
            f"{path} cannot be compared with: {reason}; write it with 'residue bench LOT --json'"
        ) from None
    if not sound:
        raise UsageError(f"{path} was written by another version of residue bench; measure again with this one")
    return found


def document(found: Bench) -> dict[str, Any]:
    """What ``--json`` prints, and ``against`` reads."""
    return asdict(found)
