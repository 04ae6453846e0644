"""One board, stage by stage: open, match, fit, measure. Both executors call these functions.

A ``Board`` is the small, frozen, picklable state that travels between tasks;
pixels never do. Each process keeps the few photographs and scenes it last
used (``recent``), so a stage that needs pixels reads them where it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from residue_batch import photo, store
from residue_batch.areas import outline_mask
from residue_batch.canonical import canonical, digest
from residue_batch.config import BoardType
from residue_batch.errors import Refusal, ResidueError
from residue_batch.evidence import evidence_tile
from residue_batch.files import NO_CARDS, Cards, PhotoFile, flat_field, read_photo, read_reference, shade_of
from residue_batch.gates import clock_of, gate_copies, gate_exposure, gate_focus, gate_grid, gate_light, gate_match
from residue_batch.geometry import Array, Box, Transform, tiles
from residue_batch.laps import Spent, lapped
from residue_batch.layout import Layout, layout
from residue_batch.matching.flat import Shade
from residue_batch.matching.forensics import diagnose
from residue_batch.matching.light import Light, same_light
from residue_batch.matching.lights import agreed, lights_of
from residue_batch.matching.quality import Quality, quality_of
from residue_batch.matching.registration import Registration, grey, register
from residue_batch.matching.resample import linear_table, tables_of
from residue_batch.matching.samples import sample_light
from residue_batch.outcome import Record, conclude
from residue_batch.passes import Relay, left_by, relayed
from residue_batch.picture import change_level, scale_of, write_picture
from residue_batch.program import AFTER, AS_TAKEN, BEFORE, PHASES, Key, Pass, Program
from residue_batch.recent import Recent
from residue_batch.scene import Scene, scene_as_taken, scene_of_lot, scene_of_pair, scene_of_type
from residue_batch.stages import Plan, make_plan, profiled
from residue_batch.step import floats
from residue_batch.tally import Tally, count, merge, select
from residue_batch.tile import Sources, View, cut, fit_tile, measure_tile, run_on, thumbnail_tile, walk


@dataclass(frozen=True)
class Setting:
    """What all boards of a type in one run share."""

    board_type: BoardType
    program: Program
    frame: PhotoFile | None
    golden: PhotoFile | None
    """The clean reference where it is another file than the frame: the golden shot, or one built from a lot."""
    tile: int
    folder: str | None
    """Where kept planes and thumbnails go; None for nowhere."""
    thumb: int = 512
    """Longest side of a thumbnail, px; 0 for none."""
    cards: Cards = NO_CARDS

    @cached_property
    def relays(self) -> tuple[tuple[Relay, ...], ...]:
        """The program's passes as they are run, for shots of other depths and of 8 bit."""
        return tuple(relayed(self.program.passes, codes=codes) for codes in (False, True))

    @cached_property
    def canonical(self) -> dict[str, Any]:
        """What of it decides the numbers."""
        return {
            "board_type": self.board_type.identity(),
            "regions": self.board_type.region_names,
            "frame": self.frame.sha256 if self.frame else None,
            "golden": self.golden.sha256 if self.golden else None,
            "program": self.program.canonical,
            **({"flat_field": self.cards.sha256} if any(self.cards) else {}),
        }


@dataclass(frozen=True)
class Match:
    """How a shot lies in the frame and in which light it was taken."""

    registration: Registration | None
    light: Light | None
    quality: Quality | None = None
    even: Light | None = None
    """The light without a field that may hold instead; gone once both shots are matched."""

    @property
    def transform(self) -> Transform:
        return self.registration.transform if self.registration else Transform()


@dataclass(frozen=True)
class Board:
    """The state of a board between stages."""

    name: str
    lot: str
    setting: Setting
    shots: Mapping[str, PhotoFile]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    matches: Mapping[str, Match] = field(default_factory=dict)
    fits: Mapping[Key, Any] = field(default_factory=dict)
    record: Record | None = None
    spent: Spent | None = None
    """What it cost up to here, where a profile is wanted; None: nothing is counted."""

    @cached_property
    def key(self) -> str:
        """sha256 of everything that decides this board's record; needs the shots' sha256."""
        return board_key(self.name, self.lot, self.setting, {p: s.sha256 or "" for p, s in self.shots.items()})


