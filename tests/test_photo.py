"""Every photograph decodes completely and upright, or is refused."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import struct
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from residue_batch import photo
from residue_batch.errors import Refusal, UsageError
from residue_batch.photo import arrays, jpeg, profile
from residue_batch.photo.header import Source

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


def refusal(data: bytes, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        photo.decode(data, "board.img", **options)
    assert caught.value.reason in REASONS
    assert "board.img" in caught.value.message
    assert caught.value.remedy
    return caught.value


@pytest.fixture(autouse=True)
def nothing_leaks(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


# -- JPEG ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_a_colour_jpeg_decodes_as_in_other_libraries(progressive: bool, subsampling: str) -> None:
    data = jpeg_bytes(progressive=progressive, subsampling=subsampling)
    found = photo.decode(data, "a.jpg")
    assert np.array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert np.array_equal(found.pixels, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))
    assert found.header.coding == ("progressive" if progressive else "baseline")
    assert found.valid is None
    assert found.tone == "srgb"


def test_a_jpeg_written_by_opencv_or_imagecodecs_decodes() -> None:
    for data in (cv2.imencode(".jpg", RGB[..., ::-1])[1].tobytes(), imagecodecs.jpeg8_encode(RGB, level=92)):
        assert np.abs(photo.decode(data, "a.jpg").pixels.astype(int) - RGB).mean() < 6


def test_a_photograph_is_never_decoded_into_one_that_is_held(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    files = []
    for number in range(4):
        picture = rng.integers(0, 255, (40, 60, 3), np.uint8)
        (tmp_path / f"{number}.jpg").write_bytes(imagecodecs.jpeg8_encode(picture))
        files.append(tmp_path / f"{number}.jpg")
    held = [photo.read(file).pixels for file in files]
    parts = [pixels[3:, ::2] for pixels in held]
    copies = [part.copy() for part in parts]
    del held
    for _ in range(3):
        for file in files:
            assert not photo.read(file).pixels.flags.writeable
    assert all(np.array_equal(part, copy) for part, copy in zip(parts, copies, strict=True))


def test_memory_of_a_photograph_is_used_again_once_nobody_holds_it() -> None:
    first = arrays.room((31, 17, 3))
    place = first.ctypes.data
    second = arrays.room((31, 17, 3))
    assert second.ctypes.data != place
    del first
    third = arrays.room((31, 17, 3))
    assert third.ctypes.data == place
    assert arrays.room((31, 17, 3), np.uint16).dtype == np.uint16


def test_a_grey_jpeg_has_one_channel() -> None:
    found = photo.decode(jpeg_bytes(GREY), "a.jpg")
    assert found.pixels.shape == (H, W, 1)
    assert np.abs(found.pixels.astype(int) - GREY).mean() < 4


def test_a_jpeg_that_stores_rgb_is_not_taken_for_ycbcr() -> None:
    data = jpeg_bytes(keep_rgb=True, quality=98)
    assert np.abs(photo.decode(data, "a.jpg").pixels.astype(int) - RGB).mean() < 2


def test_a_jpeg_with_restart_markers_and_trailing_bytes_decodes() -> None:
    plain = jpeg_bytes(restart_marker_blocks=3)
    found = photo.decode(plain + b"a film of the moment" * 20, "a.jpg")
    assert np.array_equal(found.pixels, photo.decode(plain, "a.jpg").pixels)


def test_a_cmyk_jpeg_is_refused() -> None:
    assert refusal(saved(Image.fromarray(RGB).convert("CMYK"), "JPEG")).reason == "unsupported"


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xCA])
def test_lossless_and_arithmetic_jpegs_are_refused(marker: int) -> None:
    data = jpeg_bytes()
    frame = data.index(b"\xff\xc0\x00\x11")
    assert refusal(data[: frame + 1] + bytes([marker]) + data[frame + 2 :]).reason == "unsupported"


def test_the_frame_of_an_exif_thumbnail_is_not_the_frame_of_the_photograph() -> None:
    thumbnail = jpeg_bytes(RGB[:16, :24])
    block = b"Exif\0\0" + b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 3, 1, 6) + b"\0\0\0\0" + thumbnail
    data = jpeg_bytes()
    with_thumbnail = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    assert photo.sniff(with_thumbnail, "a.jpg").shape == (W, H, 3)
    assert photo.decode(with_thumbnail, "a.jpg").pixels.shape == (W, H, 3)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("source", [RGB, GREY], ids=["rgb", "grey"])
def test_a_truncated_jpeg_is_refused_at_every_byte(progressive: bool, source: np.ndarray) -> None:
    data = jpeg_bytes(source, progressive=progressive)
    for end in range(len(data)):
        assert refusal(data[:end]).reason in {"unreadable", "not_a_photograph"}


def test_a_jpeg_whose_tail_was_never_written_is_refused() -> None:
    data = jpeg_bytes()
    for end in range(700, len(data), 53):
        refusal(data[:end] + bytes(len(data) - end))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_a_jpeg_cut_short_and_closed_with_an_end_marker_is_refused(subsampling: str) -> None:
    data = jpeg_bytes(picture(200, 300), subsampling=subsampling)
    start = data.index(b"\xff\xda") + 14
    for part in np.linspace(0.01, 0.95, 40):
        end = start + int(part * (len(data) - start))
        end -= data[end - 1] == 0xFF
        refusal(data[:end] + b"\xff\xd9")


def test_a_progressive_jpeg_without_its_last_scan_is_refused() -> None:
    data = jpeg_bytes(progressive=True)
    scans = [i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda"]
    for scan in scans:
        assert refusal(data[:scan] + b"\xff\xd9").reason == "unreadable"


def test_a_mid_grey_jpeg_is_not_taken_for_a_cut_one() -> None:
    for grey in (127, 128, 129):
        flat = np.full((H, W, 3), grey, np.uint8)
        for progressive in (False, True):
            assert (photo.decode(jpeg_bytes(flat, progressive=progressive), "a.jpg").pixels == grey).all()


# -- PNG ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [RGB, GREY], ids=["rgb", "grey"])
def test_an_8_bit_png_keeps_every_value(source: np.ndarray) -> None:
    encoded = cv2.imencode(".png", source[..., ::-1])[1].tobytes()
    for data in (png_bytes(source), encoded, imagecodecs.png_encode(source.squeeze())):
        found = photo.decode(data, "a.png")
        assert np.array_equal(found.pixels, source)
        assert found.pixels.flags.c_contiguous
        assert not found.pixels.flags.writeable


@pytest.mark.parametrize("source", [RGB16, GREY16], ids=["rgb", "grey"])
def test_a_16_bit_png_keeps_16_bits(source: np.ndarray) -> None:
    data = cv2.imencode(".png", source[..., ::-1])[1].tobytes()
    found = photo.decode(data, "a.png", tone="linear")
    assert found.pixels.dtype == np.uint16
    assert np.array_equal(found.pixels, source)
    assert found.tone == "linear"


@pytest.mark.parametrize("colours", [200, 12, 2])
def test_a_palette_png_gives_colours_not_indices(colours: int) -> None:
    image = Image.fromarray(RGB).quantize(colours)
    assert np.array_equal(photo.decode(saved(image, "PNG"), "a.png").pixels, np.asarray(image.convert("RGB")))


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


@pytest.mark.parametrize("source", [RGB, GREY, RGB16, GREY16], ids=["rgb", "grey", "rgb16", "grey16"])
def test_an_interlaced_png_decodes(source: np.ndarray) -> None:
    assert np.array_equal(photo.decode(interlaced(source), "a.png", tone="srgb").pixels, source)
    alpha = np.where(OPAQUE, np.iinfo(source.dtype).max, 0).astype(source.dtype)
    found = photo.decode(interlaced(np.dstack([source, alpha])), "a.png", tone="srgb")
    assert np.array_equal(found.pixels, source)
    assert np.array_equal(found.valid, OPAQUE)


@pytest.mark.parametrize("interlace", [0, 1])
def test_a_png_with_too_little_pixel_data_is_refused(interlace: int, capfd: pytest.CaptureFixture[str]) -> None:
    for rows in (b"", bytes(50), bytes(2000)):
        assert refusal(png_of(struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, interlace), rows)).reason == "unreadable"
    if interlace:
        capfd.readouterr()  # OpenCV's libpng says so on stderr, and cannot be told not to


@pytest.mark.parametrize("source", [RGB, GREY, RGB16], ids=["rgb", "grey", "rgb16"])
def test_alpha_of_a_png_becomes_the_valid_mask(source: np.ndarray) -> None:
    full = np.iinfo(source.dtype).max
    alpha = np.where(OPAQUE, full, 0).astype(source.dtype)
    alpha[0, :3] = 1, full // 2, full - 1  # partly transparent is not valid
    data = imagecodecs.png_encode(np.dstack([source, alpha]))
    found = photo.decode(data, "a.png", tone="srgb")
    assert np.array_equal(found.pixels, source)
    assert np.array_equal(found.valid, alpha == full)
    assert found.header.has_alpha
    assert found.header.channels == source.shape[2]


def test_an_opaque_alpha_channel_leaves_no_mask() -> None:
    assert photo.decode(png_bytes(np.dstack([RGB, np.full((H, W), 255, np.uint8)])), "a.png").valid is None


def test_a_photograph_without_an_opaque_pixel_is_refused() -> None:
    transparent = np.dstack([RGB, np.full((H, W), 254, np.uint8)])
    assert refusal(png_bytes(transparent)).reason == "not_a_photograph"


def test_transparent_colours_of_a_png_become_the_valid_mask() -> None:
    key = tuple(int(v) for v in RGB[5, 6])
    found = photo.decode(png_bytes(transparency=key), "a.png")
    assert np.array_equal(found.valid, (RGB != key).any(-1))
    found = photo.decode(png_bytes(GREY, transparency=int(GREY[5, 6, 0])), "a.png")
    assert np.array_equal(found.valid, GREY[..., 0] != GREY[5, 6, 0])
    image = Image.fromarray(RGB).quantize(99)
    found = photo.decode(saved(image, "PNG", transparency=3), "a.png")
    assert np.array_equal(found.valid, np.asarray(image) != 3)


def test_an_animated_png_is_refused() -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]
    assert refusal(saved(frames[0], "PNG", save_all=True, append_images=frames[1:])).reason == "unsupported"


def test_line_art_is_refused() -> None:
    assert refusal(saved(Image.fromarray(OPAQUE), "PNG")).reason == "not_a_photograph"
    assert refusal(saved(Image.fromarray(OPAQUE), "TIFF")).reason == "not_a_photograph"


def test_a_truncated_png_is_refused_at_every_byte() -> None:
    data = png_bytes(RGB[:24, :30])
    for end in range(len(data)):
        refusal(data[:end])


def test_a_png_with_any_changed_pixel_byte_is_refused() -> None:
    data = bytearray(png_bytes(RGB[:24, :30]))
    start = data.index(b"IDAT")
    for i in range(start, len(data) - 12, 7):
        data[i] ^= 0x20
        refusal(bytes(data))
        data[i] ^= 0x20


def test_an_orientation_that_follows_the_pixels_of_a_png_is_refused() -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = png_bytes()
    assert refusal(data[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + data[-12:]).reason == "unsupported"


# -- TIFF ---------------------------------------------------------------------------------------------------------

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


def tag_values(data: bytes, tag: int) -> tuple[int, int, str]:
    """Where the values of a tag stand, how many, and their struct letter."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        found = file.pages[0].tags[tag]
        return found.valueoffset, found.count, {3: "H", 4: "I", 16: "Q"}[int(found.dtype)]


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


