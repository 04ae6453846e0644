"""A shard: what zarr's sharding codec reads, of chunks that its Blosc (bitshuffle, LZ4) and crc32c codecs read.

Put together here because zarr needs 2.5 ms for any shard, however small, and a tile has a dozen; and because Blosc
moves each byte four times before it is coded. A chunk is one block.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import google_crc32c
import imagecodecs
import numpy as np

from residue_batch import kernels
from residue_batch.geometry import Array

# The bits of noisy codes apart: a third of the time of zstd, for 2 to 6 % more bytes.
CODER: Mapping[str, Any] = {"cname": "lz4", "shuffle": "bitshuffle", "typesize": 1, "clevel": 5, "blocksize": 0}
ACCELERATION = 5
"""What LZ4 may leave out in a hurry; Blosc's at this level."""
HEAD = struct.Struct("<BBBB5i")
FORMAT, LZ4_FORMAT, LZ4_BITS_APART = 2, 1, 0x24
EMPTY = (1 << 64) - 1
"""In the index of a shard, a chunk that is not there."""


def shard(planes: Sequence[Array], side: int, inner: int) -> list[bytes]:
    """A shard of uint8 (h, w) planes in parts: chunks of ``inner`` px, then their index, each with its crc32c.

    ``side`` is that of the shard, px; ``inner`` a multiple of 8. Chunks wholly beyond the planes are marked as empty;
    every chunk inside is written, padded with 0.
    """
    height, width = planes[0].shape
    down, across = (range(0, extent, inner) for extent in (height, width))
    index = np.full((len(planes), side // inner, side // inner, 2), EMPTY, "<u8")
    parts: list[bytes] = []
    places, end = [], 0
    for plane in planes:
        for top in down:
            for left in across:
                coded = _chunk(plane[top : top + inner, left : left + inner], inner)
                size = sum(map(len, coded))
                parts += coded
                places.append((end, size))
                end += size
    index[:, : len(down), : len(across)] = np.reshape(places, (len(planes), len(down), len(across), 2))
    ended = index.tobytes()
    return [*parts, ended, _crc32c(ended)]


def _chunk(plane: Array, side: int) -> tuple[bytes, bytes, bytes]:
    """A uint8 (h, w) plane as a chunk of ``side`` px: Blosc's header, its only block, the crc32c of both."""
    apart = kernels.bits_apart(plane, side)
    block = bytes(imagecodecs.lz4_encode(apart, level=ACCELERATION))  # type: ignore[arg-type]  # takes any buffer
    if len(block) >= apart.size:  # a block as long as its pixels is not coded
        block = apart.tobytes()
    size = HEAD.size + len(block)
    head = HEAD.pack(FORMAT, LZ4_FORMAT, LZ4_BITS_APART, 1, apart.size, apart.size, size, HEAD.size - 4, len(block))
    return head, block, _crc32c(head, block)


def _crc32c(*parts: bytes) -> bytes:
    return int(reduce(google_crc32c.extend, parts, 0)).to_bytes(4, "little")
