"""What a board store holds: arrays, levels and shards, and the OME-Zarr 0.5 attributes that describe them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from residue_batch.errors import UsageError
from residue_batch.geometry import Box, tiles
from residue_batch.program import PHASES, Key
from residue_batch.step import Kind

OFFSET, SCALE = -0.1, 0.005
"""Scalar planes are stored as codes: value = OFFSET + SCALE * code, -0.1 ... 1.175; 0 and 1 are exact (20, 220).
A workflow may name other ends."""

CHUNK, SMALLEST_SHARD, COARSEST, SEEN = 512, 512, 256, 255
WORD = 8
"""Pixels whose bits are put apart at once; sides of shards are multiples of it."""
OBSERVABLE = Key("observable")
IMAGE, OURS = "image", "residue_batch"


@dataclass(frozen=True)
class Layout:
    """What a board store holds: frame size (px), tile side (px) and the planes of each array."""

    shape: tuple[int, int]
    tile: int
    pixel_size_um: float | None
    scalars: tuple[Key, ...]
    masks: tuple[tuple[str, tuple[Key, ...]], ...]
    codes: tuple[tuple[str, float, float], ...] = ()

    def code(self, key: Key) -> tuple[float, float]:
        """(offset, scale) of a scalar plane: value = offset + scale * code."""
        ends = next(((low, high) for name, low, high in self.codes if name == key.plane), None)
        return (ends[0], (ends[1] - ends[0]) / 255) if ends else (OFFSET, SCALE)

    @cached_property
    def arrays(self) -> dict[str, tuple[Key, ...]]:
        """Array name (``image``, ``labels/<plane>``) -> the plane of each channel."""
        return {IMAGE: (OBSERVABLE, *self.scalars)} | {f"labels/{name}": keys for name, keys in self.masks}

    @cached_property
    def keys(self) -> tuple[Key, ...]:
        """The planes that ``write_tile`` needs."""
        return tuple(key for keys in self.arrays.values() for key in keys)

    @cached_property
    def levels(self) -> int:
        """How many levels there are: the coarsest fits 256 px."""
        return next(k + 1 for k in range(64) if max(self.size(k)) <= COARSEST)

    @cached_property
    def tile_levels(self) -> int:
        """How many levels the tiles write themselves; the rest is written by ``close``."""
        # the next level must have whole pixels of a tile too
        coarse = (k for k in range(1, self.levels) if self.tile >> k < SMALLEST_SHARD or self.tile % (WORD << k))
        return next(coarse, self.levels)

    def size(self, level: int) -> tuple[int, int]:
        """Height and width of a level."""
        return -(-self.shape[0] >> level), -(-self.shape[1] >> level)

    def shard(self, level: int) -> int:
        """Side of the square shards of a level."""
        return self.tile >> level if level < self.tile_levels else self.tile

    def boxes(self, level: int) -> list[Box]:
        """The shards of a level, in pixels of that level."""
        return list(tiles(self.size(level), self.shard(level)))


def layout(
    shape: tuple[int, int],
    keep: Iterable[tuple[Key, Kind]],
    tile: int,
    pixel_size_um: float | None,
    codes: tuple[tuple[str, float, float], ...] = (),
) -> Layout:
    """The layout of a store for a frame of ``shape`` px, written by square tiles of ``tile`` px.

    ``observable`` is always there and need not stand in ``keep``. ``pixel_size_um`` is None if unknown. ``codes``
    holds by plane the values of the codes 0 and 255, where they are not the usual ones.
    UsageError for a plane that is neither scalar nor mask, a name that is no name, an empty frame or a tile that is
    no multiple of 8 px.
    """
    if tile < 1 or tile % WORD or min(shape) < 1:
        raise UsageError(f"a store needs a frame with pixels and tiles of {WORD}, 16, ... px, not {shape} and {tile}")
    scalars: list[Key] = []
    masks: dict[str, list[Key]] = {}
    for key, kind in dict.fromkeys(keep):
        if not key.plane.isidentifier():
            raise UsageError(f"{key.plane!r} cannot be stored: a plane's name is letters, digits and '_'")
        if kind == Kind.SCALAR:
            scalars.append(key)
        elif kind != Kind.MASK:
            raise UsageError(f"'{key}' cannot be kept: it is a {kind} plane; only scalar planes and masks are stored")
        elif key != OBSERVABLE:
            masks.setdefault(key.plane, []).append(key)
    order = ("", *PHASES)
    grouped = tuple((name, tuple(sorted(keys, key=lambda k: order.index(k.phase)))) for name, keys in masks.items())
    return Layout((int(shape[0]), int(shape[1])), int(tile), pixel_size_um, tuple(scalars), grouped, codes)


def folder_of(array: str, level: int) -> str:
    """The folder of an array's level in the store."""
    return str(level) if array == IMAGE else f"{array}/{level}"


def file_of(layout: Layout, array: str, level: int, box: Box) -> str:
    """The file of the shard of ``box`` (in pixels of the level)."""
    side = layout.shard(level)
    return f"{folder_of(array, level)}/c/0/{box.top // side}/{box.left // side}"


def inner_of(side: int) -> int:
    """Side of the chunks inside a shard, px."""
    return CHUNK if side % CHUNK == 0 else side


def ome_attributes(layout: Layout, method: str, **more: Any) -> dict[str, Any]:
    """The ``ome`` attributes of the image or of a label group."""
    pixel = layout.pixel_size_um or 1.0
    unit = {"unit": "micrometer"} if layout.pixel_size_um else {}
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space"} | unit for n in "yx")]
    datasets = []
    for level in range(layout.levels):
        # the centre of a coarse pixel lies between the centres it was made of
        scale, shift = pixel * 2**level, pixel * (2**level - 1) / 2
        moves = [
            {"type": "scale", "scale": [1.0, scale, scale]},
            {"type": "translation", "translation": [0.0, shift, shift]},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": moves})
    multiscale = {"name": "board", "type": method, "axes": axes, "datasets": datasets}
    return {"version": "0.5", "multiscales": [multiscale]} | more


def image_attributes(layout: Layout) -> dict[str, Any]:
    """The attributes of the root group: OME-Zarr's, and how codes become values."""
    planes, shown = {}, []
    for array, keys in layout.arrays.items():
        for channel, key in enumerate(keys):
            offset, scale = layout.code(key) if key in layout.scalars else (0.0, 1 / SEEN if array == IMAGE else 1.0)
            planes[str(key)] = {"array": array, "channel": channel, "offset": offset, "scale": scale}
            if array == IMAGE:
                window = {"min": 0, "max": 255, "start": round(-offset / scale), "end": round((1 - offset) / scale)}
                colour = {"before": "FF7F00", "after": "00BFFF"}.get(key.phase, "FFFFFF")
                shown.append({"label": str(key), "color": colour, "active": key != OBSERVABLE, "window": window})
    ours = {"format": 1, "shape": list(layout.shape), "tile": layout.tile, "value": "offset + scale * code"}
    return {"ome": ome_attributes(layout, "mean", omero={"channels": shown}), OURS: ours | {"planes": planes}}
