"""The scene: a board frame made ready for measuring.

Made once per board type and process, or per board where its own before-shot
sets the light: the frame ready for registration, the reference ready for light
matching and in linear light, the region bit mask, the colour of white residue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from residue_batch import kernels, photo
from residue_batch.areas import areas_of, outline_mask
from residue_batch.config import BoardType
from residue_batch.config.board_checks import WHOLE
from residue_batch.errors import Refusal
from residue_batch.files import shade_of
from residue_batch.geometry import Array, Box, Transform, plain, snug, strips, tiles
from residue_batch.matching.flat import Flat, Shade
from residue_batch.matching.light import same_light
from residue_batch.matching.quality import Detail, board_points, details_of
from residue_batch.matching.reference import white_colour
from residue_batch.matching.registration import Registration, Target, register, target_of
from residue_batch.matching.resample import (
    FULL_SCALE,
    Tone,
    blur,
    blur_radius,
    code_table,
    inside,
    linear_table,
    resample,
)
from residue_batch.matching.samples import Anchors, Patch, anchors_of, patch_of

STRIP = 512

GRID = 64
"""px on which tiles, and parts of tiles that are measured by themselves, begin and end."""


@dataclass(frozen=True)
class Scene:
    """A prepared board frame.

    Parameters
    ----------
    shape
        (height, width) of the frame.
    channels
        1 (grey) or 3.
    target
        The frame, ready for registration; None where shots are compared as taken, without a frame or a light.
    anchors
        The photograph that sets the light, ready for light matching: the clean
        reference, or the board's own before-shot. None as for ``target``.
    patch
        The declared white patch in that photograph; None without one.
    clean
        (c, h, w) uint16 linear light of the clean reference, blurred as shots
        are; None without one.
    mask
        (h, w) region bits, as few as there can be; bit 0 is ``whole``, the highest marks ignored pixels.
    regions
        Names of the bits, ``whole`` first.
    extents
        What of the frame holds each region, on multiples of `GRID`.
    white
        (c,) float32, linear light, 1 = full scale.
    registration
        Of the reference in the frame; None when it is the frame itself.
    """

    shape: tuple[int, int]
    channels: int
    target: Target | None
    anchors: Anchors | None
    patch: Patch | None
    clean: Array | None
    mask: Array
    regions: tuple[str, ...]
    extents: tuple[Box, ...]
    white: Array
    white_assumed: bool
    registration: Registration | None = None

    @property
    def extent(self) -> Box:
        """What of the frame holds the outline."""
        return self.extents[self.regions.index(WHOLE)]

    @cached_property
    def points(self) -> Array:
        """Points [x, y] of the board at which the exposure of a shot is judged."""
        return board_points(self.mask, ignored_bit(self.mask), self.clean)

    @cached_property
    def details(self) -> list[Detail]:
        """What of the frame the blur of a shot is told from."""
        return details_of(self.target.windows) if self.target else []

    def bits(self, box: Box) -> Array:
        """Region bits of a box."""
        return self.mask[box.within(Box.whole(self.shape))]

    def area(self, box: Box, bit: int) -> Array:
        """(h, w) bool, to be read: where pixels of a box have a region bit. Most tiles lie inside or outside of all."""
        known = self._plain.get((box, bit))
        if known is not None:
            return plain(box.shape, known)
        found = kernels.has_bit(self.bits(box), bit)
        if found.size and (found[0, 0] == found).all():
            self._plain[box, bit] = bool(found[0, 0])
        return found

    @cached_property
    def _plain(self) -> dict[tuple[Box, int], bool]:
        return {}

    def reference(self, box: Box) -> Array:
        """The clean colour of a box: float32 (c, h, w), 1 = full scale."""
        return kernels.scaled(self._clean(box), 1 / FULL_SCALE)

    def reference_at(self, box: Box, grid: tuple[slice, slice]) -> Array:
        """The same on some rows and columns of the box."""
        return self._clean(box)[:, *grid] * np.float32(1 / FULL_SCALE)

    def _clean(self, box: Box) -> Array:
        assert self.clean is not None
        return self.clean[:, *box.within(Box.whole(self.shape))]


def ignored_bit(mask: Array) -> int:
    """The bit of a region mask that marks ignored pixels; bit i is region i."""
    return 1 << 8 * mask.itemsize - 1


def scene_of_type(
    board_type: BoardType, frame: photo.Photo, golden: photo.Photo | None, blur_px: float, flat: Flat | None = None
) -> Scene:
    """The scene of a board type with a clean reference.

    Parameters
    ----------
    golden
        The clean shot, when it is another photograph than the frame; it is
        registered to the frame and resampled into it once.
    flat
        Its flat field.

    Raises
    ------
    Refusal
        If the golden shot does not match the frame or its flat field, or declared areas are not found.
    """
    if golden is None or golden.sha256 == frame.sha256:
        shade = shade_of(flat, frame, Transform(), "golden shot")
        return _scene(board_type, frame, frame.pixels, blur_px, clean=True, shade=shade)
    code, found = _seen_in_frame(board_type, frame, golden, "golden shot")
    shade = shade_of(flat, golden, found.transform, "golden shot")
    return replace(_scene(board_type, frame, code, blur_px, clean=True, shade=shade), registration=found)


def scene_as_taken(board_type: BoardType, frame: photo.Photo | None, shape: tuple[int, ...]) -> Scene:
    """The scene of boards that are compared as taken: areas on the pixel grid that all shots share.

    Parameters
    ----------
    frame
        A shot on which areas are found; None without one.
    shape
        (height, width, channels) of the shots.

    Raises
    ------
    Refusal
        If declared areas are not found.
    """
    size = (shape[0], shape[1])
    mask, regions, extents, _ = _region_bits(board_type, frame.pixels if frame else None, size)
    return Scene(
        shape=size,
        channels=shape[2],
        target=None,
        anchors=None,
        patch=None,
        clean=None,
        mask=mask,
        regions=regions,
        extents=extents,
        white=np.zeros(0, np.float32),
        white_assumed=False,
    )


def scene_of_pair(
    board_type: BoardType, frame: photo.Photo | None, before: photo.Photo, blur_px: float, flat: Flat | None = None
) -> Scene:
    """The scene of one board without a clean reference: its light is that of its own before-shot.

    Parameters
    ----------
    frame
        The frame image of the board type; None when the before-shot is the frame.
    flat
        The flat field of the before-shot.

    Raises
    ------
    Refusal
        If the before-shot does not match the frame, or declared areas are not found.
    """
    if frame is None:
        shade = shade_of(flat, before, Transform(), "before shot")
        return _scene(board_type, before, before.pixels, blur_px, clean=False, shade=shade)
    code, found = _seen_in_frame(board_type, frame, before, "before shot")
    shade = shade_of(flat, before, found.transform, "before shot")
    return replace(_scene(board_type, frame, code, blur_px, clean=False, shade=shade), registration=found)


def scene_of_lot(
    board_type: BoardType, frame: photo.Photo, built: photo.Photo, blur_px: float, shade: Shade | None = None
) -> Scene:
    """The scene of a board type whose clean reference was built from a lot, in the frame.

    Shots are registered to the reference, not to the frame image, on which residue may lie. Pixels
    that too few shots had shown are not valid in ``built``: they are ignored. ``shade`` is the flat
    field of a ``built`` that is one shot; what was built from all is in even light.

    Raises
    ------
    Refusal
        If the reference belongs to another frame, or declared areas are not found.
    """
    if built.pixels.shape != frame.pixels.shape:
        raise Refusal("reference", "the built reference has another size than the frame", "build it again")
    scene = _scene(board_type, frame, built.pixels, blur_px, clean=True, tone=built.tone, shade=shade)
    mask, bit = scene.mask, ignored_bit(scene.mask)
    if built.valid is not None:
        mask = np.where(built.valid, mask, mask | bit)
    return replace(scene, mask=mask, target=target_of(built.pixels, mask & (bit | 1) == 1))


def _seen_in_frame(
    board_type: BoardType, frame: photo.Photo, shot: photo.Photo, name: str
) -> tuple[Array, Registration]:
    """The code values of a photograph, resampled into the frame, and how it was registered."""
    if shot.pixels.shape[2] != frame.pixels.shape[2]:
        raise Refusal("colour", f"the {name} and the frame are not both grey or both colour", "take both alike")
    outline = outline_mask(board_type, (frame.pixels.shape[0], frame.pixels.shape[1]))
    found = register(shot.pixels, target_of(frame.pixels, outline))
    table = linear_table(shot.pixels.dtype, shot.tone)
    whole = Box.whole(frame.pixels.shape)
    if not inside(shot.pixels.shape, found.transform, whole)[outline].all():
        raise Refusal("outside", f"the {name} does not show the whole outline", "photograph the whole board")
    light = resample(shot.pixels, found.transform, whole, table)
    return np.ascontiguousarray(np.moveaxis(code_table(shot.pixels.dtype, shot.tone)[light], 0, -1)), found


def _scene(
    board_type: BoardType,
    frame: photo.Photo,
    code: Array,
    blur_px: float,
    *,
    clean: bool,
    tone: Tone | None = None,
    shade: Shade | None = None,
) -> Scene:
    """A scene with the geometry of ``frame`` and the light of ``code``, whose tone is the frame's unless given."""
    shape = (frame.pixels.shape[0], frame.pixels.shape[1])
    mask, regions, extents, patch = _region_bits(board_type, frame.pixels, shape)
    where = mask & (ignored_bit(mask) | 1) == 1
    table = linear_table(code.dtype, tone or frame.tone)
    light = _blurred(code, table, blur_px, shade)
    white, assumed = white_colour(light, patch)
    return Scene(
        shape=shape,
        channels=code.shape[2],
        target=target_of(frame.pixels, where),
        anchors=anchors_of(code, table, where, shade),
        patch=patch_of(code, table, patch, shade),
        clean=light if clean else None,
        mask=mask,
        regions=regions,
        extents=extents,
        white=white,
        white_assumed=assumed,
    )


