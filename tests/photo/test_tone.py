"""16-bit values need a tone, and colours that are not those of sRGB are refused."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import imagecodecs
import pytest
from photographs import RGB, RGB16, jpeg_bytes, png_bytes, png_chunk, png_with, profile_of, refusal, saved, tiff_bytes
from PIL import Image

from residue_batch import photo
from residue_batch.errors import UsageError
from residue_batch.photo import profile


def test_16_bit_values_need_a_tone() -> None:
    assert refusal(tiff_bytes(RGB16)).reason == "needs_tone"
    assert refusal(imagecodecs.png_encode(RGB16)).reason == "needs_tone"
    assert photo.decode(tiff_bytes(RGB16), "a.tif", tone="srgb").tone == "srgb"
    with pytest.raises(UsageError):
        photo.decode(tiff_bytes(RGB16), "a.tif", tone="gamma")


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
