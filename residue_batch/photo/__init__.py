"""Bytes to checked pixels: the only decoder.

    stat -> bytes, once -> sha256 -> header -> limits -> decode -> compare with the header -> upright

A photograph decodes completely or is refused; nothing is filled in, converted
or guessed, because nearly every silent failure makes a board look cleaner.
What no decoder can see is a changed byte inside a JPEG or an uncompressed TIFF:
give the manifest's sha256 to `read` for that.

Alpha becomes a mask: only fully opaque pixels are valid, since a partly
transparent one is mixed with a background that is not the board.

Every failure is a `Refusal` with one of these reasons:

=================== ============================================================
unreadable          missing, not a regular file, cut off or damaged
not_a_photograph    not an image, one-bit art, or nothing opaque in it
too_large           more pixels or bytes than the limits
hash_mismatch       not the bytes that the manifest promises
needs_tone          16-bit values, and nobody said whether sRGB code or linear
colour_profile      a profile other than sRGB
unsupported         a photograph of a kind that is not read here: CMYK, raw, ...
=================== ============================================================

Only `MemoryError` passes: it tells about the machine, not about the board.
An `OSError` is the ``__cause__`` of its refusal, for callers that try again.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from residue_batch.errors import UsageError
from residue_batch.geometry import Array
from residue_batch.laps import laps
from residue_batch.photo import arrays, jpeg, png, tiff
from residue_batch.photo.header import (
    EXPORT_AGAIN,
    FETCH_AGAIN,
    MAX_BYTES,
    MAX_PIXELS,
    Header,
    Source,
    check_limits,
    refuse,
)
from residue_batch.recent import Recent

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "Hashed",
    "Header",
    "Photo",
    "Tone",
    "check_hash",
    "decode",
    "forget_files",
    "hash_file",
    "read",
    "read_header",
    "sniff",
]

Tone = Literal["srgb", "linear"]

_DECODERS = {"jpeg": jpeg.pixels, "png": png.pixels, "tiff": tiff.pixels}
_OTHER_IMAGES = {
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"8BPS": "Photoshop",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    b"FUJIFILM": "raw camera",
}

KEPT_BYTES = 32 << 20
"""Files that are larger are read twice."""


@dataclass(frozen=True, eq=False)
class Photo:
    """One decoded photograph, upright.

    ``pixels`` is (H, W, C), C-contiguous and read-only, uint8 or uint16 full
    scale, C = 1 (grey) or 3 (RGB). ``valid`` is bool (H, W), True where the
    photograph shows something; None when it does everywhere. ``tone`` says
    whether values are sRGB code values or linear light. ``sha256`` is of the file.
    """

    pixels: Array
    valid: Array | None
    header: Header
    sha256: str
    tone: Tone = "srgb"


def sniff(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Header:
    """The header of a photograph in memory, held against the limits; no pixel is decoded.

    Raises
    ------
    Refusal
        ``unreadable``, ``not_a_photograph``, ``unsupported`` or ``too_large``.
    """
    return _header(Source.of(data, name), max_pixels, max_bytes)


def read_header(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> Header:
    """The same header from a file, of which only the few parts needed are read."""
    with _regular_file(path) as (descriptor, size):
        return _header(Source(os.fspath(path), size, _reader(descriptor)), max_pixels, max_bytes)


def decode(
    data: bytes,
    name: str,
    *,
    tone: Tone | None = None,
    any_profile: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Photo:
    """Decode a photograph from the bytes of its file.

    Parameters
    ----------
    data, name
        The whole file, and what to call it in messages.
    tone
        What the values are; must be given for 16-bit files. None means sRGB for 8-bit ones.
    any_profile
        Take the values as they are when the file carries another profile than sRGB.
    max_pixels, max_bytes
        Limits on the picture, and on its bytes once decoded.

    Raises
    ------
    Refusal
        With any reason of the module's list but ``hash_mismatch``.
    """
    return _decode(data, name, hashlib.sha256(data).hexdigest(), tone, any_profile, max_pixels, max_bytes)


def read(
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    tone: Tone | None = None,
    any_profile: bool = False,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Photo:
    """Read a file once, compare its hash with the manifest's, and decode those very bytes.

    What ``hash_file`` has kept under this hash is not read again.

    Raises
    ------
    Refusal
        With any reason of the module's list.
    """
    name = os.fspath(path)
    lap = laps()
    data, digest = _kept.take((name, sha256)), sha256 or ""
    if data is None:
        with _regular_file(path) as (descriptor, size):
            if size > max_bytes:
                refuse("too_large", f"{name} has {size} bytes; the limit is {max_bytes}", "check what this file is")
            data = _read_all(descriptor, size, name)
        lap("read", nbytes=size)
        digest = hashlib.sha256(data).hexdigest()
        check_hash(path, digest, sha256)
        lap("hash", nbytes=size)
    found = _decode(data, name, digest, tone, any_profile, max_pixels, max_bytes)
    lap("decode", found.pixels.shape[0] * found.pixels.shape[1], found.pixels.nbytes)
    return found


@dataclass(frozen=True)
class Hashed:
    """What a file hashed to, and its size and time of change at that moment."""

    sha256: str
    size: int
    mtime_ns: int


_kept: Recent[bytes] = Recent(2)


def forget_files() -> None:
    """Let go of what ``hash_file`` has kept."""
    _kept.clear()


def hash_file(path: str | os.PathLike[str], *, keep: bool = False, max_bytes: int = MAX_BYTES) -> Hashed:
    """The sha256 of a photograph's file, undecoded; with ``keep`` a file that is not large waits for ``read``.

    Raises
    ------
    Refusal
        ``unreadable`` or ``too_large``.
    """
    name = os.fspath(path)
    with _regular_file(path) as (descriptor, size):
        if size > max_bytes:
            refuse("too_large", f"{name} has {size} bytes; the limit is {max_bytes}", "check what this file is")
        mtime_ns = os.fstat(descriptor).st_mtime_ns
        lap = laps()
        data = _read_all(descriptor, size, name)
        lap("read", nbytes=size)
    found = Hashed(hashlib.sha256(data).hexdigest(), len(data), mtime_ns)
    lap("hash", nbytes=size)
    if keep and size <= KEPT_BYTES:
        _kept.get((name, found.sha256), lambda: data)
    return found


def check_hash(path: str | os.PathLike[str], digest: str, promised: str | None) -> None:
    """Refuse a file (``hash_mismatch``) that is not the one a manifest promises."""
    if promised is not None and digest != promised.strip().lower():
        refuse(
            "hash_mismatch",
            f"{os.fspath(path)} has sha256 {digest}, the manifest says {promised}",
            "find out which is right: copy the file again, or scan the lot again if the photograph was replaced",
        )


def _header(source: Source, max_pixels: int, max_bytes: int) -> Header:
    if source.size == 0:
        refuse("unreadable", f"{source.name} is empty", FETCH_AGAIN)
    start = source.at(0, min(source.size, 16))
    if start.startswith(jpeg.MAGIC):
        header = jpeg.header(source)
    elif start.startswith(png.MAGIC):
        header = png.header(source)
    elif start.startswith(tiff.MAGICS):
        header = tiff.header(source)
    else:
        _refuse_stranger(source.name, start)
    check_limits(header, source, max_pixels, max_bytes)
    return header


def _refuse_stranger(name: str, start: bytes) -> NoReturn:
    for magic, kind in _OTHER_IMAGES.items():
        if start.startswith(magic):
            refuse("unsupported", f"{name} is a {kind} file", EXPORT_AGAIN)
    if start[4:8] == b"ftyp":
        refuse("unsupported", f"{name} is a HEIC, AVIF or raw camera file, or a film", EXPORT_AGAIN)
    if not start.strip(b"\0"):
        refuse("unreadable", f"{name} starts with zeros: it was never completely written", FETCH_AGAIN)
    refuse("not_a_photograph", f"{name} is no JPEG, PNG or TIFF: it starts with {start!r}", EXPORT_AGAIN)


def _decode(
    data: bytes, name: str, digest: str, tone: Tone | None, any_profile: bool, max_pixels: int, max_bytes: int
) -> Photo:
    if tone not in (None, "srgb", "linear"):
        raise UsageError(f"tone is {tone!r}; it may be srgb or linear")
    header = sniff(data, name, max_pixels=max_pixels, max_bytes=max_bytes)
    if header.icc == "other" and not any_profile:
        refuse(
            "colour_profile",
            f"{name} carries a colour profile that is not sRGB",
            "convert it to sRGB, or accept any profile if all photographs of the lot share it",
        )
    if header.dtype == "uint16" and tone is None:
        refuse("needs_tone", f"{name} has 16-bit values of unknown tone", "say tone: srgb or tone: linear")
    found, valid = _DECODERS[header.format](data, header, name)
    if found.shape != (header.height, header.width, header.channels) or found.dtype != header.dtype:
        refuse("unreadable", f"{name} decodes to {found.shape} {found.dtype}, which is not what it says", FETCH_AGAIN)
    if valid is not None and not valid.any():
        refuse("not_a_photograph", f"{name} has no opaque pixel", "save it without transparency")
    pixels = arrays.upright(found, header.orientation)
    pixels.flags.writeable = False
    if valid is not None and valid.all():
        valid = None
    if valid is not None:
        valid = arrays.upright(valid, header.orientation)
        valid.flags.writeable = False
    return Photo(pixels, valid, header, digest, tone or "srgb")


@contextmanager
def _regular_file(path: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """An open descriptor and the size of a regular file; everything else is refused unopened."""
    name = os.fspath(path)
    if "\0" in str(name):
        refuse("unreadable", f"{name!r} cannot be a path", "check the manifest")
    try:
        _check_regular(name, Path(path).stat().st_mode)
        # Not blocking: the name may have become a FIFO since.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags)
        try:
            state = os.fstat(descriptor)
            _check_regular(name, state.st_mode)
            yield descriptor, state.st_size
        finally:
            os.close(descriptor)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        refuse("unreadable", f"{name} cannot be read: {reason}", "check the path and its permissions", error)


def _reader(descriptor: int) -> Callable[[int, int], bytes]:
    def read_at(offset: int, count: int) -> bytes:
        os.lseek(descriptor, offset, os.SEEK_SET)  # os.pread is missing on Windows
        return os.read(descriptor, count)

    return read_at


def _check_regular(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "a FIFO" if stat.S_ISFIFO(mode) else "a device or socket"
        refuse("unreadable", f"{name} is {kind}, not a file", "point the manifest to the photograph")


def _read_all(descriptor: int, size: int, name: str) -> bytes:
    with open(descriptor, "rb", closefd=False, buffering=0) as file:
        data = file.read(size + 1) or b""
        while 0 < len(data) < size and (more := file.read(size - len(data))):
            data += more
    if len(data) != size:
        refuse("unreadable", f"{name} changed while it was read", "wait until it is completely written")
    return data
