"""Is an ICC profile sRGB? Decided by its numbers, not by its name."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from residue_batch.photo.header import Icc

Curve = NDArray[np.float64]

# The colorants of sRGB, adapted to D50, as XYZ.
_COLORANTS = {b"rXYZ": (0.4361, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)}
_COLORANT_TOLERANCE = 0.003
# Half of a plain gamma of 2.2's largest distance from sRGB: that one is another profile.
_CURVE_TOLERANCE = 0.004
_CODES: Curve = np.linspace(0.0, 1.0, 65)


def kind(profile: bytes) -> Icc:
    """``srgb`` when colorants and tone curves are those of sRGB (or of a grey sRGB), else ``other``."""
    try:
        return "srgb" if _is_srgb(profile) else "other"
    except (struct.error, ValueError, IndexError):
        return "other"


def _is_srgb(profile: bytes) -> bool:
    if profile[36:40] != b"acsp":
        return False
    tags = _tags(profile)
    if b"A2B0" in tags:  # a table overrules the matrix
        return False
    if profile[16:20] == b"GRAY":
        return b"kTRC" in tags and _follows_srgb(tags[b"kTRC"])
    if profile[16:20] != b"RGB " or not {*_COLORANTS, b"rTRC", b"gTRC", b"bTRC"} <= tags.keys():
        return False
    for name, expected in _COLORANTS.items():
        found = np.array(struct.unpack_from(">3i", tags[name], 8)) / 65536
        if np.abs(found - expected).max() > _COLORANT_TOLERANCE:
            return False
    return all(_follows_srgb(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    count = min(struct.unpack_from(">I", profile, 128)[0], 200)
    entries = (struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count))
    return {name: profile[offset : offset + size] for name, offset, size in entries}


def _follows_srgb(tag: bytes) -> bool:
    srgb = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
    return bool(np.abs(_curve(tag) - srgb).max() <= _CURVE_TOLERANCE)


def _curve(tag: bytes) -> Curve:
    """Linear light at `_CODES`, from a ``curv`` or ``para`` tag."""
    if tag[:4] == b"curv":
        count = struct.unpack_from(">I", tag, 8)[0]
        if count == 0:
            return _CODES
        values = np.frombuffer(tag, ">u2", count, 12).astype(np.float64)
        if count == 1:
            return np.asarray(_CODES ** (values[0] / 256))
        return np.interp(_CODES, np.linspace(0.0, 1.0, count), values / 65535)
    if tag[:4] != b"para":
        raise ValueError("not a tone curve")
    form = struct.unpack_from(">H", tag, 8)[0]
    length = (1, 3, 4, 5, 7)[form]
    g, a, b, c, d, e, f = _parameters(form, [v / 65536 for v in struct.unpack_from(f">{length}i", tag, 12)])
    power = np.maximum(a * _CODES + b, 0.0) ** g + e
    return np.asarray(np.where(d <= _CODES, power, c * _CODES + f))


def _parameters(form: int, p: list[float]) -> tuple[float, ...]:
    """The seven numbers of the general curve: (a x + b)^g + e from d on, c x + f below."""
    if form == 0:
        return p[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0
    if form in (1, 2):
        offset = p[3] if form == 2 else 0.0
        if p[1] == 0:
            raise ValueError("a curve without slope")
        return p[0], p[1], p[2], 0.0, -p[2] / p[1], offset, offset
    return (*p[:5], 0.0, 0.0) if form == 3 else tuple(p)
