"""TIFF directories: the skeleton of a TIFF file and of every EXIF block."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Literal

from residue_batch.errors import Refusal
from residue_batch.photo.header import FETCH_AGAIN, Source, refuse

# Fractions and floats are left out: no tag that matters here is one.
_LETTERS = {1: "s", 2: "s", 3: "H", 4: "I", 7: "s", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_ENTRIES = 4096
_CLOCK = re.compile(r"[12]\d{3}:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-6]\d")

TAKEN = 36867  # DateTimeOriginal
ORIENTATION, EXIF_DIRECTORY, INTEROP_DIRECTORY, INTEROP_INDEX, COLOUR_SPACE = 274, 34665, 40965, 1, 40961


@dataclass(frozen=True)
class Layout:
    """Byte order (``<`` or ``>``) and width of offsets, from the first bytes of a TIFF."""

    order: Literal["<", ">"]
    big: bool
    first: int


@dataclass(frozen=True)
class Directory:
    """One directory: numbers by tag, raw bytes by tag, and where the next one starts (0: none)."""

    numbers: dict[int, tuple[int, ...]]
    raw: dict[int, bytes]
    following: int

    def one(self, tag: int, default: int) -> int:
        """The first number of a tag."""
        found = self.numbers.get(tag)
        return found[0] if found else default


def layout(source: Source) -> Layout:
    """Read the 8 or 16 bytes that open a TIFF; refused when they are not that."""
    start = source.at(0, 8)
    order: Literal["<", ">"] = "<" if start[:2] == b"II" else ">"
    version = struct.unpack(order + "H", start[2:4])[0]
    if start[:2] in (b"II", b"MM") and version == 42:
        return Layout(order, False, struct.unpack(order + "I", start[4:8])[0])
    if start[:2] in (b"II", b"MM") and version == 43 and start[4:8] == struct.pack(order + "HH", 8, 0):
        return Layout(order, True, struct.unpack(order + "Q", source.at(8, 8))[0])
    return refuse("unreadable", f"{source.name} does not start like a TIFF", FETCH_AGAIN)


def directory(source: Source, how: Layout, offset: int, wanted: frozenset[int]) -> Directory:
    """The wanted tags of the directory at ``offset``; every value must lie in the file."""
    count_letter, entry_letters, room = ("Q", "HHQ", 8) if how.big else ("H", "HHI", 4)
    count_size, entry_size = (8, 20) if how.big else (2, 12)
    count = struct.unpack(how.order + count_letter, source.at(offset, count_size))[0]
    if not 0 < count <= _MAX_ENTRIES:
        refuse("unreadable", f"{source.name} has a directory of {count} entries", FETCH_AGAIN)
    table = source.at(offset + count_size, count * entry_size + room)
    numbers: dict[int, tuple[int, ...]] = {}
    raw: dict[int, bytes] = {}
    for start in range(0, count * entry_size, entry_size):
        tag, kind, length = struct.unpack_from(how.order + entry_letters, table, start)
        if tag not in wanted or kind not in _LETTERS or tag in numbers or tag in raw:
            continue
        nbytes = length * struct.calcsize("<" + _LETTERS[kind])
        value = table[start + entry_size - room : start + entry_size][:nbytes]
        if nbytes > room:
            where = struct.unpack_from(how.order + ("Q" if how.big else "I"), table, start + entry_size - room)[0]
            value = source.at(where, nbytes)
        if _LETTERS[kind] == "s":
            raw[tag] = value
            numbers[tag] = tuple(value[:1])
        else:
            numbers[tag] = struct.unpack(f"{how.order}{length}{_LETTERS[kind]}", value)
    following = struct.unpack(how.order + ("Q" if how.big else "I"), table[count * entry_size :])[0]
    return Directory(numbers, raw, following)


def upright(orientation: int) -> int:
    """A usable orientation: cameras write 0 for unknown, and nothing else is defined."""
    return orientation if 1 <= orientation <= 8 else 1


def exif(block: bytes, name: str) -> tuple[int, bool]:
    """Orientation (1..8) and whether the camera says Adobe RGB, from an EXIF block.

    A block that cannot be read counts as absent, as every viewer does.
    """
    try:
        source = Source.of(block, name)
        how = layout(source)
        main = directory(source, how, how.first, frozenset({ORIENTATION, EXIF_DIRECTORY}))
    except Refusal:
        return 1, False
    orientation, adobe = upright(main.one(ORIENTATION, 1)), False
    try:
        if EXIF_DIRECTORY in main.numbers:
            wanted = frozenset({COLOUR_SPACE, INTEROP_DIRECTORY})
            details = directory(source, how, main.one(EXIF_DIRECTORY, 0), wanted)
            adobe = details.one(COLOUR_SPACE, 1) == 2
            if INTEROP_DIRECTORY in details.numbers:
                interop = directory(source, how, details.one(INTEROP_DIRECTORY, 0), frozenset({INTEROP_INDEX}))
                adobe = adobe or interop.raw.get(INTEROP_INDEX, b"").startswith(b"R03")
    except Refusal:
        pass  # the orientation was read; a torn sub-directory says nothing about colour
    return orientation, adobe


def taken(block: bytes, name: str) -> str:
    """When the camera's clock says a photograph was taken, "2025:01:31 12:00:00"; empty when it does not."""
    try:
        source = Source.of(block, name)
        how = layout(source)
        main = directory(source, how, how.first, frozenset({EXIF_DIRECTORY}))
        if EXIF_DIRECTORY not in main.numbers:
            return ""
        details = directory(source, how, main.one(EXIF_DIRECTORY, 0), frozenset({TAKEN}))
    except Refusal:
        return ""
    text = details.raw.get(TAKEN, b"").rstrip(b"\0 ").decode("ascii", "replace")
    return text if _CLOCK.fullmatch(text) else ""
