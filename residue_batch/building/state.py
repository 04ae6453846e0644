"""The state of a reference while it is built, and what its shots are matched to."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from residue_batch import photo
from residue_batch.config import BoardType
from residue_batch.errors import Refusal
from residue_batch.files import NO_CARDS, Cards, PhotoFile, flat_field, read_photo, shade_of
from residue_batch.geometry import Array, Box
from residue_batch.matching.flat import Shade
from residue_batch.matching.light import Light
from residue_batch.matching.quantile import UNSEEN
from residue_batch.matching.registration import Registration
from residue_batch.matching.resample import code_table, linear_table, resample, seen
from residue_batch.recent import Recent
from residue_batch.scene import Scene, scene_of_lot, scene_of_type

LEAST_SHOTS = 6
"""Fewer usable shots build no reference: a low quantile of them may well be residue."""
BLUR = 1.0
"""Blur of the matched shots, px: noise and a tenth of a pixel of misfit would darken a low quantile."""
FEW = "photograph more boards, or use another source: 'reference: golden' with one clean shot"


class Origin(NamedTuple):
    """Whose shot it is."""

    lot: str
    board: str
    phase: str

    def __str__(self) -> str:
        return f"{self.board} {self.phase}"


@dataclass(frozen=True)
class Seen:
    """What became of one shot; ``reason`` is empty where it is used."""

    sha256: str = ""
    registration: Registration | None = None
    light: Light | None = None
    reason: str = ""
    message: str = ""
    places: Array | None = None
    """Only on the way out of the first look: logarithm of the light on a lattice of the frame."""


@dataclass(frozen=True)
class Agreement:
    """How well the shots agree.

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
    cards: Cards = NO_CARDS
    anchor: int = -1
    """The shot whose light the others are brought into; none yet."""
    seen: Mapping[int, Seen] = field(default_factory=dict)
    agreement: Agreement | None = None

    @property
    def used(self) -> tuple[int, ...]:
        """Numbers of the shots that are used."""
        return tuple(index for index in range(len(self.shots)) if index in self.seen and not self.seen[index].reason)

    def path(self, name: str) -> Path:
        return Path(self.scratch) / name

    def write(self, name: str, values: Array) -> None:
        """In one step: a task may run twice."""
        with tempfile.NamedTemporaryFile(dir=self.scratch, suffix=".partial", delete=False) as file:
            np.save(file, values)
        Path(file.name).replace(self.path(name))


def enough(state: Building) -> Building:
    """The same building, if its shots are enough.

    Raises
    ------
    Refusal
        ``lot_reference``
    """
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


# what shots are matched to ----------------------------------------------------------

_grounds: Recent[Scene] = Recent(1)


def ground_of(state: Building) -> Scene:
    """What shots are matched to now: the frame, then the cleanest shot in the frame."""

    def prepare() -> Scene:
        frame = read_photo(state.board_type, state.frame)
        if state.anchor < 0:
            return scene_of_type(state.board_type, frame, None, BLUR)
        code, valid, shade = _anchor_of(state)
        return scene_of_lot(state.board_type, frame, photo.Photo(code, valid, frame.header, "", "srgb"), BLUR, shade)

    key = (state.scratch, state.shots, state.anchor, state.frame.sha256, state.board_type.identity(), state.cards)
    return _grounds.get(key, prepare)


def shade_in(state: Building, index: int, shot: photo.Photo, found: Registration) -> Shade | None:
    """The flat field of one of the shots, if there is one."""
    phase = state.origins[index].phase
    flat = flat_field(state.board_type, getattr(state.cards, phase))
    return shade_of(flat, shot, found.transform, f"{phase} shot")


def _anchor_of(state: Building) -> tuple[Array, Array, Shade | None]:
    shot, found = read_photo(state.board_type, state.shots[state.anchor]), state.seen[state.anchor].registration
    assert found is not None
    light, valid = resampled(shot, found, Box.whole(state.shape))
    return code_table(np.uint16, "srgb")[np.moveaxis(light, 0, -1)], valid, shade_in(state, state.anchor, shot, found)


def found_of(state: Building) -> tuple[Array, Array]:
    """What was found: (h, w, C) uint16 sRGB code, and (h, w) bool where enough shots show the board."""
    light = np.load(state.path("found.npy"))
    valid = (light != UNSEEN).any(2)
    return code_table(np.uint16, "srgb")[light], valid


def resampled(shot: photo.Photo, found: Registration, box: Box) -> tuple[Array, Array]:
    """Linear light of a box of the frame, (C, h, w) uint16, and where the shot shows it."""
    light = resample(shot.pixels, found.transform, box, linear_table(shot.pixels.dtype, shot.tone))
    return light, seen(shot.pixels.shape, shot.valid, found.transform, box)
