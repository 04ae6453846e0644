"""Small photographs as bytes: JPEG, PNG and TIFF in every variety, and the refusal of what does not decode."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from residue_batch import photo
from residue_batch.errors import Refusal

H, W = 75, 101
REASONS = {
    "unreadable",
    "not_a_photograph",
    "too_large",
    "hash_mismatch",
    "needs_tone",
    "colour_profile",
    "unsupported",
}


def picture(height: int = H, width: int = W, channels: int = 3, dtype: str = "uint8") -> np.ndarray:
    """A smooth picture without symmetry, with some grain."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(20, 236, (6, 7, channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)
    grain = rng.integers(-6, 7, smooth.shape)
    found = np.clip(smooth + grain, 0, 255)
    return (found * 257 + 3 if dtype == "uint16" else found).clip(0, np.iinfo(dtype).max).astype(dtype)


RGB = picture()
GREY = picture(channels=1)
RGB16 = picture(dtype="uint16")
GREY16 = picture(channels=1, dtype="uint16")
OPAQUE = np.add.outer(np.arange(H), np.arange(W)) % 50 > 20


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg_bytes(pixels: np.ndarray = RGB, **options: Any) -> bytes:
    return saved(Image.fromarray(pixels.squeeze()), "JPEG", **({"quality": 92} | options))


def png_bytes(pixels: np.ndarray = RGB, **options: Any) -> bytes:
    return saved(Image.fromarray(pixels.squeeze()), "PNG", **options)


def tiff_bytes(pixels: np.ndarray = RGB, **options: Any) -> bytes:
    out = io.BytesIO()
    kind = "rgb" if pixels.ndim == 3 and 3 in (pixels.shape[0], pixels.shape[-1]) else "minisblack"
    tifffile.imwrite(out, pixels, **({"photometric": kind} | options))
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(header: bytes, rows: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return png_bytes()[:8] + b"".join(png_chunk(kind, data) for kind, data in chunks)


def png_with(extra: bytes, data: bytes | None = None) -> bytes:
    """A PNG with chunks inserted right after its header."""
    data = data or png_bytes()
    return data[:33] + extra + data[33:]


def interlaced(pixels: np.ndarray) -> bytes:
    """The picture as an Adam7 PNG; no library at hand writes one."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = b"".join(
        b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes()
        for top, left, down, across in passes
        for row in pixels[top::down, left::across]
    )
    height, width, channels = pixels.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, colour, 0, 0, 1)
    return png_of(header, rows)


def tag_values(data: bytes, tag: int) -> tuple[int, int, str]:
    """Where the values of a tag stand, how many, and their struct letter."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[0].tags[tag]
        return found.valueoffset, found.count, {3: "H", 4: "I", 16: "Q"}[int(found.dtype)]


def oriented(kind: str, pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    if kind == "jpeg":
        return jpeg_bytes(pixels, exif=exif, quality=95, subsampling="4:4:4")
    if kind == "png":
        return png_bytes(pixels, exif=exif)
    return tiff_bytes(pixels.squeeze(), extratags=[(274, 3, 1, orientation, True)])


def profile_of(name: str) -> bytes:
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def refusal(data: bytes, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        photo.decode(data, "board.img", **options)
    assert caught.value.reason in REASONS
    assert "board.img" in caught.value.message
    assert caught.value.remedy
    return caught.value
