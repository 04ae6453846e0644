"""Every PNG keeps its values and its transparency, or is refused."""

from __future__ import annotations

import struct

import cv2
import imagecodecs
import numpy as np
import pytest
from photographs import GREY, GREY16, OPAQUE, RGB, RGB16, H, W, interlaced, png_bytes, png_chunk, png_of, refusal, saved
from PIL import Image

from residue_batch import photo


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