def _blurred(code: Array, table: Array, blur_px: float, shade: Shade | None) -> Array:
    """(C, h, w) uint16 linear light of a photograph in the frame, blurred, its flat field divided out.

    In even light a bright place where little fell may be brighter than full scale: it is cut there.
    """
    shape = (code.shape[0], code.shape[1])
    whole, light = Box.whole(shape), same_light(shape, code.shape[2])
    found = np.empty((code.shape[2], *shape), np.uint16)
    for strip in tiles(shape, STRIP):
        outer = strip.grow(blur_radius(blur_px), whole)
        taken, inner = resample(code, Transform(), outer, table), strip.within(outer)
        if shade is None:
            even: Array = blur(taken, blur_px)[:, *inner]
        else:
            relative = light.matched(taken, outer, blur_px, shade)[:, *inner]
            even = np.rint(np.minimum(relative * np.float32(FULL_SCALE), np.float32(FULL_SCALE)))
        found[:, *strip.within(whole)] = even
    return found


def _region_bits(
    board_type: BoardType, image: Array | None, shape: tuple[int, int]
) -> tuple[Array, tuple[str, ...], tuple[Box, ...], Array | None]:
    """The region bits of a frame, the names of the regions, what holds each, and the white patch."""
    regions, ignored, patch = areas_of(board_type, image, shape)
    mask = np.empty(shape, np.min_scalar_type(1 << len(regions)))
    for rows in strips(shape[0], STRIP):
        mask[rows] = np.where(ignored[rows], ignored_bit(mask), 0)
        for index, region in enumerate(regions.values()):
            mask[rows] |= region[rows] * mask.dtype.type(1 << index)
    extents = tuple(snug(region, Box.whole(shape), GRID) for region in regions.values())
    return mask, tuple(regions), extents, patch
