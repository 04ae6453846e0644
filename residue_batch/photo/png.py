"""PNG: chunks before the pixels, and pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from residue_batch.geometry import Array
from residue_batch.photo import arrays, profile, tags
from residue_batch.photo.header import EXPORT_AGAIN, FETCH_AGAIN, Header, Icc, Source, refuse

MAGIC = b"\x89PNG\r\n\x1a\n"

_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}  # by colour type; 3 is a palette, always expanded
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_CODINGS = {0: "grey", 2: "rgb", 3: "palette", 4: "grey+alpha", 6: "rgb+alpha"}
_MAX_CHUNK = 2**24
_INTERLACE = 28  # offset of the interlace method in the file: IHDR always comes first
_SRGB_GAMMA, _GAMMA_TOLERANCE = 45455, 500
_SRGB_CICP = b"\x01\x0d\x00\x01"


def header(source: Source) -> Header:
    """The header of a PNG file; animations and line art of under 8 bits of grey are refused."""
    height = width = depth = colour = -1
    found: dict[bytes, bytes] = {}
    for kind, position, length in _chunks(source):
        if (kind == b"IHDR") != (height < 0):
            refuse("unreadable", f"{source.name} has its PNG chunks out of order", FETCH_AGAIN)
        if kind == b"acTL":
            refuse("unsupported", f"{source.name} is an animation", "save one frame of it as a plain PNG")
        if kind == b"IDAT":
            break
        if kind == b"IEND":
            refuse("unreadable", f"{source.name} ends before its picture starts", FETCH_AGAIN)
        if kind == b"IHDR":
            width, height, depth, colour = _image_header(source, _chunk(source, kind, position, length))
        elif kind in (b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cICP", b"eXIf"):
            found.setdefault(kind, _chunk(source, kind, position, length))
    orientation, adobe = tags.exif(found[b"eXIf"], source.name) if b"eXIf" in found else (1, False)
    icc = _profile(found)
    return Header(
        "png",
        height,
        width,
        _CHANNELS[colour],
        "uint16" if depth == 16 else "uint8",
        colour in (4, 6) or b"tRNS" in found,
        orientation,
        "other" if adobe and icc == "none" else icc,
        _CODINGS[colour],
    )


def pixels(data: bytes, header: Header, name: str) -> tuple[Array, Array | None]:
    """Decode to (H, W, C) and, with alpha, the mask of opaque pixels; not yet upright."""
    bare = _bare(data, name)
    try:
        found = _decode_interlaced(bare, header) if data[_INTERLACE] else _decode(bare)
    except MemoryError:
        raise
    except Exception as error:
        refuse("unreadable", f"{name} cannot be decoded: {error}", FETCH_AGAIN, error)
    if found.shape[2] != header.channels + header.has_alpha:
        refuse("unreadable", f"{name} decodes to {found.shape[2]} channels, not as its header says", FETCH_AGAIN)
    return arrays.split_alpha(found) if header.has_alpha else (found, None)


def _decode(bare: bytes) -> Array:
    import imagecodecs

    found = np.asarray(imagecodecs.png_decode(bare))
    return found[..., None] if found.ndim == 2 else found


def _decode_interlaced(bare: bytes, header: Header) -> Array:
    """Interlaced files go to OpenCV: imagecodecs reads them right but logs a warning each time."""
    import cv2

    found: Array | None = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError("its compressed data is damaged")
    if found.ndim == 2:
        return found[..., None]
    if header.channels == 1:  # grey with alpha comes as BGRA
        return np.ascontiguousarray(found[..., [0, -1]])
    code = cv2.COLOR_BGRA2RGBA if found.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return np.asarray(cv2.cvtColor(found, code))


def _chunks(source: Source) -> Iterator[tuple[bytes, int, int]]:
    """(kind, offset of the data, length) of each chunk; every one must lie in the file."""
    position = len(MAGIC)
    while True:
        length, kind = struct.unpack(">I4s", source.at(position, 8))
        if position + 12 + length > source.size:
            source.at(position, 12 + length)
        yield kind, position + 8, length
        position += 12 + length


def _chunk(source: Source, kind: bytes, position: int, length: int) -> bytes:
    if length > _MAX_CHUNK:
        refuse("unreadable", f"{source.name} has a chunk {kind!r} of {length} bytes", FETCH_AGAIN)
    data = source.at(position, length + 4)
    if zlib.crc32(data[:-4], zlib.crc32(kind)) != int.from_bytes(data[-4:], "big"):
        refuse("unreadable", f"{source.name} is damaged: the checksum of {kind!r} is wrong", FETCH_AGAIN)
    return data[:-4]


def _image_header(source: Source, data: bytes) -> tuple[int, int, int, int]:
    if len(data) != 13:
        refuse("unreadable", f"{source.name} has a torn header", FETCH_AGAIN)
    width, height, depth, colour = struct.unpack_from(">IIBB", data)
    if depth not in _DEPTHS.get(colour, ()):
        refuse("unreadable", f"{source.name} has colour type {colour} with {depth} bits", FETCH_AGAIN)
    if colour == 0 and depth < 8:
        refuse("not_a_photograph", f"{source.name} has {depth}-bit grey values: a drawing or a mask", EXPORT_AGAIN)
    return width, height, depth, colour


def _profile(found: dict[bytes, bytes]) -> Icc:
    """The colour space of the chunks, in the order of precedence of the PNG specification."""
    if b"cICP" in found:
        return "srgb" if found[b"cICP"] == _SRGB_CICP else "other"
    if b"iCCP" in found:
        _, _, packed = found[b"iCCP"].partition(b"\0")
        try:
            return profile.kind(zlib.decompressobj().decompress(packed[1:], _MAX_CHUNK))
        except zlib.error:
            return "other"
    if b"sRGB" in found:
        return "srgb"
    gamma = int.from_bytes(found.get(b"gAMA", b""), "big") or _SRGB_GAMMA
    return "none" if abs(gamma - _SRGB_GAMMA) <= _GAMMA_TOLERANCE else "other"


def _bare(data: bytes, name: str) -> bytes:
    """The chunks that make pixels, each with a right checksum, up to and with the end chunk.

    The decoder logs its opinion on the others, and takes a wrong checksum in some of them.
    """
    source, view = Source.of(data, name), memoryview(data)
    kept: list[bytes | memoryview] = [MAGIC]
    for kind, position, length in _chunks(source):
        end = position + length
        if zlib.crc32(view[position - 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            refuse("unreadable", f"{name} is damaged: the checksum of {kind!r} is wrong", FETCH_AGAIN)
        if kind in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(view[position - 8 : end + 4])
        elif not kind[0] & 0x20:
            refuse("unsupported", f"{name} needs an extension of PNG, {kind!r}", EXPORT_AGAIN)
        if kind == b"eXIf" and kept[-1][4:8] == b"IDAT" and tags.exif(data[position:end], name)[0] != 1:
            # Reading the header alone would miss it, and planned and decoded shapes would differ.
            refuse("unsupported", f"{name} states its orientation after its pixels", EXPORT_AGAIN)
        if kind == b"IEND":
            break
    return b"".join(kept)
