"""A board of random planes, its layout, and its store as a run writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from residue_batch.geometry import Array, Box, tiles
from residue_batch.layout import Layout, layout
from residue_batch.program import Key
from residue_batch.step import Kind
from residue_batch.store import close, create, write_tile
from residue_batch.tally import Tally, merge_all

SHAPE = (700, 901)
KEEP = (
    (Key("opacity", "before"), Kind.SCALAR),
    (Key("opacity", "after"), Kind.SCALAR),
    (Key("residue", "after"), Kind.MASK),
    (Key("residue", "before"), Kind.MASK),
    (Key("edge"), Kind.MASK),
)
Planes = dict[Key, Array]


def board(shape: tuple[int, int] = SHAPE, seed: int = 0) -> Planes:
    rng = np.random.default_rng(seed)
    planes: Planes = {Key("observable"): rng.random(shape) > 0.1}
    for key, kind in KEEP:
        plane = rng.random(shape, np.float32) * np.float32(1.2) - np.float32(0.1)
        planes[key] = plane if kind == Kind.SCALAR else plane > 0.8
    return planes


def of(shape: tuple[int, int] = SHAPE, tile: int = 256, keep: tuple[tuple[Key, Kind], ...] = KEEP) -> Layout:
    return layout(shape, keep, tile, 12.5)


def cut(planes: Planes, tile: Box) -> Planes:
    whole = Box.whole(next(iter(planes.values())).shape)
    return {key: plane[tile.within(whole)] for key, plane in planes.items()}


def write(path: Path, form: Layout, planes: Planes) -> Tally:
    create(path, form)
    return merge_all(write_tile(path, form, tile, cut(planes, tile)) for tile in tiles(form.shape, form.tile))


def written(path: Path, form: Layout, planes: Planes) -> Path:
    close(path, form, write(path, form, planes))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
