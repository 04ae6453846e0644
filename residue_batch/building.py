"""The reference of a board type out of the shots of a lot, stage by stage.

    look at shots -> (match shots -> combine tiles) x 2

Every shot, before and after, is laid over the frame and brought into one light; a pixel's clean
colour is then found over the boards, since residue only ever brightens it. The first round is
matched to the shot that looks cleanest, not to the frame image, which may be soiled all over; the
second to what the first one found. A shot is decoded once per stage: its task writes it, matched,
into a scratch folder, and the tiles' tasks read their part of every shot. So no task holds more
than one photograph, or one tile of all.

A ``Building`` is the state that travels between tasks, as a ``Board`` is for a board; both
executors run it by the same plan.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from residue_batch import photo
from residue_batch.board import PhotoFile, read_photo
from residue_batch.config import BoardType
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, tiles
from residue_batch.matching.light import Light, fit_light
from residue_batch.matching.quantile import HALO, SPREAD_ONE, UNSEEN, cleanest, cleanness, low_quantile, spread
from residue_batch.matching.registration import Registration, register
from residue_batch.matching.resample import blur, blur_radius, code_table, linear_table, resample
from residue_batch.matching.samples import sample_light
from residue_batch.outcome import gate_match
from residue_batch.recent import Recent
from residue_batch.scene import IGNORED, Scene, scene_of_lot, scene_of_type
from residue_batch.stages import BASE_BYTES, TARGET_BYTES, Plan, Stage
from residue_batch.tally import Tally, merge

METHOD = 1
"""The version of the method: another one gives another reference."""
ROUNDS = 2
LEAST_SHOTS = 6
"""Fewer usable shots build no reference: a low quantile of them may well be residue."""
MOST_SHOTS = 64
"""More shots than this add cost and no accuracy; boards are then drawn evenly."""
LEAST_SEEN = 3
"""A pixel that fewer shots show stays unknown."""
BLUR = 1.0
"""Blur of the matched shots, px: noise and a tenth of a pixel of misfit would darken a low quantile."""

LOOK_BLUR = 3.0
BRIGHT = 0.8
"""Light above which a place may be glare and says nothing of contrast."""
WINDOW = 8
"""Places per side of the windows whose contrast is compared."""
STRIP = 512

BLURRED_PX2 = 2.0
"""A shot whose blur has this much more variance (frame px^2) than that of the median shot is left out."""
OUTLYING = 2.5
"""So is one whose light leaves this many times the misfit of the median shot, and more than `MISFIT`."""
MISFIT = 0.05
MOST_SPREAD = 0.05
"""Shots disagree when a pixel's low quantile lies this much opacity below its quarter of shots, on average."""

FEW = "photograph more boards, or use another source: 'reference: golden' with one clean shot"
MATCH_SECONDS = (0.3, 150e-9)
"""Seconds of one core per shot and round, and per pixel of it: an estimate."""
COMBINE_SECONDS = 100e-9
"""Seconds of one core per pixel and shot: an estimate."""


class Origin(NamedTuple):
    """Whose shot it is."""

    lot: str
    board: str
    phase: str

    def __str__(self) -> str:
        return f"{self.board} {self.phase}"


@dataclass(frozen=True)
class Seen:
    """What became of one shot in one round; ``reason`` is empty where it is used."""

    sha256: str = ""
    registration: Registration | None = None
    light: Light | None = None
    reason: str = ""
    message: str = ""
    places: Array | None = None
    """Only on the way out of the first look: logarithm of the light on a lattice of the frame."""


@dataclass(frozen=True)
class Agreement:
    """How well the shots agree in the last round.

    Attributes
    ----------
    spread
        Mean opacity, over the outline, between the reference and the lower quarter of the shots.
    unseen_pct
        Share of the outline that too few shots show.
    """

    spread: float
    unseen_pct: float


@dataclass(frozen=True)
class Building:
    """The state of a reference between stages; ``scratch`` is a folder that all workers reach."""

    board_type: BoardType
    frame: PhotoFile
    origins: tuple[Origin, ...]
    shots: tuple[PhotoFile, ...]
    scratch: str
    shape: tuple[int, int]
    tile: int
    round: int = 0
    anchor: int = -1
    """The shot that the first round is matched to."""
    seen: Mapping[int, Seen] = field(default_factory=dict)
    agreement: Agreement | None = None

    @property
    def used(self) -> tuple[int, ...]:
        """Numbers of the shots that are used."""
        return tuple(index for index in range(len(self.shots)) if index in self.seen and not self.seen[index].reason)

    def path(self, name: str) -> Path:
        return Path(self.scratch) / name