def board_key(name: str, lot: str, setting: Setting, sha256: Mapping[str, str]) -> str:
    """The key of a board: board, lot, type, program, frame, reference and shots."""
    return digest(canonical({"board": name, "lot": lot, "shots": dict(sha256), **setting.canonical}))


# what a process keeps ------------------------------------------------------------

_photos: Recent[photo.Photo] = Recent(2)
_scenes: Recent[Scene] = Recent(1)


def forget_photographs() -> None:
    """Let go of the decoded shots: the board is done."""
    _photos.clear()
    photo.forget_files()


def _shade(board: Board, phase: str, shot: photo.Photo, transform: Transform) -> Shade | None:
    setting = board.setting
    flat = flat_field(setting.board_type, getattr(setting.cards, phase))
    return shade_of(flat, shot, transform, f"{phase} shot")


def _read(board_type: BoardType, file: PhotoFile) -> photo.Photo:
    return _photos.get((file.path, file.sha256), lambda: read_photo(board_type, file))


def _shot(board: Board, phase: str) -> photo.Photo:
    return _read(board.setting.board_type, board.shots[phase])


def scene_of(setting: Setting, before: PhotoFile | None) -> Scene:
    """The scene of a setting; without a clean reference, of this board's before-shot."""
    board_type, blur, cards = setting.board_type, setting.program.blur, setting.cards
    own = before if board_type.reference == "pair" else None
    taken = board_type.reference == AS_TAKEN
    # boards as taken whose shots have one size share a scene
    size = _read(board_type, before).pixels.shape if taken and before and not setting.frame else ()

    def prepare() -> Scene:
        frame = read_photo(board_type, setting.frame) if setting.frame else None
        if own is not None:
            return scene_of_pair(board_type, frame, _read(board_type, own), blur, flat_field(board_type, cards.before))
        if taken:
            return scene_as_taken(board_type, frame, frame.pixels.shape if frame else size)
        assert frame is not None
        if board_type.reference == "lot" and setting.golden:
            return scene_of_lot(board_type, frame, read_reference(setting.golden), blur)
        if board_type.reference == "lot" and before is not None:
            raise ResidueError(f"board type {board_type.board_type}: its reference has not been built from a lot yet")
        golden = read_photo(board_type, setting.golden) if setting.golden else None
        flat = flat_field(board_type, cards.golden) if board_type.reference == "golden" else None
        return scene_of_type(board_type, frame, golden, blur, flat)

    key = (setting.canonical["board_type"], setting.frame, setting.golden, blur, own, cards, size)
    return _scenes.get(key, prepare)


@lapped("scene")
def _scene(board: Board) -> Scene:
    return scene_of(board.setting, board.shots[BEFORE])


# open ----------------------------------------------------------------------------


