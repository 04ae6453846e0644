"""Every TIFF keeps its values in every layout and coding, or is refused."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from photographs import GREY, GREY16, OPAQUE, RGB, RGB16, refusal, saved, tag_values, tiff_bytes
from PIL import Image

from residue_batch import photo
from residue_batch.errors import Refusal

CODINGS: list[dict[str, Any]] = [
    {},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "packbits"},
]


@pytest.mark.parametrize("source", [RGB, GREY, RGB16, GREY16], ids=["rgb", "grey", "rgb16", "grey16"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_a_tiff_keeps_every_value(source: np.ndarray, order: str, coding: dict[str, Any]) -> None:
    layouts: list[dict[str, Any]] = [{"rowsperstrip": 7}, {"tile": (32, 48)}, {"bigtiff": True}]
    for layout in layouts:
        data = tiff_bytes(source.squeeze(), byteorder=order, **coding, **layout)
        found = photo.decode(data, "a.tif", tone="srgb")
        assert np.array_equal(found.pixels, source)
        assert found.pixels.dtype == source.dtype
        assert found.pixels.dtype.isnative
        assert found.valid is None


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_a_planar_tiff_becomes_interleaved(coding: dict[str, Any]) -> None:
    for source in (RGB, RGB16):
        for layout in ({"rowsperstrip": 7}, {"tile": (32, 48)}):
            planes = np.ascontiguousarray(source.transpose(2, 0, 1))
            data = tiff_bytes(planes, planarconfig="separate", **coding, **layout)
            assert np.array_equal(photo.decode(data, "a.tif", tone="srgb").pixels, source)


def test_tiffs_of_pillow_and_opencv_decode() -> None:
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"):
        data = saved(Image.fromarray(RGB), "TIFF", compression=compression)
        assert np.array_equal(photo.decode(data, "a.tif").pixels, RGB)
    for source in (RGB, RGB16, GREY16):
        data = cv2.imencode(".tiff", source[..., ::-1])[1].tobytes()
        assert np.array_equal(photo.decode(data, "a.tif", tone="srgb").pixels, source)


def test_a_tiff_of_jpeg_pieces_decodes_as_in_other_libraries() -> None:
    for data in (
        saved(Image.fromarray(RGB), "TIFF", compression="jpeg", quality=95),
        tiff_bytes(compression="jpeg", tile=(32, 48)),
        tiff_bytes(compression="jpeg", compressionargs={"level": 95}, rowsperstrip=16),
        tiff_bytes(GREY.squeeze(), compression="jpeg"),
    ):
        found = photo.decode(data, "a.tif")
        other = tifffile.imread(io.BytesIO(data)).reshape(found.pixels.shape)
        assert np.array_equal(found.pixels, other)
        assert np.abs(found.pixels.astype(int) - (RGB if found.header.channels == 3 else GREY)).mean() < 6


@pytest.mark.parametrize("source", [GREY, GREY16], ids=["8", "16"])
def test_a_tiff_whose_zero_is_white_is_turned_to_black(source: np.ndarray) -> None:
    data = tiff_bytes(np.invert(source.squeeze()), photometric="miniswhite", compression="lzw")
    assert np.array_equal(photo.decode(data, "a.tif", tone="srgb").pixels, source)
    if source.dtype == np.uint8:
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), source.squeeze())


@pytest.mark.parametrize("kind", ["assocalpha", "unassalpha"])
def test_alpha_of_a_tiff_becomes_the_valid_mask(kind: str) -> None:
    for source in (RGB, RGB16, GREY):
        alpha = np.where(OPAQUE, np.iinfo(source.dtype).max, 0).astype(source.dtype)
        photometric = "rgb" if source.shape[2] == 3 else "minisblack"
        data = tiff_bytes(
            np.dstack([source, alpha]), photometric=photometric, extrasamples=[kind], planarconfig="contig"
        )
        found = photo.decode(data, "a.tif", tone="srgb")
        assert np.array_equal(found.pixels, source)
        assert np.array_equal(found.valid, OPAQUE)


def test_a_channel_of_unknown_meaning_is_refused() -> None:
    data = tiff_bytes(np.dstack([RGB, GREY]), photometric="rgb", extrasamples=["unspecified"])
    assert refusal(data).reason == "unsupported"


def pages(*subfiles: int) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for i, kind in enumerate(subfiles):
            pixels = RGB if i == 0 else np.ascontiguousarray(RGB[::2, ::2])
            writer.write(pixels, photometric="rgb", subfiletype=kind)
    return out.getvalue()


def test_a_tiff_may_hold_thumbnails_but_no_second_picture() -> None:
    assert np.array_equal(photo.decode(pages(0, 1, 1), "a.tif").pixels, RGB)
    assert refusal(pages(0, 0)).reason == "unsupported"
    assert refusal(pages(0, 1, 0)).reason == "unsupported"
    assert refusal(pages(1, 0)).reason == "unsupported"


def test_tiffs_without_srgb_values_are_refused_with_the_reason() -> None:
    assert "floating-point" in refusal(tiff_bytes(RGB.astype(np.float32))).message
    assert "signed" in refusal(tiff_bytes(RGB.astype(np.int16))).message
    assert "32" in refusal(tiff_bytes(RGB.astype(np.uint32))).message
    assert "CMYK" in refusal(saved(Image.fromarray(RGB).convert("CMYK"), "TIFF")).message
    assert "palette" in refusal(saved(Image.fromarray(RGB).quantize(99), "TIFF")).message
    assert "DNG" in refusal(tiff_bytes(extratags=[(50706, 1, 4, b"\x01\x04\0\0", True)])).message
    assert "compressed" in refusal(tiff_bytes(compression="zstd")).message


@pytest.mark.parametrize("coding", [*CODINGS, {"compression": "jpeg"}], ids=str)
def test_a_truncated_tiff_is_refused_or_identical(coding: dict[str, Any]) -> None:
    for layout in ({"rowsperstrip": 7 if "jpeg" not in coding.values() else 8}, {"tile": (16, 16)}):
        data = tiff_bytes(RGB[:40, :48], **coding, **layout)
        whole = photo.decode(data, "a.tif").pixels
        for end in [*range(0, len(data), 31), *range(len(data) - 4, len(data))]:
            same_or_refused(data[:end], whole)
            # Without checksum or end code, zeros in the place of pixels are pixels: only the sha256 tells.
            defenceless = coding.get("compression", "packbits") == "packbits"
            same_or_refused(data[:end] + bytes(len(data) - end), whole, may_differ=defenceless)


def same_or_refused(data: bytes, whole: np.ndarray, *, may_differ: bool = False) -> None:
    try:
        found = photo.decode(data, "a.tif").pixels
    except Refusal:
        return
    assert may_differ or np.array_equal(found, whole)


@pytest.mark.parametrize(
    ("tag", "value"),
    [(273, 0), (273, 2**31), (273, 4), (279, 0), (279, 2**31), (279, 1), (257, 76), (256, 1000), (278, 5), (278, 0)],
)
def test_a_tiff_with_torn_offsets_counts_or_sizes_is_refused(tag: int, value: int) -> None:
    data = bytearray(tiff_bytes(rowsperstrip=7, compression="zlib"))
    offset, _, letter = tag_values(bytes(data), tag)
    struct.pack_into("<" + letter, data, offset, min(value, 2 ** (8 * struct.calcsize(letter)) - 1))
    assert refusal(bytes(data)).reason == "unreadable"


def test_two_strips_of_a_tiff_may_not_share_bytes() -> None:
    data = bytearray(tiff_bytes(rowsperstrip=7))
    offset, count, letter = tag_values(bytes(data), 273)
    assert count > 2
    first = struct.unpack_from("<" + letter, data, offset)[0]
    struct.pack_into("<" + letter, data, offset + struct.calcsize(letter), first)
    assert refusal(bytes(data)).reason == "unreadable"


def test_a_tiff_whose_directory_lies_past_its_end_is_refused() -> None:
    data = tiff_bytes()
    assert refusal(data[:4] + struct.pack("<I", len(data) + 100) + data[8:]).reason == "unreadable"


def test_a_tiff_whose_pages_run_in_a_circle_is_refused() -> None:
    data = bytearray(pages(0, 1))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        second = file.pages[1].offset
    entries = struct.unpack_from("<H", data, second)[0]
    struct.pack_into("<I", data, second + 2 + 12 * entries, second)
    assert "without end" in refusal(bytes(data)).message
