"""From configuration to work: everything that is known before a photograph is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from residue_batch import built, photo
from residue_batch.board import Board, Setting, scene_of
from residue_batch.built import Built
from residue_batch.canonical import canonical, digest
from residue_batch.compiler import compile_program
from residue_batch.config import (
    BoardShots,
    BoardType,
    Lot,
    Scan,
    Workflow,
    load_board_type,
    load_lot,
    load_workflow,
    scan,
)
from residue_batch.errors import ConfigError, Problem, Refusal, UsageError
from residue_batch.files import Cards, PhotoFile, flat_field
from residue_batch.outcome import Record, refused
from residue_batch.program import AFTER, BEFORE, PHASES, Program

TILE = 1024
"""Default side of a tile, px."""
TILE_STEP = 64

SCOPES = ("board_type", "lot", "cluster")


def sets_for(sets: Sequence[str], scope: str) -> tuple[str, ...]:
    """The ``key=value`` settings meant for one file.

    ``board_type.gates.min_inliers=50`` is for the board type; keys without
    such a first word are for the workflow.
    """
    start = scope + "."
    if scope == "workflow":
        return tuple(s.removeprefix(start) for s in sets if s.split(".", 1)[0] not in SCOPES)
    return tuple(s.removeprefix(start) for s in sets if s.startswith(start))


@dataclass(frozen=True)
class Prepared:
    """A lot ready to be measured: its boards, and what each board type needs."""

    lot: Lot
    workflow: Workflow
    scan: Scan
    settings: Mapping[str, Setting]
    references: Mapping[str, Built] = field(default_factory=dict)
    """By board type: the references that were built from this lot. They enter keys, not the fingerprint."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """By board type: why no reference could be built; none of its boards is measured."""

    def setting(self, board_type: str) -> Setting:
        """What the boards of a type share, with the reference that was built for it."""
        setting, reference = self.settings[board_type], self.references.get(board_type)
        return replace(setting, golden=reference.picture) if reference else setting

    @property
    def wanting(self) -> dict[str, Setting]:
        """The board types whose reference is still to be built from this lot."""
        return {
            name: setting
            for name, setting in self.settings.items()
            if setting.board_type.reference == "lot" and self.setting(name).golden is None
        }

    @property
    def fingerprint(self) -> str:
        """sha256 of everything that decides numbers, but the photographs."""
        # without the names: they may be paths, and the same lot elsewhere is the same configuration
        return digest(canonical(sorted(canonical(s.canonical) for s in self.settings.values())))

    @property
    def folder_name(self) -> str:
        """The run directory's name: another configuration is another directory."""
        return f"{self.lot.lot}-{self.workflow.workflow}-{self.fingerprint[:8]}"

    @property
    def program(self) -> Program:
        """A program of the lot; all of them have the same measures.

        Raises
        ------
        ConfigError
            If the lot has no board.
        """
        if not self.settings:
            message = f"lot {self.lot.lot!r} has no board"
            raise ConfigError(Problem(message, remedy="see what was found with 'residue lot scan'"))
        return next(iter(self.settings.values())).program

    def boards(self, folder: str | None) -> Iterator[Board]:
        """Every board that has both its shots."""
        # one for all boards of a type: what is made of it is made once
        settings = {name: replace(self.setting(name), folder=folder) for name in self.settings}
        for shots in self.scan.usable:
            if shots.board_type not in self.refusals:
                yield board_of(shots, settings[shots.board_type])

    def unusable(self) -> list[Record]:
        """A refused record for each board that the scan already refuses, or whose type has no reference."""
        records = []
        for shots in self.scan.boards:
            refusal = Refusal(*shots.problem) if shots.problem else self.refusals.get(shots.board_type)
            if refusal:
                setting = self.settings.get(shots.board_type)
                name = setting.board_type.board_type if setting else shots.board_type
                records.append(refused(shots.board, shots.lot, name, "", refusal))
        return records


def board_of(shots: BoardShots, setting: Setting) -> Board:
    """The board of a scan's entry, before anything of it is read."""
    files = {
        BEFORE: PhotoFile(str(shots.before), shots.sha256_before),
        AFTER: PhotoFile(str(shots.after), shots.sha256_after),
    }
    return Board(shots.board, shots.lot, setting, files)


def setting_of(board_type: BoardType, workflow: Workflow, tile: int | None = None, lot: Lot | None = None) -> Setting:
    """Compile the workflow for a board type and hash the photographs it names.

    Parameters
    ----------
    lot
        Whose flat fields stand above those of the board type.

    Raises
    ------
    ConfigError
        With every mistake in either, and with a frame or golden shot that cannot be read.
    UsageError
        For a tile size that is not a multiple of 64.
    """
    tile = tile or TILE
    if tile <= 0 or tile % TILE_STEP:
        raise UsageError(f"tile size {tile} is not a positive multiple of {TILE_STEP}")
    program = compile_program(workflow, reference=board_type.reference, pixel_size_um=board_type.pixel_size_um)
    frame = _photo_file(board_type, "frame" if board_type.frame else "golden", board_type.frame_image)
    golden = _photo_file(board_type, "golden", board_type.golden) if board_type.golden and board_type.frame else None
    if board_type.built is not None:
        golden = _built(board_type, board_type.built, frame)
    return Setting(board_type, program, frame, golden, tile, None, cards=cards_of(board_type, lot))