# what shots are matched to ----------------------------------------------------------

_grounds: Recent[Scene] = Recent(1)


def _ground(state: Building) -> Scene:
    """What shots are matched to now: the frame, then the cleanest shot, then what the last round found."""

    def prepare() -> Scene:
        frame = read_photo(state.board_type, state.frame)
        if state.anchor < 0:
            return scene_of_type(state.board_type, frame, None, BLUR)
        code, valid = _anchor_of(state) if state.round == 0 else found_of(state)
        return scene_of_lot(state.board_type, frame, photo.Photo(code, valid, frame.header, "", "srgb"), BLUR)

    key = (state.scratch, state.anchor, state.round, state.frame.sha256, state.board_type.identity())
    return _grounds.get(key, prepare)


def _anchor_of(state: Building) -> tuple[Array, Array]:
    shot, found = read_photo(state.board_type, state.shots[state.anchor]), state.seen[state.anchor].registration
    assert found is not None
    light, valid = _resampled(shot, found, Box.whole(state.shape))
    return code_table(np.uint16, "srgb")[light], valid


def found_of(state: Building) -> tuple[Array, Array]:
    """What the last round found: (h, w, C) uint16 sRGB code, and (h, w) bool where enough shots show the board."""
    light = np.load(state.path(f"found-{state.round - 1}.npy"))
    valid = (light != UNSEEN).any(2)
    return code_table(np.uint16, "srgb")[light], valid


def _resampled(shot: photo.Photo, found: Registration, box: Box) -> tuple[Array, Array]:
    """Linear light of a box of the frame, (h, w, C) uint16, and where the shot shows it."""
    light, valid = resample(shot.pixels, found.transform, box, linear_table(shot.pixels.dtype, shot.tone))
    if shot.valid is not None:
        opaque, _ = resample(shot.valid.astype(np.uint8) * 255, found.transform, box)
        valid = valid & (opaque.reshape(valid.shape) == 255)
    return light, valid


# look -------------------------------------------------------------------------------


def look(state: Building, index: int) -> dict[int, Seen]:
    """Lay one shot over the frame and take its light on a lattice. A shot that cannot be used says why."""
    return _guarded(state, index, _looked_at)


def _guarded(state: Building, index: int, see: Callable[[Building, int], Seen]) -> dict[int, Seen]:
    before = state.seen.get(index, Seen())
    if before.reason:
        return {index: before}
    try:
        return {index: see(state, index)}
    except Refusal as error:
        # without folders: provenance does not depend on where the lot lies
        file = state.shots[index]
        message = error.message.replace(file.path, Path(file.path).name)
        return {index: replace(before, reason=error.reason, message=message)}


def _registered(state: Building, index: int) -> tuple[photo.Photo, Registration]:
    ground, board_type = _ground(state), state.board_type
    shot = read_photo(board_type, state.shots[index])
    if shot.pixels.shape[2] != ground.channels:
        raise Refusal("colour", "the shot and the frame are not both grey or both colour")
    found = register(shot.pixels, ground.target)
    gate_match(board_type.gates, state.origins[index].phase, found)
    return shot, found


