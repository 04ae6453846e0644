"""Limits hold before anything is decoded, and what would burst them is refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
from photographs import H, W, jpeg_bytes, png_bytes, png_chunk, png_of, png_with, refusal, tag_values, tiff_bytes

from residue_batch import photo


def test_limits_hold_before_anything_is_decoded() -> None:
    for data in (jpeg_bytes(), png_bytes(), tiff_bytes()):
        assert refusal(data, max_pixels=H * W - 1).reason == "too_large"
        assert refusal(data, max_bytes=3 * H * W - 1).reason == "too_large"
        photo.decode(data, "a", max_pixels=H * W, max_bytes=3 * H * W)


def bomb_png(side: int) -> bytes:
    return png_of(struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0), bytes(10_000))


def test_header_bombs_are_refused() -> None:
    assert refusal(bomb_png(60_000)).reason == "too_large"
    assert refusal(bomb_png(30_000)).reason == "unreadable"
    assert refusal(bomb_png(0)).reason == "unreadable"
    data = jpeg_bytes()
    frame = data.index(b"\xff\xc0\x00\x11") + 5
    assert refusal(data[:frame] + b"\xff\xff\xff\xff" + data[frame + 4 :]).reason == "too_large"
    assert refusal(data[:frame] + b"\x70\x00\x70\x00" + data[frame + 4 :]).reason == "unreadable"
    small = tiff_bytes(np.zeros((16, 16, 3), np.uint8), tile=(16, 16), compression="zlib")
    for tag in (322, 323):
        changed = bytearray(small)
        offset, _, letter = tag_values(small, tag)
        struct.pack_into("<" + letter, changed, offset, 65520)
        assert refusal(bytes(changed)).reason == "unreadable"


def test_a_profile_bomb_is_refused_quickly() -> None:
    packed = b"name\0\0" + zlib.compress(bytes(2**26), 9)
    assert photo.sniff(png_with(png_chunk(b"iCCP", packed)), "a.png").icc == "other"