def cards_of(board_type: BoardType, lot: Lot | None = None) -> Cards:
    """The flat fields of a board type's shots, hashed and looked at; those of a lot stand above them.

    Raises
    ------
    ConfigError
        For a photograph that cannot be read, or that shows no even card.
    """
    found: dict[str, PhotoFile] = {}
    for source in (board_type, lot) if lot else (board_type,):
        given = source.flat_field
        # one card of a lot is that of its shots; the golden shot belongs to the board type
        roles = Cards._fields if source is board_type and board_type.reference == "golden" else PHASES
        files = dict.fromkeys(roles, given) if isinstance(given, str) else given.model_dump() if given else {}
        for role, path in files.items():
            if path is None:
                continue
            try:
                found[role] = PhotoFile(path, photo.hash_file(path).sha256)
                flat_field(board_type, found[role])
            except Refusal as error:
                key = ("flat_field",) if isinstance(given, str) else ("flat_field", role)
                raise ConfigError(source.problem(key, error.message, error.remedy)) from None
    return Cards(**found)


def _photo_file(board_type: BoardType, key: str, path: str | None) -> PhotoFile | None:
    if path is None:
        return None
    try:
        return PhotoFile(path, photo.hash_file(path).sha256)
    except Refusal as error:
        raise ConfigError(board_type.problem((key,), error.message, error.remedy)) from None


def _built(board_type: BoardType, path: str, frame: PhotoFile | None) -> PhotoFile:
    try:
        return built.read(Path(path), frame).picture
    except Refusal as error:
        raise ConfigError(board_type.problem(("built",), error.message, error.remedy)) from None


def check_scene(setting: Setting) -> None:
    """Prepare the scene of a board type once here, so that its mistakes end the run before it starts.

    Raises
    ------
    ConfigError
        If the frame or golden shot cannot be used, or declared areas are not found on it.
    """
    if setting.frame is None:
        return
    try:
        scene_of(setting, None)
    except (Refusal, UsageError) as error:
        remedy = error.remedy if isinstance(error, Refusal) else ""
        message = error.message if isinstance(error, Refusal) else str(error)
        # a message about a region begins with its name
        region = message.partition(":")[0]
        path = ("regions", region) if region in setting.board_type.regions else ("board_type",)
        raise ConfigError(setting.board_type.problem(path, message, remedy, at="key")) from None


def prepare(
    lot: str | Path | Lot,
    workflow: str | Path | Workflow,
    board_type: str | Path | None = None,
    sets: Sequence[str] = (),
    tile: int | None = None,
) -> Prepared:
    """Load, check and compile everything; all mistakes of all files at once.

    Raises
    ------
    ConfigError
        With every mistake that was found.
    """
    problems: list[Problem] = []

    loaded_lot = lot if isinstance(lot, Lot) else None
    loaded_workflow = workflow if isinstance(workflow, Workflow) else None
    try:
        loaded_lot = loaded_lot or load_lot(str(lot), sets_for(sets, "lot"))
    except ConfigError as error:
        problems += error.problems
    try:
        loaded_workflow = loaded_workflow or load_workflow(str(workflow), sets_for(sets, "workflow"))
    except ConfigError as error:
        problems += error.problems
    settings: dict[str, Setting] = {}
    found = None
    if loaded_lot:
        if board_type is not None:
            loaded_lot = loaded_lot.model_copy(update={"board_type": str(board_type)})
        try:
            found = scan(loaded_lot)
            types = _board_types(found)
        except ConfigError as error:
            problems += error.problems
            types = []
        for name in types:
            try:
                loaded = load_board_type(name, sets_for(sets, "board_type"))
                if loaded_workflow:
                    settings[name] = setting_of(loaded, loaded_workflow, tile, loaded_lot)
            except ConfigError as error:
                problems += error.problems
    if problems or loaded_lot is None or loaded_workflow is None or found is None:
        raise ConfigError(tuple(dict.fromkeys(problems)))
    prepared = Prepared(loaded_lot, loaded_workflow, found, settings)
    assert prepared.program
    return prepared


def _board_types(found: Scan) -> list[str]:
    """Board types of a lot; those of refused boards too, so that their rows have columns."""
    if any(not shots.board_type for shots in found.usable):
        raise ConfigError(Problem("the lot names no board type", remedy="add 'board_type:' or give --board-type"))
    return sorted({shots.board_type for shots in found.boards if shots.board_type})
