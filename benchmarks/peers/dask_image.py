"""The workload as a graph of dask.array and dask-image.

    python -m benchmarks.peers.dask_image PAIRS OUT [--cluster] [--workers N]

Threads of this process, or the processes of a LocalCluster.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import zarr
from dask_image.imread import imread
from dask_image.ndfilters import gaussian_filter
from dask_image.ndmorph import binary_dilation, binary_opening
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_objects

from benchmarks.peers.workload import (
    BINS,
    CHUNK,
    CODERS,
    GLARE,
    GROUND,
    GROW,
    PHASES,
    SHARD,
    SIGMA,
    SMALLEST,
    Pair,
    read_pairs,
    told,
)

PART = 2 * SHARD
"""Chunks of the computation, px: whole shards are stored by one task, and less is done twice along the borders."""


def smoothed(score: Any, valid: Any, sigma: float) -> Any:
    """A Gaussian over the valid pixels: normalised convolution."""
    weight = gaussian_filter(valid.astype(np.float32), sigma, mode="constant")
    total = gaussian_filter(da.where(valid, score, np.float32(0)), sigma, mode="constant")
    return total / da.maximum(weight, np.float32(1e-12))


def signal_of(path: str) -> tuple[Any, Any, Any]:
    """Score in 8 bits, signal and valid pixels of a photograph."""
    picture = imread(path)[0]
    code = da.minimum(da.minimum(picture[..., 0], picture[..., 1]), picture[..., 2]).rechunk((PART, PART))
    glare = code > GLARE
    for side in ((2 * GROW + 1, 1), (1, 2 * GROW + 1)):  # a square in two passes
        glare = binary_dilation(glare, structure=np.ones(side))
    valid = ~glare
    score = (code / np.float32(255)).astype(np.float32)
    return code, smoothed(score, valid, SIGMA) - smoothed(score, valid, GROUND), valid


def mask_of(signal: Any, level: float) -> Any:
    """What stands out, without specks; an object of 15 px reaches no further than 15 px."""
    mask = binary_opening(signal > level, structure=np.ones((3, 3)))
    return mask.map_overlap(
        remove_small_objects, depth=SMALLEST, boundary=False, max_size=SMALLEST - 1, connectivity=2, dtype=bool
    )


def stored(path: Path, name: str, planes: Sequence[Any]) -> list[Any]:
    """Writing both phases of a plane, one task per shard."""
    array = zarr.create_array(
        path,
        name=name,
        shape=(2, *planes[0].shape),
        dtype="uint8",
        shards=(1, SHARD, SHARD),
        chunks=(1, CHUNK, CHUNK),
        compressors=CODERS,
        overwrite=True,
    )
    return [da.store(da.stack(planes), array, lock=False, compute=False)]


def board(pair: Pair, out: Path) -> dict[str, float]:
    """One board: the level first, then everything else at once."""
    scores, signals, valid = zip(signal_of(pair.before), signal_of(pair.after), strict=True)
    # the level needs all of the first shot: it is kept, not made twice
    scores, signals, valid = dask.persist(scores, signals, valid)
    low, high, holds = dask.compute(
        da.where(valid[0], signals[0], np.inf).min(), da.where(valid[0], signals[0], -np.inf).max(), valid[0].all()
    )
    weights = None if holds else valid[0].astype(np.int64)
    counts, edges = da.histogram(signals[0], bins=BINS, range=(float(low), float(high)), weights=weights)
    level = threshold_otsu(hist=(counts.compute(), (edges[:-1] + edges[1:]) / 2))
    masks = [mask_of(signal, level) for signal in signals]
    seen = valid[0] & valid[1]
    sums = [seen.sum()]
    for signal, mask in zip(signals, masks, strict=True):
        sums += [(mask & seen).sum(), da.where(mask & seen, signal, 0).sum(dtype=np.float64)]
    path = out / f"{pair.board}.zarr"
    writing = stored(path, "score", scores) + stored(path, "mask", [mask.astype(np.uint8) for mask in masks])
    pixels, *numbers = dask.compute(*sums, *writing)[:5]
    found = {
        f"{name}_{phase}": float(numbers[2 * p + n] / pixels)
        for p, phase in enumerate(PHASES)
        for n, name in enumerate(("area", "load"))
    }
    for name in ("area", "load"):
        found[f"{name}_reduction_pct"] = 100 * (1 - found[f"{name}_after"] / found[f"{name}_before"])
    return found


def main() -> None:
    """The script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--cluster", action="store_true", help="processes of a LocalCluster, not threads")
    given = parser.parse_args()

    def boards() -> Iterator[tuple[str, Any]]:
        for pair in read_pairs(given.pairs):
            yield pair.board, board(pair, given.out)

    with ExitStack() as stack:
        if given.cluster:
            from distributed import Client, LocalCluster

            cluster = LocalCluster(
                n_workers=given.workers, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            )
            stack.enter_context(Client(stack.enter_context(cluster)))
        else:
            stack.enter_context(dask.config.set(scheduler="threads", num_workers=given.workers))
        told(boards())


if __name__ == "__main__":
    main()