def _lattice(shape: tuple[int, int]) -> tuple[slice, int]:
    """Every how many px, from the first on, places are looked at: about 16,000 of them."""
    pitch = max(4, math.ceil((shape[0] * shape[1] / 16384) ** 0.5))
    return slice(pitch // 2, None, pitch), pitch


def _looked_at(state: Building, index: int) -> Seen:
    shot, found = _registered(state, index)
    light, valid = _resampled(shot, found, Box.whole(state.shape))
    at, _ = _lattice(state.shape)
    seen = blur(light, LOOK_BLUR)[at, at].astype(np.float32) / np.float32(UNSEEN)
    places = np.log(np.maximum(seen, np.float32(0.002))).mean(2)
    places[~valid[at, at] | (seen > BRIGHT).any(2)] = np.nan
    return Seen(shot.sha256, found, places=places)


def looked(state: Building, part: Mapping[int, Seen]) -> Building:
    """The building with the shot that looks cleanest as its first anchor; copies are left out.

    Raises
    ------
    Refusal
        ``lot_reference``: too few shots are left.
    """
    seen = dict(sorted(part.items()))
    first: dict[str, int] = {}
    for index, one in seen.items():
        if not one.reason and first.setdefault(one.sha256, index) != index:
            message = f"the same photograph as {state.origins[first[one.sha256]]}"
            seen[index] = replace(one, reason="duplicate", message=message)
    at, _ = _lattice(state.shape)
    bits = _ground(state).mask[at, at]
    inside = (bits & 1 > 0) & (bits & IGNORED == 0)
    rows, columns = np.indices(inside.shape) // WINDOW
    window = (rows * inside.shape[1] + columns)[inside]
    bare = {index: replace(one, places=None) for index, one in seen.items()}
    state = _enough(replace(state, seen=bare))
    places = np.stack([places[inside] for i in state.used if (places := seen[i].places) is not None])
    return replace(state, anchor=state.used[int(cleanness(places, window).argmax())])


def _enough(state: Building) -> Building:
    if len(state.used) < LEAST_SHOTS:
        raise too_few(len(state.used), [(state.origins[i], one) for i, one in state.seen.items() if one.reason])
    return state


def too_few(usable: int, left_out: Sequence[tuple[Origin, Seen]] = ()) -> Refusal:
    """No reference from so few shots."""
    message = f"{usable} usable shots; a reference built from the lot needs {LEAST_SHOTS}"
    if left_out:
        named = "; ".join(f"{origin}: {seen.reason}" for origin, seen in left_out[:8])
        more = f"; and {len(left_out) - 8} more" if len(left_out) > 8 else ""
        message += f" (left out: {named}{more})"
    return Refusal("lot_reference", message, FEW)


# match ------------------------------------------------------------------------------


def match(state: Building, index: int) -> dict[int, Seen]:
    """Find the light of one shot and write it, matched, into the scratch folder."""
    return _guarded(state, index, _matched)


def _matched(state: Building, index: int) -> Seen:
    ground = _ground(state)
    shot, found = _registered(state, index)
    table = linear_table(shot.pixels.dtype, shot.tone)
    samples = sample_light(shot.pixels, table, found.transform, ground.anchors, ground.shape)
    light = fit_light(samples, ground.white, white_assumed=ground.white_assumed)
    _write(state, f"shot-{index}.npy", _in_light(shot, found, light, ground))
    return Seen(shot.sha256, found, light)


def _in_light(shot: photo.Photo, found: Registration, light: Light, ground: Scene) -> Array:
    """(h, w, C) uint16: the shot in the frame, in the light of the ground and as sharp; `UNSEEN` outside of it."""
    whole = Box.whole(ground.shape)
    result = np.empty((*ground.shape, ground.channels), np.uint16)
    sigma, gain = light.sigma(BLUR), np.array(light.gain, np.float32)
    for strip in tiles(ground.shape, STRIP):
        outer = strip.grow(blur_radius(1.5 * BLUR), whole)
        pixels, valid = _resampled(shot, found, outer)
        seen = strip.crop(blur(pixels, sigma), outer) / gain
        seen /= light.divisor(strip)
        here = result[strip.within(whole)]
        here[...] = np.clip(np.rint(seen), 0, UNSEEN - 1)
        here[~strip.crop(valid, outer)] = UNSEEN
    return result


def _write(state: Building, name: str, values: Array) -> None:
    """In one step: a task may run twice."""
    path = state.path(name)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
        np.save(file, values)
    Path(file.name).replace(path)


def matched(state: Building, part: Mapping[int, Seen]) -> Building:
    """The building with its matched shots held against each other: blurred and outlying ones are left out.

    Raises
    ------
    Refusal
        ``lot_reference``: too few are left.
    """
    seen = dict(sorted(part.items()))
    good = {index: one.light for index, one in seen.items() if not one.reason and one.light is not None}
    if good:
        blurs = float(np.median([light.extra_blur for light in good.values()]))
        misfit = float(np.median([light.residual for light in good.values()]))
        for index, light in good.items():
            if light.extra_blur > blurs + BLURRED_PX2:
                message = f"blurred by {(light.extra_blur - blurs) ** 0.5:.1f} px more than the median shot"
                seen[index] = replace(seen[index], reason="blurred", message=message)
            elif not light.residual <= max(OUTLYING * misfit, MISFIT):
                message = f"its light leaves {light.residual:.3f}, that of the median shot {misfit:.3f}"
                seen[index] = replace(seen[index], reason="outlying", message=message)
    return _enough(replace(state, seen=seen))


# clean colour -----------------------------------------------------------------------


def combine(state: Building, tile: Box) -> Tally:
    """The clean colour of one tile, into the scratch folder; in the last round also how well the shots agree."""
    whole, ground = Box.whole(state.shape), _ground(state)
    outer = tile.grow(HALO, whole)
    stack = np.stack([_part(state, index, outer) for index in state.used])
    low = low_quantile(stack, least=LEAST_SEEN)
    inner = tile.crop(cleanest(stack, low, ground.white, least=LEAST_SEEN), outer)
    _write(state, f"tile-{state.round}-{tile.top}-{tile.left}.npy", np.ascontiguousarray(inner))
    if state.round < ROUNDS - 1:
        return {}
    bits = ground.bits(tile)
    where = (bits & 1 > 0) & (bits & IGNORED == 0)
    return spread(np.stack([tile.crop(shot, outer) for shot in stack]), inner, ground.white, where)


def _part(state: Building, index: int, box: Box) -> Array:
    """One box of one shot; the rest of its file is never read."""
    shot = np.load(state.path(f"shot-{index}.npy"), mmap_mode="r")
    return np.array(shot[box.within(Box.whole(state.shape))])


def combined(state: Building, tally: Tally) -> Building:
    """The building with its round done: the tiles are one image, the matched shots are gone.

    Raises
    ------
    Refusal
        ``lot_reference``: the shots disagree.
    """
    boxes = list(tiles(state.shape, state.tile))
    parts = {box: np.load(state.path(f"tile-{state.round}-{box.top}-{box.left}.npy")) for box in boxes}
    light = np.empty((*state.shape, next(iter(parts.values())).shape[2]), np.uint16)
    for box, part in parts.items():
        light[box.within(Box.whole(state.shape))] = part
    _write(state, f"found-{state.round}.npy", light)
    state = replace(state, round=state.round + 1)
    return replace(state, agreement=_agreement(tally)) if tally else state


def _agreement(tally: Tally) -> Agreement:
    pixels, counted = int(tally["pixels"]), int(tally["counted"])
    found = Agreement(
        spread=int(tally["spread"]) / SPREAD_ONE / counted if counted else float("nan"),
        unseen_pct=100 * int(tally["unseen"]) / pixels if pixels else 100.0,
    )
    # 'not within': what could not be found is outside
    if not found.spread <= MOST_SPREAD:
        raise Refusal(
            "lot_reference",
            f"the shots disagree: a quarter of them lies {found.spread:.3f} of opacity above the cleanest "
            f"(at most {MOST_SPREAD:g}); either hardly a shot is clean, or they show boards that differ",
            "add boards that were cleaned well, keep other board versions out, or give one clean shot: "
            "'reference: golden'",
        )
    return found


# the plan ---------------------------------------------------------------------------


def make_plan(state: Building, pixels: int, channels: int) -> Plan:
    """The stages of a reference, with their cost.

    Parameters
    ----------
    pixels, channels
        Of one shot.
    """
    here: Any = sys.modules[__name__]
    boxes, frame = tuple(tiles(state.shape, state.tile)), state.shape[0] * state.shape[1]
    count = len(state.shots)
    per_shot = MATCH_SECONDS[0] + MATCH_SECONDS[1] * pixels
    per_tile = 0.005 + COMBINE_SECONDS * count * frame / len(boxes)
    stages = [Stage("look", here.look, tuple(range(count)), here.union, here.looked, per_shot)]
    for number in range(1, ROUNDS + 1):
        stages += [
            Stage(f"match {number}", here.match, tuple(range(count)), here.union, here.matched, per_shot),
            Stage(f"combine {number}", here.combine, boxes, merge, here.combined, per_tile),
        ]
    # a shot, the ground it is matched to, and the shot in the frame; or one tile of every shot, and its order
    matching = pixels * channels * 2 + frame * (4 + 7 * channels)
    combining = frame * (4 + 7 * channels) + count * min(state.tile, max(state.shape)) ** 2 * (4 * channels + 14)
    peak = BASE_BYTES + TARGET_BYTES + max(matching, combining)
    return Plan(tuple(stages), state.shape, state.tile, count * pixels, peak)


def union(left: Mapping[int, Seen], right: Mapping[int, Seen]) -> dict[int, Seen]:
    """Parts of different shots together."""
    return {**left, **right}
