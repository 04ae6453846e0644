"""JPEG: markers, completeness, pixels.

The decoder fills what is missing with grey and says nothing, so whether the
picture is whole is decided here, from the marker structure.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

import numpy as np

from residue_batch.geometry import Array
from residue_batch.photo import profile, tags
from residue_batch.photo.arrays import room
from residue_batch.photo.header import EXPORT_AGAIN, FETCH_AGAIN, Header, Icc, Source, refuse

MAGIC = b"\xff\xd8\xff"

_SOS, _EOI, _DNL, _DQT = 0xDA, 0xD9, 0xDC, 0xDB
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length
_FRAMES = {0xC0: "baseline", 0xC1: "extended", 0xC2: "progressive"}
_FOREIGN_FRAMES = {*range(0xC3, 0xD0)} - {0xC4, 0xC8, 0xCC}
_MAX_FILL = 1024
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True)
class Frame:
    """The picture of one JPEG stream; ``scan`` is the offset of its first SOS marker."""

    coding: str
    height: int
    width: int
    components: tuple[int, ...]
    orientation: int
    icc: Icc
    scan: int
    steps: int = 0
    taken: str = ""


def header(source: Source) -> Header:
    """The header of a JPEG file; CMYK, 12-bit, arithmetic, lossless and hierarchical are refused."""
    frame = read_frame(source)
    if len(frame.components) not in (1, 3):
        refuse(
            "unsupported",
            f"{source.name} has {len(frame.components)} components: CMYK and the like have no sRGB values",
            EXPORT_AGAIN,
        )
    channels = len(frame.components)
    return Header(
        "jpeg", frame.height, frame.width, channels, "uint8", False, frame.orientation, frame.icc, frame.coding,
        frame.steps, frame.taken,
    )  # fmt: skip


def read_frame(source: Source) -> Frame:
    """Walk the markers up to the first scan. Thumbnails hide inside segments and are stepped over."""
    position = 2
    shape: tuple[str, int, int, tuple[int, ...]] | None = None
    orientation, adobe, steps, taken = 0, False, 0, ""
    chunks: dict[int, bytes] = {}
    while True:
        marker, position = _marker(source, position)
        if marker == _EOI:
            refuse("unreadable", f"{source.name} ends before its picture starts", FETCH_AGAIN)
        if marker in _BARE:
            continue
        length = _length(source, position)
        if marker == _SOS:
            break
        if marker in _FOREIGN_FRAMES:
            refuse("unsupported", f"{source.name} is a lossless, arithmetic or hierarchical JPEG", EXPORT_AGAIN)
        if marker in _FRAMES:
            if shape is not None:
                refuse("unreadable", f"{source.name} has two frame headers", FETCH_AGAIN)
            shape = _frame_header(source, source.at(position + 2, length - 2), _FRAMES[marker])
        elif marker == 0xE1 and orientation == 0 and length >= 8 and source.at(position + 2, 6) == b"Exif\0\0":
            block = source.at(position + 8, length - 8)
            orientation, adobe = tags.exif(block, source.name)
            taken = tags.taken(block, source.name)
        elif marker == _DQT and not steps:
            steps = _coarseness(source.at(position + 2, length - 2))
        elif marker == 0xE2 and length >= 16 and source.at(position + 2, 12) == b"ICC_PROFILE\0":
            segment = source.at(position + 14, length - 14)
            chunks[segment[0]] = segment[2:]
        position += length
    if shape is None:
        refuse("unreadable", f"{source.name} has a scan but no frame header", FETCH_AGAIN)
    icc: Icc = "other" if adobe else "none"
    if chunks:
        icc = profile.kind(b"".join(chunks[i] for i in sorted(chunks)))
    coding, height, width, components = shape
    return Frame(coding, height, width, components, orientation or 1, icc, position - 2, steps, taken)


def _coarseness(segment: bytes) -> int:
    """The sum of the first quantisation table of a DQT segment; 0 if it is torn."""
    wide = bool(segment[:1]) and segment[0] >> 4 == 1
    table = segment[1 : 129 if wide else 65]
    if len(table) != (128 if wide else 64):
        return 0
    return sum(struct.unpack(">64H" if wide else ">64B", table))


def check_whole(data: bytes, frame: Frame, name: str) -> None:
    """Refuse a stream that does not run to its end marker with every coefficient of every component sent."""
    source = Source.of(data, name)
    sent = {component: np.full(64, 255, np.uint8) for component in frame.components}
    position = frame.scan
    while True:
        marker, position = _marker(source, position)
        if marker == _EOI:
            break
        if marker in _BARE:
            continue
        if marker == _DNL or marker in _FRAMES or marker in _FOREIGN_FRAMES:
            refuse("unreadable", f"{name} changes its size half way", FETCH_AGAIN)
        length = _length(source, position)
        segment = source.at(position + 2, length - 2)
        position += length
        if marker == _SOS:
            _note_scan(segment, sent, frame, name)
            found = _AFTER_SCAN.search(data, position)
            if found is None:
                refuse("unreadable", f"{name} is cut off: its JPEG data has no end marker", FETCH_AGAIN)
            position = found.start()
    if any(levels.any() for levels in sent.values()):
        refuse("unreadable", f"{name} is cut off: some of its JPEG scans are missing", FETCH_AGAIN)


def pixels(data: bytes, header: Header, name: str) -> tuple[Array, None]:
    """Decode to (H, W, C) uint8, not yet upright."""
    import imagecodecs

    check_whole(data, read_frame(Source.of(data, name)), name)
    shape = (header.height, header.width, header.channels)
    try:
        found = np.asarray(imagecodecs.jpeg8_decode(data, out=room(shape if header.channels > 1 else shape[:2])))
    except MemoryError:
        raise
    except Exception as error:
        refuse("unreadable", f"{name} cannot be decoded: {error}", FETCH_AGAIN, error)
    if found.size and (found[-1, -1] == 128).all() and not _entropy_is_whole(data):
        refuse("unreadable", f"{name} is cut off: its JPEG data ends before the picture does", FETCH_AGAIN)
    return (found[..., None] if found.ndim == 2 else found), None


def _entropy_is_whole(data: bytes) -> bool:
    """Whether a strict reader gets through all data; slow, so asked only on suspicion.

    A stream cut short and closed with an end marker decodes to exact mid-grey
    in its last corner; so does one photograph in thousands.
    """
    import imagecodecs

    try:
        imagecodecs.jpegxl_encode_jpeg(data)
    except (AttributeError, ImportError):  # a build without JPEG XL
        return True
    except RuntimeError:
        return False
    return True


def _marker(source: Source, position: int) -> tuple[int, int]:
    """The marker at ``position`` and the offset after it; fill bytes are skipped."""
    start = position
    found = source.at(position, 2)
    while found == b"\xff\xff" and position - start < _MAX_FILL:
        position += 1
        found = source.at(position, 2)
    if found[0] != 0xFF or found[1] in (0x00, 0xFF):
        refuse("unreadable", f"{source.name} has no JPEG marker at byte {position}", FETCH_AGAIN)
    return found[1], position + 2


def _length(source: Source, position: int) -> int:
    length = int.from_bytes(source.at(position, 2), "big")
    if length < 2:
        refuse("unreadable", f"{source.name} has a segment of length {length} at byte {position}", FETCH_AGAIN)
    return length


def _frame_header(source: Source, segment: bytes, coding: str) -> tuple[str, int, int, tuple[int, ...]]:
    if len(segment) < 6 or len(segment) != 6 + 3 * segment[5]:
        refuse("unreadable", f"{source.name} has a torn frame header", FETCH_AGAIN)
    precision, height, width, count = struct.unpack_from(">BHHB", segment)
    if precision != 8:
        refuse("unsupported", f"{source.name} is a {precision}-bit JPEG", EXPORT_AGAIN)
    if height == 0 or width == 0:
        refuse("unreadable", f"{source.name} is {width} x {height} pixels", FETCH_AGAIN)
    components = tuple(segment[6 + 3 * i] for i in range(count))
    if len(set(components)) != count:
        refuse("unreadable", f"{source.name} has a torn frame header", FETCH_AGAIN)
    return coding, height, width, components


def _note_scan(segment: bytes, sent: dict[int, Array], frame: Frame, name: str) -> None:
    """Write down which coefficients a scan brings, and to which bit."""
    count = segment[0] if segment else 0
    components = segment[1 : 1 + 2 * count : 2]
    if not 1 <= count <= 4 or len(segment) != 4 + 2 * count or not set(components) <= sent.keys():
        refuse("unreadable", f"{name} has a torn scan header", FETCH_AGAIN)
    first, last, precision = segment[-3:]
    for component in components:
        if frame.coding == "progressive":
            sent[component][first : last + 1] = precision & 15
        else:
            sent[component][:] = 0
