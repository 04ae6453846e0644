"""Gates: whether there is a number at all. What a board type allows, against what a shot, a match or a pair is.

Each refuses with a reason that names what is wrong, the number and its gate, and what can be done.
A number that could not be found (NaN) is outside every gate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from residue_batch import photo
from residue_batch.config import Gates
from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Transform
from residue_batch.matching.forensics import STRAIGHT, likeness, straightness
from residue_batch.matching.light import Light
from residue_batch.matching.quality import Quality
from residue_batch.matching.registration import Registration
from residue_batch.photo.header import Header

Size = tuple[int, ...]
COARSER = 1.15
"""Two JPEGs of one camera are compressed alike; a copy is not."""


def gate_match(
    gates: Gates, phase: str, found: Registration | None, shape: Size | None = None, frame: Size | None = None
) -> None:
    """Refuse a registration outside the gates of its board type.

    Parameters
    ----------
    found
        None for the frame itself, which needs no gate.
    shape, frame
        (height, width) of shot and frame, where known: a shot whose size explains its scale has another resolution.

    Raises
    ------
    Refusal
        ``rotated``, ``scale``, ``resolution``, ``tilted`` or ``registration``, with the number and its gate.
    """
    if found is None:
        return
    if not abs(found.rotation_deg) <= gates.max_rotation_deg:
        raise Refusal(
            "rotated",
            f"the {phase} shot is turned by {found.rotation_deg:.0f} degrees (gate {gates.max_rotation_deg:g})",
            "photograph the board upright, or turn the file",
        )
    low, high = gates.scale
    if not low <= found.scale <= high:
        raise _scaled(phase, found.scale, (low, high), shape, frame)
    weak = weakness(gates, found)
    if weak:
        raise Refusal(
            "registration",
            f"the {phase} shot does not fit the board frame: {weak}",
            "check that this is the right board, whole and sharp",
        )
    if not found.perspective <= gates.max_perspective:
        raise Refusal(
            "tilted",
            f"the scale of the {phase} shot changes by {100 * found.perspective:.0f} % across the board "
            f"(gate {100 * gates.max_perspective:g} %)",
            "hold the camera square to the board",
        )


def _scaled(phase: str, scale: float, gate: tuple[float, float], shape: Size | None, frame: Size | None) -> Refusal:
    found = f"{scale:.2f} times as large as the frame (gate {gate[0]:g} to {gate[1]:g})"
    if shape and frame:
        ratio = ((shape[0] * shape[1]) / (frame[0] * frame[1])) ** 0.5
        if abs(scale / ratio - 1) < 0.15:
            sizes = f"{shape[1]} x {shape[0]} pixels, the frame {frame[1]} x {frame[0]}"
            return Refusal(
                "resolution",
                f"the {phase} shot has {sizes}: the board is {found}",
                "photograph all shots and the frame with one resolution",
            )
    return Refusal(
        "scale", f"the {phase} shot is {found}", "photograph from the same distance with the same resolution"
    )


def weakness(gates: Gates, found: Registration) -> str:
    """What of a registration is too weak to believe it; empty when nothing is."""
    if found.inliers < gates.min_inliers:
        return f"{found.inliers} matching features (gate {gates.min_inliers})"
    if not found.correlation >= gates.min_correlation:
        return f"correlation {found.correlation:.2f} (gate {gates.min_correlation:g})"
    if not found.residual_px <= gates.max_residual_px:
        return f"residual {found.residual_px:.2f} px (gate {gates.max_residual_px:g})"
    return ""


def gate_grid(phase: str, shape: Size, frame: Size) -> None:
    """Refuse a shot (``resolution``) that does not lie on the grid of a board that is compared as taken."""
    if shape == frame:
        return
    names = [f"{s[1]} x {s[0]} pixels of {s[2]} channel(s)" for s in (shape, frame)]
    raise Refusal(
        "resolution",
        f"the {phase} shot has {names[0]}, the board {names[1]}; they are compared pixel by pixel (reference: none)",
        "take all shots with one fixed camera, or give the board type a reference: golden, lot or pair",
    )


def gate_focus(gates: Gates, phase: str, found: Registration | None, quality: Quality) -> None:
    """Refuse a blurred shot (``out_of_focus``); before the registration is judged, which blur spoils first.

    Where too few features agree the blur means nothing: that may be another board.
    """
    if found is not None and found.inliers < gates.min_inliers:
        return
    if not quality.blur_px <= gates.max_blur_px:
        raise Refusal(
            "out_of_focus",
            f"the {phase} shot is blurred by {quality.blur_px:.1f} px more than the frame (gate {gates.max_blur_px:g})",
            "focus on the board and hold the camera still",
        )


def gate_exposure(gates: Gates, phase: str, quality: Quality) -> None:
    """Refuse a shot (``over_exposed``) of which too much is burnt out for its light to be matched."""
    if not quality.saturated_pct <= gates.max_saturated_pct:
        raise Refusal(
            "over_exposed",
            f"{quality.saturated_pct:.0f} % of the board is burnt out in the {phase} shot "
            f"(gate {gates.max_saturated_pct:g} %)",
            "expose less; keep lamps and their mirror images off the board",
        )


def gate_light(gates: Gates, phase: str, light: Light) -> None:
    """Refuse a light that was not found, or is too far from the reference's.

    Raises
    ------
    Refusal
        ``over_exposed``, ``under_exposed`` or ``light``.
    """
    least, most = gates.gain
    gain = float(np.max(light.gain))  # NaN where any is
    if gain < least or gain > most:
        dark = gain < least
        raise Refusal(
            "under_exposed" if dark else "over_exposed",
            f"the {phase} shot has {gain:.2f} times the light of the reference (gate {least:g} to {most:g})",
            "expose longer" if dark else "expose less, or take a golden shot in this light",
        )
    found = math.isfinite(gain) and light.residual <= gates.max_light_residual
    if not (found and light.share >= gates.min_light_share):
        raise Refusal(
            "light",
            f"the light of the {phase} shot cannot be matched: it leaves {light.residual:.2f} in log light "
            f"(gate {gates.max_light_residual:g}) and rests on {100 * light.share:.0f} % of the pixels "
            f"(gate {100 * gates.min_light_share:g} %)",
            "use one kind of lamp for all shots; check the outline of the board type",
        )


def gate_copies(
    gates: Gates, relative: Transform, shape: Size, pixels: Callable[[], Sequence[Array]], paths: Sequence[str]
) -> None:
    """Refuse two files of one exposure.

    Parameters
    ----------
    relative
        From the before-shot to the after-shot.
    shape
        Of the before-shot.
    pixels
        Reads both shots; called only where they lie on each other exactly.
    paths
        Of both files.

    Raises
    ------
    Refusal
        ``same_photo``.
    """
    # what two registrations leave open is allowed for
    if not gates.refuse_copies or straightness(relative, (shape[0], shape[1]))[0] > STRAIGHT:
        return
    one, other = pixels()
    found = likeness(one, other, relative)
    differ = unlike(*(photo.read_header(path) for path in paths)) if found.same_content else ""
    if not found.copied(unlike=bool(differ)):
        return
    why = f"the files differ in {differ}" if differ else f"their noise is the same ({found.noise:.2f} levels apart)"
    raise Refusal(
        "same_photo",
        f"before and after are one photograph, saved twice: they lie on each other to {found.straight_px:.2f} px, show "
        f"the same to {found.differ:.1f} levels of 256, and {why}",
        "give the shot taken after cleaning; two shots of an unmoved board pass with gates: {refuse_copies: false}",
    )


def unlike(one: Header, other: Header) -> str:
    """In what two files differ that two shots of one camera do not; empty for nothing."""
    steps = sorted((one.steps, other.steps))
    differ = {
        "size": one.shape != other.shape,
        "format": (one.format, one.dtype) != (other.format, other.dtype),
        "compression": steps[1] > COARSER * steps[0],
    }
    return ", ".join(name for name, is_so in differ.items() if is_so)


Clock = Literal["", "forward", "reversed"]
"""Which shot was taken first, by the camera's clock; empty where it does not say."""


