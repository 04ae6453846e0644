"""What a photograph's first bytes promise, and the limits that promise must keep.

Nothing here decodes a pixel. A `Source` gives the same byte ranges whether they
come from memory or from an open file, so one parser serves both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

from residue_batch.errors import Refusal

Format = Literal["jpeg", "png", "tiff"]
Depth = Literal["uint8", "uint16"]
Icc = Literal["none", "srgb", "other"]
Reason = Literal[
    "unreadable",
    "not_a_photograph",
    "too_large",
    "hash_mismatch",
    "needs_tone",
    "colour_profile",
    "unsupported",
]

MAX_PIXELS = 1_000_000_000
MAX_BYTES = 4 * 2**30
# LZW, the densest of the codings accepted, reaches about 2,700 decoded bytes per stored byte.
MAX_EXPANSION = 3000

FETCH_AGAIN = "copy the file again from the camera"
EXPORT_AGAIN = "export it as an 8-bit sRGB JPEG, PNG or TIFF"


@dataclass(frozen=True)
class Header:
    """What a file says about its picture, before any pixel is decoded.

    ``height`` and ``width`` are as stored; ``shape`` is after the orientation
    (1..8, EXIF numbering) has been applied. ``channels`` is 1 (grey) or 3 (RGB),
    alpha not counted. ``coding`` names the compression, for reports. ``steps`` is
    the sum of a JPEG's first quantisation table, 0 for others: how coarse it is.
    ``taken`` is the camera's clock as EXIF writes it, "2025:01:31 12:00:00", or empty.
    """

    format: Format
    height: int
    width: int
    channels: int
    dtype: Depth
    has_alpha: bool = False
    orientation: int = 1
    icc: Icc = "none"
    coding: str = ""
    steps: int = 0
    taken: str = ""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the upright picture."""
        turned = self.orientation >= 5
        return (self.width, self.height, self.channels) if turned else (self.height, self.width, self.channels)

    @property
    def itemsize(self) -> int:
        return 2 if self.dtype == "uint16" else 1

    @property
    def nbytes(self) -> int:
        """Bytes of the decoded pixels and, with alpha, of the valid mask."""
        return self.height * self.width * (self.channels * self.itemsize + self.has_alpha)


@dataclass(frozen=True)
class Source:
    """Bytes at any offset of one photograph; ``read(offset, count)`` may return fewer."""

    name: str
    size: int
    read: Callable[[int, int], bytes]

    @classmethod
    def of(cls, data: bytes, name: str) -> Source:
        """A source over bytes in memory."""
        return cls(name, len(data), lambda offset, count: data[offset : offset + count])

    def at(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from ``offset``; refused where the file ends earlier."""
        found = self.read(offset, count) if offset >= 0 and offset + count <= self.size else b""
        if len(found) != count:
            refuse(
                "unreadable",
                f"{self.name} is cut off: it has {self.size} bytes and byte {offset + count} is needed",
                FETCH_AGAIN,
            )
        return found


def refuse(reason: Reason, message: str, remedy: str, cause: BaseException | None = None) -> NoReturn:
    """Raise a `Refusal` with a reason of the controlled list."""
    raise Refusal(reason, message, remedy) from cause


def check_limits(header: Header, source: Source, max_pixels: int, max_bytes: int) -> None:
    """Refuse a header that promises nothing, too much, or more than its file can hold."""
    size = f"{source.name} is {header.width} x {header.height} pixels"
    if header.height < 1 or header.width < 1:
        refuse("unreadable", f"{size}: there is no picture in it", FETCH_AGAIN)
    if header.height * header.width > max_pixels:
        refuse("too_large", f"{size}; the limit is {max_pixels}", "crop it to the board, or raise max_pixels")
    if header.nbytes > max_bytes:
        refuse(
            "too_large",
            f"{size}, {header.nbytes} bytes once decoded; the limit is {max_bytes}",
            "crop it to the board, or raise max_bytes",
        )
    if header.nbytes > MAX_EXPANSION * source.size:
        refuse("unreadable", f"{size}, which its {source.size} bytes cannot hold", FETCH_AGAIN)
