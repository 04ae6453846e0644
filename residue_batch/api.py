"""The public calls: run, plan, check, try_pair, open_run. The command line calls only these.

``run`` ties the rooms together: configuration -> boards -> cluster -> records
-> tables and report. Everything it writes but ``run.json`` and ``run.jsonl``
can be made again from ``records.log``.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch import __version__, records
from residue_batch.artefacts import committed, findings_of, to_build, with_references
from residue_batch.board import Board, Setting, every_plane, plan_board, scene_of
from residue_batch.checking import Checked, check
from residue_batch.comparing import Comparison, compare
from residue_batch.compiler import keeping_all
from residue_batch.config import Cluster, load_board_type, load_workflow, to_yaml
from residue_batch.engine.inline import Done, measure_boards, run_inline, settle
from residue_batch.errors import ConfigError, Refusal, StaleRunError, UsageError
from residue_batch.files import PhotoFile, read_photo
from residue_batch.geometry import Box
from residue_batch.ledger import JOURNAL, Ledger, Progress
from residue_batch.outcome import REFUSED, Record
from residue_batch.picture import check_writable, plane_picture, regions_picture, write_png
from residue_batch.prepare import Prepared, check_scene, prepare, sets_for, setting_of
from residue_batch.profile import Phases, profile, write_profile
from residue_batch.program import AFTER, BEFORE
from residue_batch.references import build_reference
from residue_batch.revisit import open_run, report, status, verdicts
from residue_batch.versions import begun_with, changed, versions
from residue_batch.workers import Workers, clients, executor_of, load_ahead

if TYPE_CHECKING:
    import xarray as xr

EXECUTORS = ("auto", "inline", "graph")
WORKFLOW = "flux_residue"


@dataclass(frozen=True)
class RunPlan:
    """What a run would do: counted before anything is measured."""

    lot: str
    workflow: str
    folder: str
    boards: int
    refused: int
    done: int
    tiles: int
    passes: int
    tasks: int
    input_bytes: int
    input_pixels: int
    peak_bytes: int
    seconds: float
    references: int = 0
    """References to be built from the lot first, and from how many shots; their cost is in the numbers above."""
    reference_shots: int = 0


# run ------------------------------------------------------------------------------


def run(
    lot: str | Path,
    workflow: str | Path = WORKFLOW,
    *,
    board_type: str | Path | None = None,
    out: str | Path = "runs",
    executor: str = "auto",
    tile: int | None = None,
    workers: int | None = None,
    cluster: str | Path | Cluster | None = None,
    sets: Sequence[str] = (),
    any_versions: bool = False,
    profile: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> xr.Dataset:
    """Measure a lot. The same call again resumes: finished boards are not measured twice.

    Parameters
    ----------
    lot, workflow, board_type
        A name or a path each; ``board_type`` overrides the lot's.
    out
        The folder in which the run's own folder is made.
    executor
        ``auto``, ``inline`` (one task per board) or ``graph`` (one graph per board).
    tile
        Side of a tile in px; decides speed and memory, never a number.
    workers
        Local worker processes; 0 measures in this process, without Dask.
    cluster
        A cluster file or name, or the address of a scheduler.
    sets
        ``key=value`` settings above all files.
    any_versions
        Resume a run that other library versions began.
    profile
        Write what each stage, plane and measure cost into ``profile.json``.
    on_progress
        Called after each board.

    Returns
    -------
    The dataset of ``lot.zarr``; ``attrs["folder"]`` and ``attrs["exit_code"]`` are added to it.

    Raises
    ------
    ConfigError, UsageError, LockedError, StaleRunError, ClusterError
    """
    if executor not in EXECUTORS:
        raise UsageError(f"executor is {executor!r}; it may be {', '.join(EXECUTORS)}")
    phases = Phases()
    prepared = prepare(lot, workflow, board_type, sets, tile)
    # workers may stand in another folder
    folder = Path(out).resolve() / prepared.folder_name
    with clients(workers, cluster, sets) as client:
        if client and not folder.exists():  # a run that goes on may have nothing left to measure
            client.ahead()
        for setting in prepared.settings.values():
            check_scene(setting)
        with records.lock(folder):
            _begin(folder, prepared, any_versions)
            phases.ended("prepare")
            prepared = with_references(prepared, folder, executor_of(client))
            phases.ended("references")
            ledger = Ledger(folder, prepared, on_progress, profile=profile)
            left = _word_left(folder, prepared)
            with left, records.Log(folder) as log, (folder / JOURNAL).open("a") as journal:
                for done in _measured(ledger, executor, client, phases):
                    ledger.take(done, log, journal)
            phases.ended("boards")
            dataset = _finish(folder, prepared, ledger)
            phases.ended("finish")
            if profile:
                write_profile(folder, folder / JOURNAL, phases.seconds)
            return dataset


def _measured(ledger: Ledger, executor: str, client: Workers | None, phases: Phases) -> Iterator[Done]:
    """Results of every board that is not done yet, as they come."""
    todo = ledger.work()
    first = next(todo, None)
    if first is None:
        return
    work = chain([first], todo)
    if client is None:
        load_ahead()
        for one in work:
            yield from measure_boards([one], alone=True)
        return
    from residue_batch.engine.driver import drive

    ledger.dashboard = str(client().dashboard_link or "")
    ledger.tell("", "")
    phases.ended("cluster")
    load_ahead()
    yield from drive(client(), work, executor)
    client.close()


@contextmanager
def _word_left(folder: Path, prepared: Prepared) -> Iterator[None]:
    """Say in run.json when the run ends early: the same command resumes."""
    try:
        yield
    except BaseException as error:
        reason = ": ".join(filter(None, (type(error).__name__, str(error))))
        state = {"status": "interrupted", "reason": reason}
        records.write_json(folder / "run.json", _head(prepared) | state)
        raise


def _head(prepared: Prepared) -> dict[str, Any]:
    return {
        "lot": prepared.lot.lot,
        "workflow": prepared.workflow.workflow,
        "board_types": {name: _hashes(prepared.setting(name)) for name in sorted(prepared.settings)},
        "references": {name: found.summary for name, found in sorted(prepared.references.items())},
        "fingerprint": prepared.fingerprint,
        "versions": versions(),
        "counts": {"boards": len(prepared.scan.boards), "unusable": len(prepared.unusable())},
    }


def _hashes(setting: Setting) -> dict[str, Any]:
    cards = setting.cards.sha256
    return {
        "program": setting.program.fingerprint,
        "frame": setting.frame.sha256 if setting.frame else None,
        "golden": setting.golden.sha256 if setting.golden else None,
        **({"flat_field": cards} if cards else {}),
    }


def _begin(folder: Path, prepared: Prepared, any_versions: bool) -> None:
    state = folder / "run.json"
    if (names := changed(begun_with(state))) and not any_versions:
        raise StaleRunError(f"{folder} was begun with other versions ({names}); use --any-versions or another --out")
    resolved = folder / "resolved"
    resolved.mkdir(exist_ok=True)
    records.write_text(resolved / "workflow.yaml", to_yaml(prepared.workflow))
    records.write_text(resolved / "lot.yaml", to_yaml(prepared.lot))
    for setting in prepared.settings.values():
        name = setting.board_type.board_type
        records.write_text(resolved / f"board_type-{name}.yaml", to_yaml(setting.board_type))
    records.write_json(state, _head(prepared) | {"status": "running"})


def _finish(folder: Path, prepared: Prepared, ledger: Ledger) -> xr.Dataset:
    """Everything that is derived from the records: tables, statistics, report, and the exit code."""
    from residue_batch import results
    from residue_batch.report import ReportData, render
    from residue_batch.statistics import judge, lot_summary, verdict_of
    from residue_batch.tables import boards_csv

    rows = ledger.rows()
    dataset = results.dataset(rows, prepared.program, _attributes(prepared))
    summary = lot_summary(dataset)
    verdicts = judge(prepared.workflow.limits, dataset)
    failed = verdict_of(verdicts) == "fail"
    code = 1 if ledger.bugs else 6 if failed else 3 if _refused(rows) else 0
    counts = {"boards": len(rows), "measured": len(rows) - _refused(rows), "refused": _refused(rows)}
    state = _head(prepared) | {"status": "finished", "counts": counts, "exit_code": code}
    kinds = [setting.board_type for setting in prepared.settings.values()]
    results.write_zarr(dataset, folder / "lot.zarr", summary)
    records.write_text(folder / "boards.csv", boards_csv(dataset))
    shown = ReportData(
        dataset=dataset,
        summary=summary,
        verdicts=verdicts,
        findings=(*prepared.scan.findings, *findings_of(prepared)),
        pictures={row["board"]: folder / "boards" / f"{row['key']}.jpg" for row in rows if row["outcome"] != REFUSED},
        provenance=state,
        configs={path.name: path.read_text() for path in sorted((folder / "resolved").iterdir())},
        gates={kind.board_type: kind.gates.model_dump() for kind in kinds},
        footer=f"made {time.strftime('%Y-%m-%d %H:%M %Z')} on {platform.node()}",
    )
    records.write_text(folder / "report.html", render(shown))
    records.write_json(folder / "run.json", state | {"damaged_records": ledger.damaged})
    dataset.attrs |= {"folder": str(folder), "exit_code": code}
    return dataset


def _refused(rows: Sequence[Record]) -> int:
    return sum(row["outcome"] == REFUSED for row in rows)


def _attributes(prepared: Prepared) -> dict[str, Any]:
    return {
        "title": f"Residue reduction of lot {prepared.lot.lot}",
        "workflow": prepared.workflow.workflow,
        "source": f"residue-batch {__version__}",
        "fingerprint": prepared.fingerprint,
    }


# plan, try, check, open --------------------------------------------------------------


def plan(
    lot: str | Path,
    workflow: str | Path = WORKFLOW,
    *,
    board_type: str | Path | None = None,
    out: str | Path = "runs",
    tile: int | None = None,
    sets: Sequence[str] = (),
) -> RunPlan:
    """What ``run`` would do with the same arguments, from headers alone; nothing is measured.

    Raises
    ------
    ConfigError, UsageError
    """
    prepared = prepare(lot, workflow, board_type, sets, tile)
    folder = Path(out) / prepared.folder_name
    prepared = committed(prepared, folder)
    building = to_build(prepared, folder)
    prepared = replace(prepared, refusals={n: one for n, one in building.items() if isinstance(one, Refusal)})
    first = [one for one in building.values() if not isinstance(one, Refusal)]
    ledger = Ledger(folder, prepared, None)
    plans, unreadable, size = [], 0, 0
    todo = 0
    for board, _ in ledger.work():
        todo += 1
        try:
            plans.append(plan_board(board))
            size += sum(Path(file.path).stat().st_size for file in board.shots.values())
        except (Refusal, OSError):
            unreadable += 1
    boards = len(prepared.scan.boards)
    return RunPlan(
        prepared.lot.lot,
        prepared.workflow.workflow,
        str(folder),
        boards,
        unreadable + len(prepared.unusable()),
        boards - len(prepared.unusable()) - todo,
        sum(p.tiles for p in plans),
        max((len(s.program.passes) for s in prepared.settings.values()), default=0),
        len(plans) + sum(p.tasks for p, _ in first),
        size,
        sum(p.input_pixels for p in plans),
        max((p.peak_bytes for p in (*plans, *(p for p, _ in first))), default=0),
        sum(p.seconds for p in plans) + sum(p.seconds for p, _ in first),
        len(first),
        sum(len(state.shots) for _, state in first),
    )


def try_pair(
    board_type: str | Path,
    before: str | Path,
    after: str | Path,
    workflow: str | Path = WORKFLOW,
    *,
    folder: str | Path | None = None,
    tile: int | None = None,
    sets: Sequence[str] = (),
) -> Record:
    """Measure one pair here, and return its record.

    Parameters
    ----------
    folder
        Where to write every plane as a PNG; None for nowhere.

    Raises
    ------
    ConfigError, UsageError
    """
    loaded = load_workflow(str(workflow), sets_for(sets, "workflow"))
    if folder is not None:
        loaded = keeping_all(loaded)
        check_writable(Path(folder))
    setting = setting_of(load_board_type(str(board_type), sets_for(sets, "board_type")), loaded, tile)
    if setting.board_type.reference == "lot" and setting.golden is None:
        message = "one pair is no lot: its reference cannot be built from it"
        remedy = "build one with 'residue reference build' and name it in 'built:'"
        raise ConfigError(setting.board_type.problem(("reference",), message, remedy))
    check_scene(setting)
    shots = {BEFORE: PhotoFile(str(before)), AFTER: PhotoFile(str(after))}
    board = Board(Path(before).stem, "try", setting, shots)

    def measure(board: Board) -> Board:
        measured = run_inline(plan_board(board), board, alone=True)
        if folder is not None:
            _write_planes(Path(folder), measured)
        return measured

    done = settle(board, frozenset(), measure)
    if done.failure:
        raise RuntimeError(done.failure)
    assert done.record is not None
    return done.record


def _write_planes(folder: Path, board: Board) -> None:
    """Every plane of the last pass as a PNG in the board frame, and the regions drawn on the frame image."""
    scene = scene_of(board.setting, board.shots[BEFORE])
    before = board.setting.frame or board.shots[BEFORE]
    write_png(folder / "regions.png", regions_picture(read_photo(board.setting.board_type, before).pixels, scene))
    planes = every_plane(board, board.setting.program.passes[-1], Box.whole(scene.shape))
    for key, plane in planes.items():
        if plane.ndim > 1 and not key.plane.startswith("_"):
            write_png(folder / f"{key}.png", plane_picture(plane))


__all__ = [
    "Checked",
    "Comparison",
    "Progress",
    "RunPlan",
    "build_reference",
    "check",
    "compare",
    "open_run",
    "plan",
    "profile",
    "report",
    "run",
    "status",
    "try_pair",
    "verdicts",
]
