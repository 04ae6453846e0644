"""A tile's walk: out of the photographs, through the nodes of a pass, into a tally.

Straight down: ``resample`` -> linear light -> matched light -> the workflow's
own steps -> the measures. A plane is computed on the tile grown by its margin,
clipped at the frame's edge, and forgotten after its last reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import zip_longest
from typing import Any

import cv2
import numpy as np

from residue_batch import kernels
from residue_batch.geometry import Array, Box, Transform, snug
from residue_batch.laps import lapped, laps
from residue_batch.matching.common import cleaner
from residue_batch.matching.flat import Shade
from residue_batch.matching.light import Light
from residue_batch.matching.resample import resample, seen
from residue_batch.passes import Relay, left_by
from residue_batch.program import AFTER, BUILTINS, NO_PHASE, PHASES, Key, Node, Pass, Program, builtin_reads
from residue_batch.scene import GRID, Scene, ignored_bit
from residue_batch.shelf import Shelf, shelf
from residue_batch.step import floats, full_scale
from residue_batch.steps.unmix import contrast
from residue_batch.tally import Tally, count


@dataclass(frozen=True)
class View:
    """One shot as the frame sees it: decoded pixels, where they lie and in which light.

    ``linear`` is the table from code values to linear light, ``codes`` the table back; ``shade`` the
    flat field, if there is one. Without ``light`` it is compared as taken: the frame is its own pixel grid.
    """

    pixels: Array
    valid: Array | None
    linear: Array
    codes: Array
    transform: Transform
    light: Light | None
    shade: Shade | None = None


@dataclass(frozen=True)
class Sources:
    """Everything the built-in planes of a board are made of."""

    program: Program
    scene: Scene
    views: Mapping[str, View]

    @property
    def codes(self) -> bool:
        """Whether code values of all shots are bytes."""
        return all(view.pixels.dtype == np.uint8 for view in self.views.values())


Planes = dict[Key, Array]

Read = Callable[[Key], Array]


def _light(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    view = sources.views[node.key.phase]
    return resample(view.pixels, view.transform, box, view.linear)


def _raw(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    view = sources.views[node.key.phase]
    if not node.inputs:
        return view.pixels[box.within(Box.whole(view.pixels.shape))].transpose(2, 0, 1)
    codes, taken = view.codes, read(node.inputs[0])
    planes = np.empty(taken.shape, codes.dtype)
    for plane, light in zip(planes, taken, strict=True):
        cv2.LUT(light, codes, plane)
    return planes


def _valid(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    view = sources.views[node.key.phase]
    return seen(view.pixels.shape, view.valid, view.transform, box)


def _saturated(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    raw = read(node.inputs[0])
    # JPEG rounding leaves clipped pixels a code or two below full scale
    return np.asarray(kernels.least(raw) >= int(0.992 * full_scale(raw)))


def _image(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    view = sources.views[node.key.phase]
    assert view.light is not None
    return view.light.matched(read(node.inputs[0]), box, sources.program.blur, view.shade)


def _reference(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    if node.inputs:
        before, after = (read(key) for key in node.inputs)
        light = sources.views[AFTER].light
        assert light is not None
        return cleaner(before, after, sources.scene.white, light.common)
    return sources.scene.reference(box)


def _white(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    return sources.scene.white


def _outline(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    return sources.scene.area(box, 1)


def _ignored(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    return sources.scene.area(box, ignored_bit(sources.scene.mask))


def _observable(sources: Sources, node: Node, box: Box, read: Read) -> Array:
    reads = builtin_reads("observable", sources.program.reference)
    outline, ignored, valid_before, valid_after, *colours = (read(key) for key in node.inputs[: len(reads)])
    shown = [outline, valid_before, valid_after, *([contrast(*colours)] if colours else [])]
    return kernels.in_all(shown, [ignored, *(read(key) for key in node.inputs[len(reads) :])])


MAKERS: dict[str, Callable[[Sources, Node, Box, Read], Array]] = {
    "_light": _light,
    "raw": _raw,
    "valid": _valid,
    "saturated": _saturated,
    "image": _image,
    "reference": _reference,
    "white": _white,
    "outline": _outline,
    "ignored": _ignored,
    "observable": _observable,
}
assert MAKERS.keys() == BUILTINS.keys()


def cut(plane: Array, covers: Box, box: Box) -> Array:
    """The part of a plane on a box; a colour has no place."""
    return plane if plane.ndim == 1 or covers == box else plane[..., *box.within(covers)]


def _decode(planes: Planes, keys: Iterable[Key], takes_codes: Iterable[bool] = ()) -> None:
    """Code values become floats, once for all, where a reader takes no others."""
    planes.update({key: floats(planes[key]) for key, takes in zip_longest(keys, takes_codes) if key and not takes})


def walk(
    visit: Pass,
    sources: Sources,
    tile: Box,
    fitted: Mapping[Key, Any],
    left: Shelf | None = None,
    leaves: Iterable[Key] = (),
) -> Planes:
    """Run one pass on one tile.

    Parameters
    ----------
    left
        Planes that earlier passes have left for the tile; those of ``leaves`` are added.

    Returns
    -------
    The planes that the pass is for, each on ``tile`` exactly.
    """
    frame = Box.whole(sources.scene.shape)
    boxes = {key: box for key, (box, _) in (left or {}).items()}
    planes: Planes = {key: plane for key, (_, plane) in (left or {}).items()}
    grown = cache(partial(tile.grow, within=frame))
    lap = laps()

    for node, margin, frees in zip(visit.nodes, visit.margins, visit.frees, strict=True):
        box, reach = grown(margin), grown(margin + node.halo)

        def read(key: Key, reach: Box = reach) -> Array:
            return cut(planes[key], boxes[key], reach)

        if node.step is None:
            made = MAKERS[node.key.plane](sources, node, reach, read)
        else:
            _decode(planes, node.inputs, node.step.takes_codes)
            made = node.step(
                *(read(key) for key in node.inputs),
                where=read(node.mask) if node.mask else None,
                at=reach,
                frame=sources.scene.shape,
                fitted=fitted.get(node.fit) if node.fit else None,
            )
        planes[node.key], boxes[node.key] = made, reach
        if reach != box and made.ndim > 1:
            planes[node.key], boxes[node.key] = cut(made, reach, box), box
        for key in frees:
            del planes[key]
        lap(f"plane {node.key.plane}", reach.pixels, made.nbytes)
    if left is not None:
        left.update({key: (boxes[key], planes[key]) for key in leaves})
    return {key: cut(plane, boxes[key], tile) for key, plane in planes.items()}


def run_on(
    passes: Sequence[Relay], number: int, sources: Sources, tile: Box, box: Box, fitted: Mapping[Key, Any]
) -> Planes:
    """``walk`` for one of a board's passes on a box of a tile, with what earlier ones have left there."""
    one, last = passes[number], number == len(passes) - 1
    left = shelf(tile, tile.pixels * left_by(passes), last=last)
    return walk(one.visit(left), sources, box, fitted, left, one.leaves) if box.pixels else {}