def clock_of(before: str, after: str) -> Clock:
    """What the camera's clock (EXIF) says of two photographs: `reversed` where the after-shot was taken first."""
    first, second = (photo.read_header(path).taken for path in (before, after))
    if not first or not second or first == second:
        return ""
    return "forward" if first < second else "reversed"


def gate_change(gates: Gates, before: float, after: float, lod: float, *, clock_reversed: bool = False) -> None:
    """Refuse a board that gained so much residue that its phases must be exchanged.

    Parameters
    ----------
    before, after
        Loads of the whole board.
    lod
        Limit of detection.
    clock_reversed
        The camera's clock says that `after` was taken first: then any increase is enough.

    Raises
    ------
    Refusal
        ``swapped``.
    """
    base = max(before, lod)
    # beyond what light and noise can do
    sure = after - base > 3 * lod
    if not sure or not (clock_reversed or after > base * (1 + gates.max_increase_pct / 100)):
        return
    clock = "; by the camera's clock it was taken first" if clock_reversed else ""
    times = f"{after / base:.1f} times the residue of before" + (" at least" if before < lod else "")
    raise Refusal(
        "swapped",
        f"after carries {times} (load {before:.4f} -> {after:.4f}, gate {1 + gates.max_increase_pct / 100:g} times)"
        f"{clock}: the two phases seem to be exchanged",
        "check the file names of the two phases; a board that really got that much worse is measured with "
        "gates: {max_increase_pct: 10000}",
    )