def open_shot(board: Board, phase: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Read, hash, check and decode one shot; what it hashes to and its shape."""
    file, setting = board.shots[phase], board.setting
    # first: its photograph is gone before the shot comes
    flat_field(setting.board_type, getattr(setting.cards, phase))
    shot = read_photo(setting.board_type, file)
    _photos.get((file.path, shot.sha256), lambda: shot)
    return {phase: (shot.sha256, shot.pixels.shape)}


def opened(board: Board, part: Mapping[str, tuple[str, tuple[int, ...]]]) -> Board:
    """The board with the hashes of its shots; refuses two that cannot be compared."""
    shots = {phase: replace(board.shots[phase], sha256=part[phase][0]) for phase in PHASES}
    shapes = {phase: part[phase][1] for phase in PHASES}
    if shots[BEFORE].sha256 == shots[AFTER].sha256:
        raise Refusal("same_photo", "before and after are the same photograph", "give the shot taken after cleaning")
    if shapes[BEFORE][2] != shapes[AFTER][2]:
        raise Refusal("colour", "one shot is grey and the other in colour", "photograph both phases alike")
    return replace(board, shots=shots, shapes=shapes)


# match ---------------------------------------------------------------------------


def match_shot(board: Board, phase: str) -> dict[str, Match | Refusal]:
    """Register one shot to the frame, find its light and judge how it was taken.

    What is wrong with the shot comes back as a value: which of two refusals counts must not depend on which task ends
    first.
    """
    try:
        return {phase: _matched(board, phase)}
    except Refusal as error:
        return {phase: _diagnosed(board, phase, error) if error.reason == "registration" else error}


def _matched(board: Board, phase: str) -> Match:
    scene, shot, gates = _scene(board), _shot(board, phase), board.setting.board_type.gates
    if scene.target is None or scene.anchors is None:  # as taken
        gate_grid(phase, shot.pixels.shape, (*scene.shape, scene.channels))
        return Match(None, None)
    if shot.pixels.shape[2] != scene.channels:
        raise Refusal("colour", f"the {phase} shot and the frame are not both grey or both colour", "take both alike")
    pair = board.setting.board_type.reference == "pair"
    own, seen = phase == BEFORE and pair, grey(shot.pixels)
    found = scene.registration if own else register(seen, scene.target)
    transform = found.transform if found else Transform()
    quality = quality_of(shot.pixels, seen, transform, scene.details, scene.points)
    gate_focus(gates, phase, found, quality)
    gate_match(gates, phase, found, shot.pixels.shape, scene.shape)
    gate_exposure(gates, phase, quality)
    if own:
        light, even = same_light(scene.shape, scene.channels), None
    else:
        table = linear_table(shot.pixels.dtype, shot.tone)
        shade = _shade(board, phase, shot, transform)
        samples = sample_light(shot.pixels, table, transform, scene.anchors, scene.shape, scene.patch, shade)
        light, even = lights_of(samples, scene.white, white_assumed=scene.white_assumed, pair=pair)
    return Match(found, light, quality, even)


def _diagnosed(board: Board, phase: str, error: Refusal) -> Refusal:
    """Why a shot does not fit the frame; looked into only when it does not."""
    board_type = board.setting.board_type
    file = board.setting.frame or board.shots[BEFORE]
    if file == board.shots[phase]:
        return error
    frame = read_photo(board_type, file).pixels
    mask = outline_mask(board_type, (frame.shape[0], frame.shape[1]))
    least = board_type.gates.min_inliers
    return diagnose(_shot(board, phase).pixels, frame, mask, f"{phase} shot", error.message, min_inliers=least)


def matched(board: Board, part: Mapping[str, Match | Refusal]) -> Board:
    """The board with its matches; refuses a shot or a pair outside the gates."""
    matches = {}
    for phase in PHASES:
        found = part[phase]
        if isinstance(found, Refusal):
            raise found
        matches[phase] = found
    gates, paths = board.setting.board_type.gates, [board.shots[phase].path for phase in PHASES]
    lights = agreed([matches[phase].light for phase in PHASES], [matches[phase].even for phase in PHASES])
    for phase, light in zip(PHASES, lights, strict=True):
        if light:
            gate_light(gates, phase, light)
        matches[phase] = replace(matches[phase], light=light, even=None)
    relative = Transform.of(matches[AFTER].transform.array @ np.linalg.inv(matches[BEFORE].transform.array))
    gate_copies(gates, relative, board.shapes[BEFORE], lambda: [_shot(board, p).pixels for p in PHASES], paths)
    if board.setting.folder and board.setting.program.keep:
        store.create(store_path(board), layout_of(board, _scene(board).shape))
    return replace(board, matches=matches)


# fit and measure -----------------------------------------------------------------


def sources_of(board: Board) -> Sources:
    """What the built-in planes of a matched board are made of; its pixels are read here if need be."""
    views = {}
    for phase in PHASES:
        shot, match = _shot(board, phase), board.matches[phase]
        tables = tables_of(shot.pixels.dtype.str, shot.tone)
        shade = _shade(board, phase, shot, match.transform)
        views[phase] = View(shot.pixels, shot.valid, *tables, match.transform, match.light, shade)
    return Sources(board.setting.program, _scene(board), views)


def fit(board: Board, item: tuple[int, Box]) -> Tally:
    """One tile of pass ``item[0]``; the tally names its pass."""
    number, tile = item
    setting, sources = board.setting, sources_of(board)
    planes = run_on(setting.relays[sources.codes], number, sources, tile, tile, board.fits)
    return fit_tile(sources, tile, setting.program.passes[number].fits, planes)


def fitted(board: Board, tally: Tally) -> Board:
    """The board with the values that this pass's fits decide."""
    program = board.setting.program
    number = next(i for i, p in enumerate(program.passes) if p.fits and p.fits[0] not in board.fits)
    shape, nodes = _scene(board).shape, program.nodes
    fits = dict(board.fits)
    for key in program.passes[number].fits:
        step = nodes[key].step
        assert step is not None
        fits[key] = step.decide(select(tally, str(key)), shape)
    return replace(board, fits=fits)


def measure(board: Board, tile: Box) -> Tally:
    """One tile of the last pass: its numbers and thumbnails, where the board is, and what is kept, if it is not yet."""
    setting, sources = board.setting, sources_of(board)
    program, inner = setting.program, tile.intersect(sources.scene.extent)
    box = tile if program.keep else inner
    planes = run_on(setting.relays[sources.codes], len(program.passes) - 1, sources, tile, box, board.fits)
    tally: Tally = {"tiles": count(1)}
    if inner.pixels:
        here = {key: cut(plane, box, inner) for key, plane in planes.items()}
        tally |= measure_tile(sources, inner, here) | evidence_tile(sources, inner, here)
        if setting.folder and setting.thumb:
            tally |= thumbnail_tile(sources, inner, here, scale_of(sources.scene.extent, setting.tile, setting.thumb))
    if setting.folder and program.keep and not store.is_complete(store_path(board)):
        tally |= store.write_tile(store_path(board), layout_of(board, sources.scene.shape), tile, planes)
    return tally


def measured(board: Board, tally: Tally) -> Board:
    """The board with its record; every tile must be accounted for."""
    setting, scene = board.setting, _scene(board)
    clock = clock_of(*(board.shots[phase].path for phase in PHASES))
    record = conclude(board, scene, tally, sum(1 for _ in tiles(scene.shape, setting.tile)), clock)
    if setting.folder:
        if setting.thumb:
            scale = scale_of(scene.extent, setting.tile, setting.thumb)
            level = change_level(setting.program, record["values"])
            write_picture(Path(setting.folder) / f"{record['key']}.jpg", scene.extent, scale, tally, level)
        # the task may run again when its worker died after it was done
        if setting.program.keep and not store.is_complete(store_path(board)):
            store.close(store_path(board), layout_of(board, scene.shape), tally)
    return replace(board, record=record)


# what a board leaves in the run's folder -----------------------------------------


def store_path(board: Board) -> Path:
    """Where the board's kept planes go."""
    assert board.setting.folder is not None
    return Path(board.setting.folder) / f"{board.key}.zarr"


def layout_of(board: Board, shape: tuple[int, int]) -> Layout:
    """The arrays of the board's store."""
    program, nodes = board.setting.program, board.setting.program.nodes
    keep = tuple((key, nodes[key].kind) for key in program.keep)
    return layout(shape, keep, board.setting.tile, board.setting.board_type.pixel_size_um, program.codes)


def plan_board(board: Board) -> Plan:
    """The plan of a board, from the headers of its photographs.

    Raises
    ------
    Refusal
        If a header cannot be read.
    """
    headers = [photo.read_header(board.shots[phase].path) for phase in PHASES]
    frame = photo.read_header(board.setting.frame.path) if board.setting.frame else headers[0]
    codes = all(header.dtype == "uint8" for header in headers)
    plan = make_plan(
        board.setting.program,
        (frame.shape[0], frame.shape[1]),
        frame.channels,
        sum(header.nbytes for header in headers),
        sum(header.shape[0] * header.shape[1] for header in headers),
        board.setting.tile,
        codes,
        left_by(board.setting.relays[codes]),
        sys.modules[__name__],
    )
    return plan if board.spent is None else profiled(plan)


def union(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Parts of different phases together."""
    return {**left, **right}


add = merge


def every_plane(board: Board, visit: Pass, tile: Box) -> dict[Key, Array]:
    """All planes of a measured board on one tile, also those that are forgotten on the way."""
    every = replace(visit, frees=((),) * len(visit.nodes))
    return {key: floats(plane) for key, plane in walk(every, sources_of(board), tile, board.fits).items()}
