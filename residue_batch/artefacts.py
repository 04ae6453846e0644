"""What a run needs of its lot as a whole before any board is measured: references built from the lot.

Built once, by a plan of its own, and committed in the run's folder; its hash enters the key of
each board of the type. A board that comes later does not change it: the same command finds it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

from residue_batch import building, built, photo
from residue_batch.board import Setting
from residue_batch.building import Building, Origin, make_plan, too_few
from residue_batch.built import Built
from residue_batch.canonical import digest
from residue_batch.config import BoardShots, BoardType, Finding
from residue_batch.errors import Refusal
from residue_batch.files import NO_CARDS, Cards, PhotoFile
from residue_batch.prepare import Prepared
from residue_batch.program import AFTER, BEFORE
from residue_batch.stages import Plan

FOLDER = "references"
TILE = 256
"""Side of the tiles in which shots are combined, px: a tile of every shot is in memory at once."""

Execute = Callable[[Plan, Building], Building]


def shots_of(boards: Iterable[BoardShots]) -> list[tuple[Origin, PhotoFile]]:
    """The shots a reference is built from: both of each board, of at most `MOST_SHOTS` / 2 boards.

    Of more boards some are drawn by the hash of their names: evenly, and the same ones every time.
    """
    drawn = sorted(boards, key=lambda shots: digest(f"{shots.lot}/{shots.board}"))[: building.MOST_SHOTS // 2]
    found = []
    for shots in sorted(drawn, key=lambda shots: (shots.lot, shots.board)):
        for phase, path, sha256 in (
            (BEFORE, shots.before, shots.sha256_before),
            (AFTER, shots.after, shots.sha256_after),
        ):
            found.append((Origin(shots.lot, shots.board, phase), PhotoFile(str(path), sha256)))
    return found


def lay_out(
    board_type: BoardType,
    frame: PhotoFile,
    boards: Iterable[BoardShots],
    scratch: Path,
    tile: int = TILE,
    cards: Cards = NO_CARDS,
) -> tuple[Plan, Building]:
    """The plan of a reference, and its state before anything of it is done.

    Raises
    ------
    Refusal
        ``lot_reference``: too few shots; or the frame cannot be read.
    """
    shots = shots_of(boards)
    if len(shots) < building.LEAST_SHOTS:
        raise too_few(len(shots))
    header = photo.read_header(frame.path)
    origins, files = zip(*shots, strict=True)
    shape = (header.shape[0], header.shape[1])
    state = Building(board_type, frame, origins, files, str(scratch), shape, tile, cards)
    return make_plan(state, shape[0] * shape[1], header.channels), state


def build(plan: Plan, state: Building, execute: Execute, write: Callable[[Building], Built]) -> Built:
    """Build a reference and write it; its scratch folder is gone afterwards, however it ends."""
    scratch = Path(state.scratch)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        return write(execute(plan, state))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# of a run ---------------------------------------------------------------------------


def folder_of(folder: Path, setting: Setting) -> Path:
    """Where a run keeps the reference of a board type, whose name may be no name of a folder."""
    return folder / FOLDER / digest(setting.board_type.board_type)[:12]


def committed(prepared: Prepared, folder: Path) -> Prepared:
    """The lot with those references that the run's folder holds already."""
    found = {}
    for name, setting in prepared.wanting.items():
        try:
            found[name] = built.read(folder_of(folder, setting), setting.frame)
        except Refusal:
            continue  # not there, or damaged: it is built again, the same bit for bit
    return replace(prepared, references={**prepared.references, **found})


def to_build(prepared: Prepared, folder: Path) -> dict[str, tuple[Plan, Building] | Refusal]:
    """The plan of each reference that is still wanted, or why there can be none."""
    plans: dict[str, tuple[Plan, Building] | Refusal] = {}
    for name, setting in prepared.wanting.items():
        assert setting.frame is not None
        boards = [shots for shots in prepared.scan.usable if shots.board_type == name]
        scratch = folder_of(folder, setting).with_suffix(".scratch")
        try:
            plans[name] = lay_out(setting.board_type, setting.frame, boards, scratch, cards=setting.cards)
        except Refusal as error:
            plans[name] = error
    return plans


def with_references(prepared: Prepared, folder: Path, execute: Execute) -> Prepared:
    """The lot with every reference that it wants: found in the run's folder, or built now.

    A board type whose reference cannot be built is refused with all its boards; the others go on.
    """
    prepared = committed(prepared, folder)
    references, refusals = dict(prepared.references), dict(prepared.refusals)
    for name, planned in to_build(prepared, folder).items():
        place = folder_of(folder, prepared.settings[name])
        try:
            if isinstance(planned, Refusal):
                raise planned
            shutil.rmtree(place, ignore_errors=True)
            references[name] = build(*planned, execute, partial(built.write, place))
        except Refusal as error:
            refusals[name] = error
    return replace(prepared, references=references, refusals=refusals)


def findings_of(prepared: Prepared) -> list[Finding]:
    """The shots that a reference leaves out, as they stand in the report."""
    return [
        Finding(
            "left_out",
            shot["board"],
            (),
            f"the {shot['phase']} shot is not in the reference built from the lot: {shot['reason']}: {shot['message']}",
            "its board is measured all the same; photograph it again if it is refused too",
        )
        for reference in prepared.references.values()
        for shot in reference.left_out
    ]