# -- orientation --------------------------------------------------------------------------------------------------

STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def oriented(kind: str, pixels: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    if kind == "jpeg":
        return jpeg_bytes(pixels, exif=exif, quality=95, subsampling="4:4:4")
    if kind == "png":
        return png_bytes(pixels, exif=exif)
    return tiff_bytes(pixels.squeeze(), extratags=[(274, 3, 1, orientation, True)])


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    for source in (RGB, GREY):
        data = oriented(kind, np.ascontiguousarray(STORED[orientation](source)), orientation)
        found = photo.decode(data, "a")
        assert found.pixels.shape == found.header.shape == source.shape
        assert found.pixels.flags.c_contiguous
        difference = np.abs(found.pixels.astype(int) - source)
        assert difference.mean() < 3 if kind == "jpeg" else not difference.any()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_valid_mask_turns_with_the_picture(orientation: int) -> None:
    stored = np.ascontiguousarray(STORED[orientation](np.dstack([RGB, np.where(OPAQUE, 255, 0).astype(np.uint8)])))
    found = photo.decode(oriented("png", stored, orientation), "a.png")
    assert np.array_equal(found.pixels, RGB)
    assert np.array_equal(found.valid, OPAQUE)
    assert found.valid is not None
    assert found.valid.dtype == np.bool_


@pytest.mark.parametrize("orientation", range(1, 9))
def test_16_bit_arrays_turn_too(orientation: int) -> None:
    assert np.array_equal(arrays.upright(np.ascontiguousarray(STORED[orientation](RGB16)), orientation), RGB16)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_not_defined_counts_as_upright(orientation: int) -> None:
    assert photo.sniff(oriented("tiff", RGB, orientation), "a.tif").orientation == 1
    assert photo.sniff(oriented("jpeg", RGB, orientation), "a.jpg").orientation == 1


# -- tone and colour ----------------------------------------------------------------------------------------------


def test_16_bit_values_need_a_tone() -> None:
    assert refusal(tiff_bytes(RGB16)).reason == "needs_tone"
    assert refusal(imagecodecs.png_encode(RGB16)).reason == "needs_tone"
    assert photo.decode(tiff_bytes(RGB16), "a.tif", tone="srgb").tone == "srgb"
    with pytest.raises(UsageError):
        photo.decode(tiff_bytes(RGB16), "a.tif", tone="gamma")


def profile_of(name: str) -> bytes:
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


def matrix_profile(colorants: Sequence[tuple[float, ...]], gamma: float | None, space: bytes = b"RGB ") -> bytes:
    """A small matrix profile; ``gamma`` None is the curve of sRGB."""
    if gamma is None:
        numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
        curve = b"para\0\0\0\0\0\x03\0\0" + struct.pack(">5i", *(round(v * 65536) for v in numbers))
    else:
        curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = [
        (name, b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in xyz)))
        for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)
    ]
    tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC", b"kTRC")]
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags:
        table += struct.pack(">4sII", name, 132 + 12 * len(tags) + len(body), len(data))
        body += data
    head = bytes(16) + space + b"XYZ " + bytes(12) + b"acsp" + bytes(88)
    return head + table + body


