"""What no way can be faster than: decoding, and decoding with writing what the workload writes.

    python -m benchmarks.peers.floors PAIRS OUT --write none|zarr|store

``zarr`` writes with zarr-python, as the other scripts do; ``store`` writes the same planes with the writer of
this package (an OME-Zarr store with its pyramid). What is written is made once, before the clock starts.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from benchmarks.peers import opencv
from benchmarks.peers.workload import PHASES, Image, Pair, Planes, read_pairs, save, told
from residue_batch import store
from residue_batch.engine.inline import set_up_process
from residue_batch.geometry import tiles
from residue_batch.layout import layout
from residue_batch.program import Key
from residue_batch.step import Kind
from residue_batch.tally import merge

TILE = 1024
DECODERS: dict[str, Callable[..., Any]] = {
    ".jpg": imagecodecs.jpeg8_decode,
    ".png": imagecodecs.png_decode,
    ".tif": imagecodecs.tiff_decode,
}


def decode(path: str, room: Image | None = None) -> Image:
    """The fastest decoder of the format, without a check; into memory that is there, if a photograph lies in it."""
    return np.asarray(DECODERS[Path(path).suffix](Path(path).read_bytes(), out=room))


def into_zarr(planes: Planes) -> Callable[[Path], None]:
    """A call that writes the planes with zarr-python."""
    return lambda path: save(path, planes)


def into_store(planes: Planes) -> Callable[[Path], None]:
    """A call that writes the planes with the writer of this package."""
    shape = planes.valid[0].shape
    keep = [(Key("mask", p), Kind.MASK) for p in PHASES] + [(Key("score", p), Kind.SCALAR) for p in PHASES]
    kept = layout(shape, keep, TILE, None, codes=(("score", 0.0, 1.0),))
    whole: dict[Key, Image] = {Key("observable"): planes.valid[0] & planes.valid[1]}
    for phase, score, mask in zip(PHASES, planes.score, planes.mask, strict=True):
        whole |= {Key("score", phase): score, Key("mask", phase): mask.astype(bool)}

    def write(path: Path) -> None:
        store.create(path, kept)
        tally: dict[str, Image] = {}
        for box in tiles(shape, TILE):
            part = {key: plane[box.top : box.bottom, box.left : box.right] for key, plane in whole.items()}
            tally = merge(tally, store.write_tile(path, kept, box, part))
        store.close(path, kept, tally)

    return write


WRITERS = {"zarr": into_zarr, "store": into_store}


def boards(pairs: list[Pair], out: Path, write: Callable[[Path], None] | None) -> Iterator[tuple[str, Any]]:
    """Decode both shots, and write; a photograph takes the place of the one before, which is as large."""
    room = None
    for pair in pairs:
        for path in (pair.before, pair.after):
            room = decode(path, room)
        if write is not None:
            write(out / f"{pair.board}.zarr")
        yield pair.board, {}


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--write", choices=("none", *WRITERS), default="none")
    given = parser.parse_args()
    set_up_process()  # as our own runs: freed memory is kept
    pairs = read_pairs(given.pairs)
    write = None if given.write == "none" else WRITERS[given.write](opencv.measure(pairs[0]))
    told(boards(pairs, given.out, write))


if __name__ == "__main__":
    main()
