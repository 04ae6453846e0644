"""Damaged bytes give a photograph or a refusal, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from photographs import (
    GREY,
    REASONS,
    RGB,
    RGB16,
    H,
    W,
    interlaced,
    jpeg_bytes,
    oriented,
    png_bytes,
    profile_of,
    refusal,
    saved,
    tiff_bytes,
)
from PIL import Image

from residue_batch import photo
from residue_batch.errors import Refusal
from residue_batch.photo import jpeg
from residue_batch.photo.header import Source

SEEDS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: jpeg_bytes(RGB[:32, :40], icc_profile=profile_of("srgb")),
    "progressive": lambda: jpeg_bytes(RGB[:32, :40], progressive=True, exif=Image.Exif()),
    "exif": lambda: oriented("jpeg", RGB[:32, :40], 6),
    "png": lambda: png_bytes(RGB[:32, :40], icc_profile=profile_of("srgb")),
    "palette": lambda: saved(Image.fromarray(RGB[:32, :40]).quantize(50), "PNG", transparency=3),
    "interlaced": lambda: interlaced(RGB[:32, :40]),
    "strips": lambda: tiff_bytes(RGB[:32, :40], rowsperstrip=5, compression="zlib"),
    "lzw": lambda: tiff_bytes(RGB[:32, :40], rowsperstrip=5, compression="lzw", predictor=True),
    "packbits": lambda: tiff_bytes(RGB[:32, :40], rowsperstrip=5, compression="packbits"),
    "tiles": lambda: tiff_bytes(RGB16[:32, :40], tile=(16, 16), bigtiff=True),
    "jpeg tiles": lambda: tiff_bytes(RGB[:32, :40], tile=(16, 16), compression="jpeg"),
    "alpha": lambda: saved(Image.fromarray(np.dstack([RGB, np.full_like(GREY, 255)])), "TIFF"),
}


@pytest.mark.parametrize("kind", SEEDS)
def test_damaged_bytes_give_a_photograph_or_a_refusal_and_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(sum(map(ord, kind)))
    data = SEEDS[kind]()
    for _ in range(400):
        damaged = bytearray(data)
        # Headers stand at either end of these formats; most damage goes there.
        where = len(data) if rng.random() < 0.3 else min(len(data), 300)
        for _ in range(rng.integers(1, 5)):
            at = int(rng.integers(where))
            damaged[-at - 1 if rng.random() < 0.2 else at] = rng.choice(
                [0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]
            )
        cut = len(data) if rng.random() < 0.8 else int(rng.integers(len(data)))
        try:
            found = photo.decode(bytes(damaged[:cut]), "a", tone="srgb", any_profile=True, max_pixels=10**7)
        except Refusal as error:
            assert error.reason in REASONS
            continue
        assert found.pixels.shape == found.header.shape
        assert found.pixels.dtype == found.header.dtype


def test_noise_behind_a_magic_number_is_refused() -> None:
    rng = np.random.default_rng(3)
    for magic in (b"\xff\xd8\xff", png_bytes()[:8], png_bytes()[:33], b"II*\0\x08\0\0\0", b"MM\0+\0\x08\0\0"):
        for _ in range(200):
            refusal(magic + rng.bytes(int(rng.integers(400))))


def test_a_crafted_run_of_fill_bytes_ends_quickly() -> None:
    assert refusal(b"\xff" * 2 + b"\xd8" + b"\xff" * 3_000_000).reason in REASONS
    assert refusal(b"\xff\xd8" + b"\xff" * 3_000_000).reason == "unreadable"


def test_the_marker_walk_stops_at_the_first_scan() -> None:
    frame = jpeg.read_frame(Source.of(jpeg_bytes(), "a.jpg"))
    assert (frame.height, frame.width, frame.components) == (H, W, (1, 2, 3))
