"""How alike two photographs are, and what they are to each other.

The answer does not depend on the order of the two: the one with the smaller sha256 is the frame.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from residue_batch import photo
from residue_batch.config import Gates
from residue_batch.errors import Refusal
from residue_batch.gates import unlike, weakness
from residue_batch.geometry import Array
from residue_batch.matching.forensics import diagnose, likeness, overview
from residue_batch.matching.quality import blur_of, details_of
from residue_batch.matching.registration import Registration, Target, grey, register, target_of
from residue_batch.matching.similarity import (
    correlation,
    earth_mover,
    hellinger,
    histogram,
    phase_correlation,
    ruzicka,
    shift_field,
    spectrum_similarity,
)

VERDICTS = {
    "same_file": "the same file twice",
    "same_photo": "one photograph, saved twice",
    "same_board": "two photographs of one board type",
    "rotated": "two photographs of one board type, one of them turned",
    "mirrored": "one shows the mirror image of the other",
    "other_board": "two different boards",
    "out_of_focus": "one is too blurred to be compared",
    "over_exposed": "one is burnt out",
    "under_exposed": "one is nearly black",
    "registration": "one shows nothing that could be compared",
}
"""What two photographs can be to each other."""


@dataclass(frozen=True)
class Comparison:
    """What two photographs are to each other, and the measures behind it; None where there is none.

    Attributes
    ----------
    verdict
        One of `VERDICTS`.
    found
        One sentence with the numbers that decide.
    notes
        What else differs: focus, tilt, scale, size of the file.
    correlation
        Normalised cross-correlation of the grey overviews, aligned.
    phase_peak_ratio
        Highest over second peak of their phase correlation, not aligned: 1 means none stands out.
    spectrum
        Correlation of their logarithmic magnitude spectra, not aligned.
    inliers, inlier_share
        Features that agree on one registration; their share of those that match.
    ruzicka, hellinger, earth_mover
        Similarity, and two distances, of their histograms.
    shift_px
        Median length of the block-matching shifts of the overviews, aligned: what a homography does not explain.
    rotation_deg, scale, perspective
        Of the second against the first.
    blur_px
        How much blurrier the second is, sigma in px; negative when it is the first.
    differ_levels, noise_levels
        What blocks differ by, and how far the noise is the same, where one lies on the other exactly.
    """

    verdict: str
    found: str
    notes: tuple[str, ...] = ()
    correlation: float | None = None
    phase_peak_ratio: float | None = None
    spectrum: float | None = None
    inliers: int | None = None
    inlier_share: float | None = None
    ruzicka: float | None = None
    hellinger: float | None = None
    earth_mover: float | None = None
    shift_px: float | None = None
    rotation_deg: float | None = None
    scale: float | None = None
    perspective: float | None = None
    blur_px: float | None = None
    differ_levels: float | None = None
    noise_levels: float | None = None


def compare(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> Comparison:
    """What two photographs are to each other.

    Raises
    ------
    Refusal
        If one cannot be read. 16-bit values are taken as sRGB code values, colour profiles as they are.
    """
    one, other = (photo.read(path, tone=_tone(path), any_profile=True) for path in (first, second))
    if one.sha256 == other.sha256:
        return Comparison("same_file", f"both files have the sha256 {one.sha256[:12]}...")
    exchanged = other.sha256 < one.sha256
    frame, shot = (other, one) if exchanged else (one, other)
    found = _compared(frame, shot, names=(Path(second).name, Path(first).name) if exchanged else _names(first, second))
    return _turned_over(found) if exchanged else found


def _names(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> tuple[str, str]:
    return Path(first).name, Path(second).name


def _tone(path: str | os.PathLike[str]) -> photo.Tone | None:
    return "srgb" if photo.read_header(path).dtype == "uint16" else None


def _turned_over(found: Comparison) -> Comparison:
    """The same comparison, of the first against the second."""
    return replace(
        found,
        rotation_deg=None if found.rotation_deg is None else -found.rotation_deg,
        scale=None if found.scale is None else 1.0 / found.scale,
        blur_px=None if found.blur_px is None else -found.blur_px,
    )


def _compared(frame: photo.Photo, shot: photo.Photo, names: tuple[str, str]) -> Comparison:
    mask = np.ones(frame.pixels.shape[:2], np.bool_)
    small = overview(frame.pixels)
    base = _unaligned(frame.pixels, shot.pixels, small)
    gates = Gates()
    try:
        target = target_of(frame.pixels, mask)
        found = register(shot.pixels, target)
        weak = weakness(gates, found)
    except Refusal as error:
        weak, found, target = error.message, None, None
    if found is None or target is None or weak:
        least = gates.min_inliers
        why = diagnose(shot.pixels, frame.pixels, mask, names[1], weak, min_inliers=least)
        if why.reason in {"other_board", "out_of_focus"}:
            # either of the two may be the one at fault
            back = np.ones(shot.pixels.shape[:2], np.bool_)
            turned = diagnose(frame.pixels, shot.pixels, back, names[0], weak, min_inliers=least)
            why = turned if turned.reason != "other_board" else why
        return replace(base, verdict=why.reason, found=why.message)
    return _aligned(base, frame, shot, small, found, target)


def _unaligned(frame: Array, shot: Array, small: Array) -> Comparison:
    """The measures that need no registration; of pictures of one size, of histograms as they are."""
    seen = cv2.resize(overview(shot), (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    bins = [histogram(grey(v)) for v in (frame, shot)]
    return Comparison(
        "",
        "",
        phase_peak_ratio=_or_none(phase_correlation(small, seen).peak_ratio),
        spectrum=_or_none(spectrum_similarity(small, seen)),
        ruzicka=ruzicka(*bins),
        hellinger=hellinger(*bins),
        earth_mover=earth_mover(*bins),
    )


def _aligned(
    base: Comparison, frame: photo.Photo, shot: photo.Photo, small: Array, found: Registration, target: Target
) -> Comparison:
    shrink = np.diag([small.shape[1] / frame.pixels.shape[1], small.shape[0] / frame.pixels.shape[0], 1.0])
    matrix = found.transform.array @ np.linalg.inv(shrink)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (small.shape[1], small.shape[0])
    seen = np.asarray(cv2.warpPerspective(grey(shot.pixels), matrix, size, flags=flags), np.uint8)
    field = shift_field(small, seen)
    textured = field[field[..., 2] > 0.5]
    same = likeness(frame.pixels, shot.pixels, found.transform)
    differ = unlike(frame.header, shot.header)
    blur = blur_of(grey(shot.pixels), found.transform, details_of(target.windows))
    turned = abs(found.rotation_deg) > Gates().max_rotation_deg
    verdict = "same_photo" if same.copied(unlike=bool(differ)) else "rotated" if turned else "same_board"
    return replace(
        base,
        verdict=verdict,
        found=f"{found.inliers} of {found.matches} features agree, correlation {found.correlation:.2f}",
        notes=_notes(found, blur, differ),
        correlation=_or_none(correlation(small, seen)),
        inliers=found.inliers,
        inlier_share=found.inliers / found.matches,
        shift_px=float(np.median(np.hypot(textured[:, 0], textured[:, 1]))) if len(textured) else None,
        rotation_deg=found.rotation_deg,
        scale=found.scale,
        perspective=found.perspective,
        blur_px=_or_none(blur),
        differ_levels=_or_none(same.differ),
        noise_levels=_or_none(same.noise),
    )


def _notes(found: Registration, blur: float, differ: str) -> tuple[str, ...]:
    gates = Gates()
    low, high = gates.scale
    told = {
        f"turned by {abs(found.rotation_deg):.0f} degrees": abs(found.rotation_deg) > gates.max_rotation_deg,
        f"one is blurred by {abs(blur):.1f} px more": abs(blur) > gates.max_blur_px,
        f"tilted: the scale changes by {100 * found.perspective:.0f} % across the board": found.perspective
        > gates.max_perspective,
        "one shows the board much larger": not low <= found.scale <= high,
        f"the files differ in {differ}": bool(differ),
    }
    return tuple(text for text, is_so in told.items() if is_so)


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


__all__ = ["VERDICTS", "Comparison", "compare"]