SRGB_COLORANTS = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
ADOBE_COLORANTS = [(0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)]


def with_profile(kind: str, icc: bytes) -> bytes:
    if kind == "jpeg":
        return jpeg_bytes(icc_profile=icc)
    if kind == "png":
        return png_bytes(icc_profile=icc)
    return saved(Image.fromarray(RGB), "TIFF", icc_profile=icc)


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_srgb_profiles_pass_and_others_are_refused(kind: str) -> None:
    for icc in (profile_of("srgb"), matrix_profile(SRGB_COLORANTS, None)):
        assert photo.decode(with_profile(kind, icc), "a").header.icc == "srgb"
    for icc in (matrix_profile(ADOBE_COLORANTS, 2.2), profile_of("LAB"), b"not a profile at all"):
        data = with_profile(kind, icc)
        assert refusal(data).reason == "colour_profile"
        assert photo.decode(data, "a", any_profile=True).header.icc == "other"
    assert photo.decode(with_profile(kind, b""), "a").header.icc == "none"


def test_profiles_are_judged_by_their_curves_too() -> None:
    assert profile.kind(matrix_profile(SRGB_COLORANTS, 2.2)) == "other"
    assert profile.kind(matrix_profile(SRGB_COLORANTS, 1.0)) == "other"
    assert profile.kind(matrix_profile(SRGB_COLORANTS, None, b"GRAY")) == "srgb"
    assert profile.kind(matrix_profile(SRGB_COLORANTS, 1.8, b"GRAY")) == "other"
    for end in range(0, 400, 3):
        assert profile.kind(profile_of("srgb")[:end]) == "other"


