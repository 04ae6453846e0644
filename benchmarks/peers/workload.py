"""What all scripts share: the numbers of the workload, pairs in, a Zarr store and reductions out, and the timing."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

GLARE, GROW = 250, 5
SIGMA, GROUND = 2.0, 25.0
BINS = 1024
SMALLEST = 16

SHARD, CHUNK = 1024, 512
# what the package writes: of the coders that were tried the fastest for noisy codes, in hardly more bytes than zstd
CODERS = (BloscCodec(typesize=1, cname="lz4", clevel=5, shuffle="bitshuffle", blocksize=1 << 16), Crc32cCodec())

Image = NDArray[Any]
PHASES = ("before", "after")


class Pair(NamedTuple):
    """Two photographs of a board."""

    board: str
    before: str
    after: str


class Planes(NamedTuple):
    """What the workload makes of a pair, each (before, after): 8-bit score, signal (1 is full scale), mask, valid."""

    score: Sequence[Image]
    signal: Sequence[Image]
    mask: Sequence[Image]
    valid: Sequence[Image]


Measure = Callable[[Pair], Planes]


def save(path: Path, planes: Planes) -> None:
    """Write score and mask of both phases as a Zarr store."""
    group = zarr.create_group(path, overwrite=True)
    for name, pictures in (("score", planes.score), ("mask", planes.mask)):
        array = group.create_array(
            name,
            shape=(2, *pictures[0].shape),
            dtype="uint8",
            shards=(1, SHARD, SHARD),
            chunks=(1, CHUNK, CHUNK),
            compressors=CODERS,
            dimension_names=("phase", "y", "x"),
        )
        for phase, picture in enumerate(pictures):
            array[phase] = picture


def reductions(planes: Planes) -> dict[str, float]:
    """Area and load of each phase over what is valid in both, and their reductions, per cent."""
    seen = planes.valid[0] & planes.valid[1]
    pixels = np.count_nonzero(seen)
    found: dict[str, float] = {}
    for phase, signal, mask in zip(PHASES, planes.signal, planes.mask, strict=True):
        counted = mask.astype(bool) & seen
        found[f"area_{phase}"] = float(np.count_nonzero(counted) / pixels)
        found[f"load_{phase}"] = float(signal[counted].sum(dtype=np.float64) / pixels)
    for name in ("area", "load"):
        found[f"{name}_reduction_pct"] = 100 * (1 - found[f"{name}_after"] / found[f"{name}_before"])
    return found


def board_by(measure: Measure, out: Path, pair: Pair) -> tuple[str, dict[str, float]]:
    """One board: measured and written."""
    planes = measure(pair)
    save(out / f"{pair.board}.zarr", planes)
    return pair.board, reductions(planes)


def every_board(measure: Measure, pairs: Sequence[Pair], out: Path, workers: int) -> Iterable[tuple[str, Any]]:
    """Boards as they are done: here, or by a pool of processes."""
    work = partial(board_by, measure, out)
    if workers == 0:
        yield from map(work, pairs)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(work, pairs)


def told(boards: Iterable[tuple[str, Any]]) -> None:
    """Run the boards and print what came of each, and when: one JSON document on the last line."""
    found, moments = {}, []
    for board, result in boards:
        found[board] = result
        moments.append(time.time())
    sys.stdout.write(json.dumps({"boards": found, "moments": moments}) + "\n")


def read_pairs(path: Path) -> list[Pair]:
    """Pairs from a JSON list of [board, before, after]."""
    return [Pair(*row) for row in json.loads(path.read_text(encoding="utf-8"))]


def arguments(*variants: str) -> argparse.Namespace:
    """What every script is told: PAIRS OUT [--workers N], and which of its variants, if it has some."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=0, help="0: in this process")
    for name in variants:
        parser.add_argument(f"--{name}", dest="variant", action="store_const", const=name)
    return parser.parse_args()


def main(measure: Measure, **variants: Measure) -> None:
    """A script: a loop, or a pool; a variant is chosen by an option of its name."""
    given = arguments(*variants)
    chosen = variants[given.variant] if variants and given.variant else measure
    told(every_board(chosen, read_pairs(given.pairs), given.out, given.workers))
