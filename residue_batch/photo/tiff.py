"""TIFF and BigTIFF: directories, segments (strips or tiles), pixels.

Decoded segment by segment rather than by a library: each segment must lie in
the file and give all its rows, or the photograph is refused. Libraries pad
what is missing with zeros, which reads as a clean board.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from residue_batch import kernels
from residue_batch.errors import Refusal
from residue_batch.geometry import Array
from residue_batch.photo import arrays, jpeg, profile, tags
from residue_batch.photo.header import EXPORT_AGAIN, FETCH_AGAIN, MAX_EXPANSION, Depth, Header, Icc, Source, refuse

MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
_FILL_ORDER, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR = 266, 273, 277, 278, 279, 284
_PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 317, 322, 323, 324, 325
_EXTRA, _SAMPLE_FORMAT, _TABLES, _ICC, _DEPTH, _RAW_VERSION = 338, 339, 347, 34675, 32997, 50706
_WANTED = frozenset(
    {_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _STRIP_OFFSETS, _SAMPLES}
    | {_ROWS_PER_STRIP, _STRIP_COUNTS, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS}
    | {_EXTRA, _SAMPLE_FORMAT, _TABLES, _ICC, _DEPTH, _RAW_VERSION, tags.ORIENTATION}
)
_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32946, 32773
_CODINGS = {
    _NONE: "uncompressed",
    _LZW: "lzw",
    _JPEG: "jpeg",
    _DEFLATE: "deflate",
    _OLD_DEFLATE: "deflate",
    _PACKBITS: "packbits",
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_FOREIGN_PHOTOMETRICS = {3: "a palette", 4: "a transparency mask", 5: "CMYK", 8: "CIE Lab", 32803: "raw sensor data"}
_DIFFERENCES = 2
_MAX_PAGES = 64
_MAX_PADDING = 2**22


@dataclass(frozen=True)
class Raster:
    """How the pixels of one page lie in the file.

    Segments are ``rows`` x ``columns`` pixels; strips are as wide as the picture.
    Planar files hold all segments of the first sample, then of the second, ...
    """

    height: int
    width: int
    samples: int
    dtype: Depth
    order: str
    compression: int
    photometric: int
    planar: bool
    predictor: int
    tiled: bool
    rows: int
    columns: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    tables: bytes | None
    has_alpha: bool
    orientation: int
    icc: Icc

    @property
    def segment_samples(self) -> int:
        return 1 if self.planar else self.samples


def header(source: Source) -> Header:
    """The header of a TIFF; floats, CMYK, palettes, raw and several pictures in one file are refused."""
    raster = read_raster(source)
    return Header(
        "tiff",
        raster.height,
        raster.width,
        raster.samples - raster.has_alpha,
        raster.dtype,
        raster.has_alpha,
        raster.orientation,
        raster.icc,
        _CODINGS[raster.compression],
    )


def read_raster(source: Source) -> Raster:
    """The first page, checked: every segment lies in the file and no two share bytes."""
    how = tags.layout(source)
    page = tags.directory(source, how, how.first, _WANTED)
    _check_other_pages(source, how, page)
    height, width = page.one(_HEIGHT, 0), page.one(_WIDTH, 0)
    compression, photometric = page.one(_COMPRESSION, _NONE), page.one(_PHOTOMETRIC, -1)
    _check_kind(source.name, page, compression, photometric)
    samples = page.one(_SAMPLES, 1)
    dtype = _dtype(source.name, page, samples)
    has_alpha = _has_alpha(source.name, page, samples, photometric)
    tiled = _TILE_OFFSETS in page.numbers
    rows = page.one(_TILE_HEIGHT, 0) if tiled else min(page.one(_ROWS_PER_STRIP, height), height)
    columns = page.one(_TILE_WIDTH, 0) if tiled else width
    if min(height, width, rows, columns) < 1 or rows * columns > 4 * height * width + _MAX_PADDING:
        refuse("unreadable", f"{source.name}: {width} x {height} pixels in pieces of {columns} x {rows}", FETCH_AGAIN)
    raster = Raster(
        height=height,
        width=width,
        samples=samples,
        dtype=dtype,
        order=how.order,
        compression=compression,
        photometric=photometric,
        planar=page.one(_PLANAR, 1) == 2 and samples > 1,
        predictor=page.one(_PREDICTOR, 1),
        tiled=tiled,
        rows=rows,
        columns=columns,
        offsets=page.numbers.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, ()),
        counts=page.numbers.get(_TILE_COUNTS if tiled else _STRIP_COUNTS, ()),
        tables=page.raw.get(_TABLES),
        has_alpha=has_alpha,
        orientation=tags.upright(page.one(tags.ORIENTATION, 1)),
        icc=profile.kind(page.raw[_ICC]) if _ICC in page.raw else "none",
    )
    _check_segments(source, raster, 16 if how.big else 8)
    return raster


def pixels(data: bytes, header: Header, name: str) -> tuple[Array, Array | None]:
    """Decode to (H, W, C) in native byte order and, with alpha, the mask of opaque pixels; not yet upright."""
    raster = read_raster(Source.of(data, name))
    found = arrays.room((raster.height, raster.width, raster.samples), raster.dtype)
    # One byte more than a segment has: LZW and PackBits have no checksum, but what is damaged seldom ends in time.
    buffer = bytearray(raster.rows * raster.columns * raster.segment_samples * header.itemsize + 1)
    for (top, left, plane), offset, count in zip(_grid(raster), raster.offsets, raster.counts, strict=True):
        bottom, right = min(top + raster.rows, raster.height), min(left + raster.columns, raster.width)
        try:
            segment = _segment(memoryview(data)[offset : offset + count], raster, bottom - top, buffer, name)
        except Refusal:
            raise
        except (RuntimeError, ValueError) as error:
            refuse("unreadable", f"{name} is damaged at row {top}: {error}", FETCH_AGAIN, error)
        channels = slice(plane, plane + 1) if raster.planar else slice(None)
        _put(segment, found[top:bottom, left:right, channels], raster)
    if raster.photometric == _WHITE_IS_ZERO:
        colour = found[..., :1]
        np.invert(colour, out=colour)
    return arrays.split_alpha(found) if raster.has_alpha else (found, None)


def _grid(raster: Raster) -> Iterator[tuple[int, int, int]]:
    """(top, left, plane) of each segment, in the order of the file."""
    for plane in range(raster.samples if raster.planar else 1):
        for top in range(0, raster.height, raster.rows):
            for left in range(0, raster.width, raster.columns):
                yield top, left, plane


def _segment(stored: memoryview, raster: Raster, rows: int, buffer: bytearray, name: str) -> Array:
    """One segment, (at least ``rows``, columns, samples); it may be a view of ``buffer``."""
    import imagecodecs

    # Uncompressed strips may be the whole file: those are not copied.
    plain: bytes | bytearray | memoryview = stored
    packed = b"" if raster.compression == _NONE else bytes(stored)
    if raster.compression == _JPEG:
        return _jpeg_segment(packed, raster, rows, name)
    if raster.compression == _LZW:
        if not _ends_as_lzw(packed):
            refuse("unreadable", f"{name} is damaged: LZW data without its end code", FETCH_AGAIN)
        plain = imagecodecs.lzw_decode(packed, out=buffer)
    elif raster.compression == _PACKBITS:
        plain = imagecodecs.packbits_decode(packed, out=buffer)
    elif raster.compression != _NONE:
        plain = imagecodecs.deflate_decode(packed, out=buffer)
    dtype = np.dtype(f"{raster.order}u{2 if raster.dtype == 'uint16' else 1}")
    shape = (raster.rows if raster.tiled else rows, raster.columns, raster.segment_samples)
    needed = math.prod(shape) * dtype.itemsize
    # Some writers pad the last strip to its full height; uncompressed ones may be followed by a fill byte.
    exact = len(plain) in (needed, len(buffer) - 1) or (raster.compression == _NONE and len(plain) > needed)
    if not exact:
        refuse("unreadable", f"{name} is damaged: {len(plain)} bytes where {needed} are needed", FETCH_AGAIN)
    return np.frombuffer(plain, dtype, needed // dtype.itemsize).reshape(shape)


def _put(segment: Array, part: Array, raster: Raster) -> None:
    """Write a segment, which may be larger, into its part of the picture."""
    height, width = part.shape[:2]
    if raster.predictor == _DIFFERENCES:
        whole = np.empty(part.shape, part.dtype) if raster.planar else part
        kernels.undifferenced(segment.astype(part.dtype, copy=False), whole)
        segment = whole
    if segment is not part:
        part[...] = segment[:height, :width]


def _ends_as_lzw(packed: bytes) -> bool:
    """Whether the last code, before less than two bytes of zero padding, is the end code 257."""
    tail = int.from_bytes(packed[-4:], "big")
    padding = (tail & -tail).bit_length() - 1
    return 0 <= padding < 16 and (tail >> padding) & 0x1FF == 257


def _jpeg_segment(packed: bytes, raster: Raster, rows: int, name: str) -> Array:
    import imagecodecs

    if packed[:2] != jpeg.MAGIC[:2]:
        refuse("unreadable", f"{name} is damaged: a JPEG piece without JPEG data", FETCH_AGAIN)
    frame = jpeg.read_frame(Source.of(packed, name))
    jpeg.check_whole(packed, frame, name)
    fits = frame.height == raster.rows or (frame.height == rows and not raster.tiled)
    if not fits or frame.width != raster.columns or len(frame.components) != raster.segment_samples:
        refuse("unreadable", f"{name} is damaged: a JPEG piece of {frame.width} x {frame.height}", FETCH_AGAIN)
    space = {_RGB: "RGB", _YCBCR: "YCBCR"}.get(raster.photometric) if not raster.planar else None
    found = imagecodecs.jpeg8_decode(
        packed, tables=raster.tables, colorspace=space, outcolorspace="RGB" if space else None
    )
    return np.asarray(found).reshape(frame.height, frame.width, raster.segment_samples)


def _check_kind(name: str, page: tags.Directory, compression: int, photometric: int) -> None:
    """Refuse what has no sRGB values, and what is coded in a way not read here."""
    if _RAW_VERSION in page.numbers:
        refuse("unsupported", f"{name} is a raw camera file (DNG)", EXPORT_AGAIN)
    if photometric in _FOREIGN_PHOTOMETRICS:
        refuse("unsupported", f"{name} holds {_FOREIGN_PHOTOMETRICS[photometric]}, not grey or RGB", EXPORT_AGAIN)
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR):
        refuse("unreadable", f"{name} does not say what its values mean (photometric {photometric})", EXPORT_AGAIN)
    if compression not in _CODINGS or (photometric == _YCBCR) > (compression == _JPEG):
        refuse("unsupported", f"{name} is compressed in a way not read here (number {compression})", EXPORT_AGAIN)
    predictors = (1,) if compression in (_JPEG, _PACKBITS, _NONE) else (1, _DIFFERENCES)
    if page.one(_PREDICTOR, 1) not in predictors or page.one(_FILL_ORDER, 1) != 1 or page.one(_DEPTH, 1) != 1:
        refuse("unsupported", f"{name} has an unusual predictor, bit order or depth", EXPORT_AGAIN)
    if page.one(_PLANAR, 1) not in (1, 2) or (photometric == _YCBCR and page.one(_PLANAR, 1) == 2):
        refuse("unsupported", f"{name} has an unusual order of planes", EXPORT_AGAIN)


def _dtype(name: str, page: tags.Directory, samples: int) -> Depth:
    formats = set(page.numbers.get(_SAMPLE_FORMAT, (1,)))
    bits = set(page.numbers.get(_BITS, (1,)))
    if formats != {1}:
        what = "floating-point" if 3 in formats else "signed or complex"
        refuse("unsupported", f"{name} holds {what} values, whose black and white are unknown", EXPORT_AGAIN)
    if bits == {1}:
        refuse("not_a_photograph", f"{name} has one bit a pixel: a drawing or a mask", EXPORT_AGAIN)
    if bits not in ({8}, {16}) or len(page.numbers[_BITS]) not in (1, samples):
        refuse("unsupported", f"{name} has {sorted(bits)} bits a value; 8 and 16 are read", EXPORT_AGAIN)
    if bits == {16} and page.one(_COMPRESSION, _NONE) == _JPEG:
        refuse("unsupported", f"{name} is a 16-bit JPEG", EXPORT_AGAIN)
    return cast("Depth", f"uint{bits.pop()}")


def _has_alpha(name: str, page: tags.Directory, samples: int, photometric: int) -> bool:
    colours = 3 if photometric in (_RGB, _YCBCR) else 1
    if samples == colours:
        return False
    extra = page.numbers.get(_EXTRA, ())
    # Premultiplied (1) or not (2): the same for opaque pixels, and only those count.
    if samples == colours + 1 and extra in ((1,), (2,)) and page.one(_COMPRESSION, _NONE) != _JPEG:
        return True
    return refuse(
        "unsupported",
        f"{name} has {samples} channels, and what the last {samples - colours} mean is not stated",
        EXPORT_AGAIN,
    )


def _check_segments(source: Source, raster: Raster, first_byte: int) -> None:
    """Refuse segments that are missing, outside the file, overlapping or too small for their pixels."""
    per_plane = -(-raster.height // raster.rows) * -(-raster.width // raster.columns)
    expected = per_plane * (raster.samples if raster.planar else 1)
    if len(raster.offsets) != expected or len(raster.counts) != expected:
        refuse(
            "unreadable",
            f"{source.name} lists {len(raster.offsets)} pieces and {len(raster.counts)} sizes of {expected}",
            FETCH_AGAIN,
        )
    end = first_byte
    itemsize = 2 if raster.dtype == "uint16" else 1
    for offset, count in sorted(zip(raster.offsets, raster.counts, strict=True)):
        if offset < end or count < 1 or offset + count > source.size:
            refuse(
                "unreadable",
                f"{source.name} is torn: {count} bytes at byte {offset} of {source.size} are not its own pixels",
                FETCH_AGAIN,
            )
        end = offset + count
        rows = raster.rows if raster.tiled else 1
        if rows * raster.columns * raster.segment_samples * itemsize > MAX_EXPANSION * count:
            refuse("unreadable", f"{source.name} is torn: {count} bytes cannot hold a piece of it", FETCH_AGAIN)


def _check_other_pages(source: Source, how: tags.Layout, page: tags.Directory) -> None:
    """Refuse a file whose first page is a thumbnail, or that holds more than one picture."""
    if _is_reduced(page):
        refuse("unsupported", f"{source.name} opens with a thumbnail, as raw camera files do", EXPORT_AGAIN)
    seen = {how.first}
    following = page.following
    while following:
        if following in seen or len(seen) > _MAX_PAGES:
            refuse("unreadable", f"{source.name} has pages without end", FETCH_AGAIN)
        seen.add(following)
        other = tags.directory(source, how, following, frozenset({_SUBFILE, _OLD_SUBFILE}))
        if not _is_reduced(other):
            refuse("unsupported", f"{source.name} holds more than one picture", "save the photograph alone")
        following = other.following


def _is_reduced(page: tags.Directory) -> bool:
    return page.one(_SUBFILE, 0) & 5 == 1 or page.one(_OLD_SUBFILE, 1) == 2