def fit_tile(sources: Sources, tile: Box, fits: Iterable[Key], planes: Planes) -> Tally:
    """What this tile adds to some fits; names are ``plane.phase/...``."""
    nodes = sources.program.nodes
    tally: Tally = {}
    lap = laps()
    for key in fits:
        node = nodes[key]
        assert node.step is not None
        _decode(planes, node.inputs, node.step.takes_codes)
        part = node.step.fit_chunk(
            *(planes[k] for k in node.inputs),
            where=planes[node.where] if node.where else None,
            at=tile,
            frame=sources.scene.shape,
        )
        tally |= {f"{key}/{name}": value for name, value in part.items()}
        lap(f"fit {key.plane}", tile.pixels)
    return tally


def measure_tile(sources: Sources, tile: Box, planes: Planes) -> Tally:
    """What this tile adds to every measure: names are ``measure/phase/region/...``.

    ``pixels/<region>`` and ``observable/<region>`` count the area behind the numbers.
    """
    lap = laps()
    _decode(planes, [key for m in sources.program.measures for _, keys, _ in m.inputs for key in keys])
    tally: Tally = {"tiles": count(1)}
    for index, extent in enumerate(sources.scene.extents):
        near = tile.intersect(extent)
        if not near.pixels:
            continue
        area = sources.scene.area(near, 1 << index)
        here = near if area.all() else snug(area, near, GRID)
        if here.pixels:
            within = {key: cut(plane, tile, here) for key, plane in planes.items()}
            tally |= _measure_region(sources, index, here.crop(area, near), here, within)
    lap("regions")
    return tally


