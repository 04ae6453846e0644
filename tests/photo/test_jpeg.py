"""Every JPEG decodes completely and as in other libraries, or is refused."""

from __future__ import annotations

import io
import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from photographs import GREY, RGB, H, W, jpeg_bytes, picture, refusal, saved
from PIL import Image

from residue_batch import photo


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
