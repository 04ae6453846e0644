"""The small picture of a board for the report: before | after | where the residue is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from residue_batch.errors import ResidueError, UsageError
from residue_batch.geometry import Array, Box
from residue_batch.program import AFTER, BEFORE, PHASES, Program
from residue_batch.scene import GRID, ignored_bit
from residue_batch.tally import Tally, select

RESIDUE = (230, 30, 140)
REMOVED = (40, 190, 90)
HIDDEN = (70, 110, 230)
NEW = (255, 170, 0)
"""RGB of what remains, of what is gone, of what could not be seen, and of what was not there before."""

REGION_COLOURS = ((255, 210, 0), (255, 80, 200), (0, 220, 255), (150, 255, 80), (255, 140, 60))

QUALITY = 82
_FULL_OPACITY = 0.25  # of white: the overlay is opaque from here on
_FAINT = 0.025  # opacity from which residue is painted


def scale_of(extent: Box, tile: int, longest: int) -> int:
    """Frame pixels per pixel of a picture at most ``longest`` long: a power of two that divides tile and grid."""
    scale = 1
    while max(extent.shape) > longest * scale and tile % (2 * scale) == GRID % (2 * scale) == 0:
        scale *= 2
    return scale


def assemble(tally: Tally, picture: str, extent: Box, scale: int) -> Array | None:
    """Put a picture of a part of the frame together from its tiles; None if it was not made."""
    parts = select(tally, f"thumb/{picture}")
    if not parts:
        return None
    first = next(iter(parts.values()))
    height, width = (-(-size // scale) for size in extent.shape)
    whole = np.zeros((height, width, *first.shape[2:]), np.uint8)
    for place, part in parts.items():
        top, left = ((int(v) - first) // scale for v, first in zip(place.split("/"), extent[:2], strict=True))
        whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    return whole


def _rgb(image: Array) -> Array:
    grey = image if image.ndim == 2 else image[:, :, 0] if image.shape[2] == 1 else None
    return image if grey is None else np.repeat(grey[:, :, None], 3, axis=2)


def _paint(planes: Array, strength: Array, colour: tuple[int, int, int]) -> None:
    """Lay a colour over a picture (3, h, w) in place."""
    weight = np.clip(strength, 0, 1)
    planes += (np.array(colour, np.float32)[:, None, None] - planes) * weight


def overlay(raw: Array, shown: Mapping[str, Array], hidden: Array, inside: Array, level: float = _FAINT) -> Array:
    """The after shot, dimmed, with residue that remains, is gone or is new, and what is hidden.

    ``level`` is the opacity by which a place must differ to have changed (of the measure ``change``).
    """
    planes = np.moveaxis(_rgb(raw), 2, 0).astype(np.float32, "C") * np.float32(0.45) + np.float32(40)
    if len(shown) == len(PHASES):
        before, after = (shown[phase].astype(np.float32) / 255 for phase in (BEFORE, AFTER))
        least = max(level, _FAINT)
        parts = (before - after, REMOVED), (np.minimum(before, after), RESIDUE), (after - before, NEW)
        for opacity, colour in parts:
            _paint(planes, (opacity - np.float32(least)) * np.float32(0.9 / _FULL_OPACITY), colour)
    _paint(planes, hidden.astype(np.float32) * inside.astype(np.float32) * np.float32(0.6 / 255**2), HIDDEN)
    return np.moveaxis(planes, 0, 2).astype(np.uint8)


def change_level(program: Program, values: Mapping[str, Any]) -> float | None:
    """The opacity by which the whole board must differ to have changed; None where no measure says so."""
    key = next((m.key for m in program.measures if m.measure.name == "change"), None)
    found: float | None = values[f"{key}_level"][0] if key else None
    return found


def write_picture(path: Path, extent: Box, scale: int, tally: Tally, level: float | None = None) -> None:
    """Write the three panels side by side as JPEG; they show ``extent``, and ``level`` is as in ``overlay``."""
    made = {name: assemble(tally, name, extent, scale) for name in _pictures(tally)}
    raw = {phase: made[f"raw.{phase}"] for phase in PHASES}
    shown = {p: image for p in PHASES if (image := made.get(f"shown.{p}")) is not None}
    hidden, inside, before, after = made["hidden"], made["outline"], raw[BEFORE], raw[AFTER]
    assert hidden is not None
    assert inside is not None
    assert before is not None
    assert after is not None
    panels = [_rgb(before), _rgb(after), overlay(after, shown, hidden, inside, level or _FAINT)]
    wide = cv2.cvtColor(cv2.hconcat(panels), cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".jpg", wide, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ResidueError(f"{path}: the picture could not be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data.tobytes())
    partial.replace(path)


def _pictures(tally: Tally) -> set[str]:
    return {name.split("/")[1] for name in tally if name.startswith("thumb/")}


def plane_picture(plane: Array) -> Array:
    """Any plane as an 8-bit picture (h, w[, 3]), RGB.

    Masks are black and white; scalars are grey from -0.1 to 1; colours and raw
    planes are shown as sRGB code values.
    """
    if plane.dtype == np.bool_:
        return plane.astype(np.uint8) * 255
    if plane.ndim == 2:
        return (np.clip((plane + 0.1) / 1.1, 0, 1) * 255).astype(np.uint8)
    if plane.dtype.kind == "u":
        code = plane if plane.dtype == np.uint8 else (plane >> 8).astype(np.uint8)
    else:
        # a gamma of 2.2 is near enough to sRGB for the eye
        code = (np.clip(plane, 0, 1) ** np.float32(1 / 2.2) * 255).astype(np.uint8)
    return _rgb(np.ascontiguousarray(np.moveaxis(code, 0, -1)))


def regions_picture(frame: Array, scene: Any) -> Array:
    """The frame image with the outline of every region and its name, and ignored areas in blue."""
    picture = _rgb(frame if frame.dtype == np.uint8 else (frame >> 8).astype(np.uint8)).copy()
    ignored = scene.mask & ignored_bit(scene.mask) != 0
    picture[ignored] = picture[ignored] // 2 + np.array(HIDDEN, np.uint8) // 2
    thick = max(max(scene.shape) // 700, 1)
    for index, name in enumerate(scene.regions):
        colour = REGION_COLOURS[index % len(REGION_COLOURS)]
        inside = (scene.mask >> index & 1).astype(np.uint8)
        lines, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(picture, lines, -1, colour, thick)
        if lines:
            x, y, _, _ = cv2.boundingRect(max(lines, key=cv2.contourArea))
            place = (x + 4 * thick, y + 14 * thick)
            cv2.putText(picture, name, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * thick, colour, thick, cv2.LINE_AA)
    return picture


def write_png(path: Path, image: Array) -> None:
    """Write an 8-bit picture, grey or RGB."""
    done, data = cv2.imencode(".png", image if image.ndim == 2 else np.ascontiguousarray(image[:, :, ::-1]))
    if not done:
        raise ResidueError(f"{path}: the picture could not be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def check_writable(folder: Path) -> None:
    """Make a folder for pictures; UsageError where nothing can be written, before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}; name another folder for the planes") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{folder} cannot be written to; name another folder for the planes")