def test_a_profile_split_over_several_jpeg_segments_is_joined() -> None:
    srgb = profile_of("srgb")
    assert photo.sniff(jpeg_bytes(icc_profile=srgb + bytes(70_000)), "a.jpg").icc == "srgb"


def test_adobe_rgb_that_only_exif_mentions_is_refused() -> None:
    exif = Image.Exif()
    exif.get_ifd(34665)[40961] = 65535
    exif.get_ifd(34665)[40965] = {1: "R03"}
    assert refusal(jpeg_bytes(exif=exif)).reason == "colour_profile"


def test_the_colour_chunks_of_a_png_count() -> None:
    assert photo.sniff(png_with(png_chunk(b"sRGB", b"\0")), "a.png").icc == "srgb"
    assert photo.sniff(png_with(png_chunk(b"gAMA", struct.pack(">I", 45455))), "a.png").icc == "none"
    assert photo.sniff(png_with(png_chunk(b"gAMA", struct.pack(">I", 100000))), "a.png").icc == "other"
    assert photo.sniff(png_with(png_chunk(b"cICP", b"\x09\x10\0\x01")), "a.png").icc == "other"


# -- limits -------------------------------------------------------------------------------------------------------


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


# -- files --------------------------------------------------------------------------------------------------------


def test_a_file_is_read_once_hashed_and_decoded(tmp_path: Path) -> None:
    for name, data in (("a.jpg", jpeg_bytes()), ("b.png", png_bytes()), ("c.tif", tiff_bytes(compression="lzw"))):
        path = tmp_path / name
        path.write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        found = photo.read(path, sha256=digest.upper())
        assert found.sha256 == digest
        assert found.header == photo.read_header(path) == photo.sniff(data, name)
        with pytest.raises(Refusal, match="hash_mismatch") as caught:
            photo.read(path, sha256="0" * 64)
        assert str(path) in caught.value.message