def _measure_region(sources: Sources, index: int, area: Array, box: Box, planes: Planes) -> Tally:
    """What a box adds for one region; ``area`` are its pixels there."""
    selected: dict[Key, Array] = {}
    pixels = int(np.count_nonzero(area))

    def select(where: Key) -> Array:
        if where not in selected:
            selected[where] = planes[where] if pixels == area.size else planes[where] & area
        return selected[where]

    lap = laps()
    tally: Tally = {
        f"pixels/{index}": count(pixels),
        f"observable/{index}": count(int(np.count_nonzero(select(Key("observable"))))),
    }
    lap("regions", box.pixels)
    for measured in sources.program.measures:
        for phase, keys, where in measured.inputs if measured.by_region or index == 0 else ():
            part = measured.measure(
                *(planes[key] for key in keys), where=select(where), at=box, frame=sources.scene.shape
            )
            tally |= {f"{measured.key}/{phase}/{index}/{name}": value for name, value in part.items()}
        lap(f"measure {measured.key}", box.pixels)
    return tally


def _shrunk(plane: Array, down: int, across: int) -> Array:
    """uint8 (h, w[, c]) means of blocks of ``down`` x ``across`` px; at the right and bottom they may be partial."""
    height, width = plane.shape[:2]
    missing = (-height % down, -width % across)
    if any(missing):
        plane = cv2.copyMakeBorder(plane, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    found = kernels.block_means(plane if plane.ndim == 3 else plane[..., None], down, across)
    return found if plane.ndim == 3 else found[..., 0]


def _bytes(codes: Array) -> Array:
    """Code values as uint8."""
    return codes if codes.dtype == np.uint8 else (codes >> 8).astype(np.uint8)


def _grey(plane: Array) -> Array:
    """A mask, opacities or codes as uint8."""
    if plane.dtype == np.uint8:
        return plane
    if plane.dtype == np.bool_:
        return plane.view(np.uint8) * np.uint8(255)
    return np.asarray((np.clip(plane, 0, 1) * np.float32(255)).astype(np.uint8))


@lapped("picture")
def thumbnail_tile(sources: Sources, tile: Box, planes: Planes, scale: int) -> Tally:
    """Small pictures of a tile for the report: names are ``thumb/<picture>/<top>/<left>``.

    ``scale`` divides the tile size, so blocks never straddle tiles. The eye needs few pixels of a block.
    """
    few, rows = min(scale, 4), min(scale, 8)
    each = (slice(None, None, few),) * 2

    def small(sparse: Array) -> Array:
        return _shrunk(sparse, scale // few, scale // few)

    pictures: dict[str, Array] = {}
    for phase in PHASES:
        raw = planes[Key("raw", phase)]
        # as decoded, channels lie side by side
        parts = [raw.transpose(1, 2, 0)] if raw.strides[0] == raw.itemsize else raw
        pictures[f"raw.{phase}"] = np.dstack([_shrunk(_bytes(part[::rows]), scale // rows, scale) for part in parts])
        shown = shown_plane(sources.program, phase)
        if shown is not None:
            pictures[f"shown.{phase}"] = small(_grey(planes[shown][each]))
    pictures["hidden"] = small(_grey(~planes[Key("observable")][each]))
    pictures["outline"] = small(_grey(sources.scene.bits(tile)[each] & 1 != 0))
    return {f"thumb/{name}/{tile.top}/{tile.left}": picture for name, picture in pictures.items()}


def shown_plane(program: Program, phase: str) -> Key | None:
    """The plane a report shows as residue: what the first measure reads, if it has phases."""
    for measured in program.measures:
        for at, keys, _ in measured.inputs:
            if at == phase and keys[0].phase == phase != NO_PHASE:
                return keys[0]
    return None