def test_what_was_hashed_is_what_is_decoded_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    hashed = photo.hash_file(path, keep=True).sha256
    path.write_bytes(b"replaced meanwhile")
    assert photo.read(path, sha256=hashed).sha256 == hashed
    with pytest.raises(Refusal, match="hash_mismatch"):
        photo.read(path, sha256=hashed)


def test_a_file_can_be_hashed_without_being_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_bytes())
    found = photo.hash_file(path)
    assert found.sha256 == photo.read(path).sha256
    assert (found.size, found.mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns)
    photo.check_hash(path, found.sha256, None)
    photo.check_hash(path, found.sha256, found.sha256.upper())
    with pytest.raises(Refusal, match="hash_mismatch"):
        photo.check_hash(path, found.sha256, "0" * 64)
    with pytest.raises(Refusal, match="unreadable"):
        photo.hash_file(tmp_path)


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really.jpg"
    path.write_bytes(png_bytes())
    assert photo.read(path).header.format == "png"


def test_a_header_is_read_without_reading_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    got = []
    read = os.read

    def counting(descriptor: int, count: int) -> bytes:
        got.append(count)
        return read(descriptor, count)

    for data in (jpeg_bytes(noise), png_bytes(noise), tiff_bytes(noise, rowsperstrip=8)):
        path = tmp_path / "photo"
        path.write_bytes(data)
        with monkeypatch.context() as patch:
            patch.setattr(os, "read", counting)
            photo.read_header(path)
        assert sum(got) < 4096
        got.clear()


def refused_file(path: Path | str) -> Refusal:
    for function in (photo.read, photo.read_header):
        with pytest.raises(Refusal) as caught:
            function(path)
        assert caught.value.reason in REASONS
        assert caught.value.remedy
    return caught.value


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "fifo.jpg"
    os.mkfifo(path)
    thread = threading.Thread(target=refused_file, args=(path,), daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "FIFO" in refused_file(path).message


def test_directories_and_devices_are_refused(tmp_path: Path) -> None:
    assert "directory" in refused_file(tmp_path).message
    if Path("/dev/zero").exists():
        assert "device" in refused_file("/dev/zero").message


def test_a_missing_file_is_refused_with_its_cause(tmp_path: Path) -> None:
    assert isinstance(refused_file(tmp_path / "none.jpg").__cause__, FileNotFoundError)
    assert refused_file("a\0b.jpg").reason == "unreadable"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"),
        (b"\0" * 5000, "unreadable"),
        (b"Dear customer, the photos will follow.\n" * 9, "not_a_photograph"),
        (b"<!DOCTYPE html><title>404</title>", "not_a_photograph"),
        (b"\xff", "not_a_photograph"),
        (b"\xff\xd8\xff", "unreadable"),
        (b"\x89PNG\r\n\x1a\n", "unreadable"),
        (b"II*\0", "unreadable"),
        (saved(Image.fromarray(RGB), "BMP"), "unsupported"),
        (saved(Image.fromarray(RGB), "GIF"), "unsupported"),
        (saved(Image.fromarray(RGB), "WEBP"), "unsupported"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "unsupported"),
    ],
)
def test_what_is_no_photograph_is_refused_with_the_right_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "board.jpg"
    path.write_bytes(content)
    assert refused_file(path).reason == reason


def test_a_sparse_giant_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "giant.jpg"
    with path.open("wb") as file:
        file.write(jpeg_bytes())
        file.truncate(8 * 2**30)
    with pytest.raises(Refusal, match="too_large"):
        photo.read(path)


def test_photos_pickle_for_other_processes() -> None:
    found = photo.decode(jpeg_bytes(), "a.jpg")
    again = pickle.loads(pickle.dumps(found))
    assert np.array_equal(again.pixels, found.pixels)
    assert again.header == found.header


# -- damage -------------------------------------------------------------------------------------------------------

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
