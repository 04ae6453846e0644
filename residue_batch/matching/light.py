"""The light of a shot against the light of the reference: per-channel gain times a smooth field.

Model of a pixel: ``log I_c = log B_c + gain_c + field(x, y) + log(1 + a (W_c / B_c - 1))``, the
field a quadratic common to the channels (vignetting, a lamp to one side). Residue is one-sided
and covers much of the board, so the fit is robust and starts from the mode. An even film of
strength f is a regressor, ``f (W_c / B_c - 1)``: film brightens dark pixels most, exposure all
alike, so contrast tells them apart. Only gain and field are divided out; film stays in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import Refusal
from residue_batch.geometry import Array, Box, Transform
from residue_batch.matching.resample import FULL_SCALE, U16, blur, blur_radius, resample

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

NODE = 16  # px between the nodes of the light field
_WIDER = 3.5  # px: the difference of the two blurs is the Laplacian
_BLUR = 3.0  # px, of the samples: opacity is a property of areas, noise and 0.1 px of misfit are not
_PATCH = 64
_STEP = 4
_AREA = 1_600_000  # px read for the samples
_MIN_SAMPLES = 500
_SATURATED = 0.94
_MAX_CONTRAST = 40.0
_REMEDY = "check exposure and the outline of the board type"


@dataclass(frozen=True)
class Samples:
    """Pixels of a shot and of the reference, in linear light (1 = full scale), blurred alike.

    ``place`` (n, 2) float64 is [x, y] in units of half the longer side of the frame, from its
    centre; ``image`` and ``reference`` are (n, C) float32; ``bend`` (n, C) is the Laplacian of the
    reference per px^2; ``patch`` (n,) bool marks the declared white patch; ``shape`` is the frame's.
    """

    place: F64
    image: F32
    reference: F32
    bend: F32
    patch: Mask
    shape: tuple[int, int]


@dataclass(frozen=True)
class Light:
    """What the light of a shot is against the light of the reference.

    Attributes
    ----------
    gain
        Per channel, shot / reference, at the centre of the frame.
    field
        Coefficients of x, y, x^2, xy, y^2 in the log field; x and y in units of half the
        longer side of the frame, from its centre.
    film
        Strength f of an even film, as opacity; not divided out.
    residual
        Robust scale of what the fit leaves, in opacity.
    samples
        Pixels that took part with at least half their weight.
    share
        Their share of all the pixels sampled.
    film_confounded
        Nothing tells film from exposure: grey shot, or no white patch.
    shape
        Of the frame.
    """

    gain: tuple[float, ...]
    field: tuple[float, float, float, float, float]
    film: float
    residual: float
    samples: int
    share: float
    film_confounded: bool
    shape: tuple[int, int]

    def divisor(self, box: Box) -> F32:
        """The field on ``box``, (h, w, 1) float32: divide linear light by it, and by ``gain``.

        Bilinear between nodes on an absolute lattice: the same pixel has the same bits in any tile.
        """
        rows, columns = _knots(box.top, box.bottom), _knots(box.left, box.right)
        nodes = self._nodes(rows[0], columns[0])
        down, across = rows[1][:, None], columns[1][None, :]
        left, right = nodes[:, columns[2]], nodes[:, columns[2] + 1]
        wide = left + (right - left) * across
        above, below = wide[rows[2]], wide[rows[2] + 1]
        return np.asarray(above + (below - above) * down, np.float32)[:, :, None]

    def _nodes(self, rows: F64, columns: F64) -> F32:
        x, y = _units(columns, rows, self.shape)
        a, b, c, d, e = self.field
        x, y = x[None, :], y[:, None]
        return np.exp(a * x + b * y + c * x * x + d * x * y + e * y * y).astype(np.float32)

    def strength(self) -> float:
        """Largest ratio of the field between two places of the frame."""
        nodes = self._nodes(np.linspace(0, self.shape[0] - 1, 33), np.linspace(0, self.shape[1] - 1, 33))
        return float(nodes.max() / nodes.min())


def _knots(start: int, stop: int) -> tuple[F64, F32, NDArray[np.intp]]:
    """(positions of the nodes, fraction of each pixel past its node, number of that node)."""
    first = start // NODE
    last = max(stop - 1, start) // NODE + 1
    pixels = np.arange(start, stop)
    number = pixels // NODE
    fraction = ((pixels - number * NODE) / NODE).astype(np.float32)
    return np.arange(first, last + 1, dtype=np.float64) * NODE, fraction, number - first


def _units(x: Array, y: Array, shape: tuple[int, int]) -> tuple[F64, F64]:
    half = max(shape) / 2.0
    return (x - (shape[1] - 1) / 2.0) / half, (y - (shape[0] - 1) / 2.0) / half


def sample_light(
    shot: Array,
    table: U16,
    transform: Transform,
    reference: U16,
    mask: Mask,
    patch: Mask | None = None,
) -> Samples:
    """Pixels for the light fit: small windows on a lattice over the board, read at full resolution.

    Parameters
    ----------
    shot
        (H, W[, C]) as decoded.
    table
        Of the shot, from `linear_table`.
    transform
        Frame to shot.
    reference
        (h, w[, C]) uint16 linear light, in the frame.
    mask
        (h, w) bool: inside the outline, not ignored.
    patch
        (h, w) bool: the declared white patch, or None.

    A pixel counts when neither it nor a neighbour within the blur is saturated in the shot as
    taken or in the reference.
    """
    whole = Box.whole(mask.shape)
    halo = blur_radius(_WIDER)
    limit = int(table[int(_SATURATED * (len(table) - 1))])
    found: list[tuple[F64, F32, F32, F32, Mask]] = []
    for box in _lattice(mask):
        outer = box.grow(halo, whole)
        seen, valid = resample(shot, transform, outer, table)
        clean = np.ascontiguousarray(reference[outer.within(whole)])
        bright = _any_channel(seen > limit) | _any_channel(clean > limit)
        bad = cv2.dilate((bright | ~valid).astype(np.uint8), np.ones((2 * halo + 1, 2 * halo + 1), np.uint8))
        good = mask[box.within(whole)] & (box.crop(bad, outer) == 0)
        on = np.zeros(box.shape, np.bool_) if patch is None else patch[box.within(whole)]
        step = (slice(_STEP // 2, None, _STEP), slice(_STEP // 2, None, _STEP))
        chosen = good[step]
        if not chosen.any():
            continue
        light = box.crop(blur(seen, _BLUR), outer)[step][chosen]
        base = box.crop(blur(clean, _BLUR), outer)[step][chosen]
        wide = box.crop(blur(clean, _WIDER), outer)[step][chosen]
        bend = (_unit(wide) - _unit(base)) / np.float32((_WIDER**2 - _BLUR**2) / 2)
        rows, columns = np.nonzero(chosen)
        x, y = _units(columns * _STEP + _STEP // 2 + box.left, rows * _STEP + _STEP // 2 + box.top, whole.shape)
        found.append((np.stack([x, y], 1), _unit(light), _unit(base), bend, on[step][chosen]))
    if not found:
        raise Refusal("light", "no pixel of the board can be used for matching the light", _REMEDY)
    place, image, base32, bends, on = (np.concatenate(part) for part in zip(*found, strict=True))
    return Samples(place, image, base32, bends, on, whole.shape)


def _unit(light: Array) -> F32:
    return (light.reshape(len(light), -1) / np.float32(FULL_SCALE)).astype(np.float32)


def _any_channel(plane: Mask) -> Mask:
    return plane if plane.ndim == 2 else plane.any(2)


def _lattice(mask: Mask) -> list[Box]:
    """Windows evenly over the outline, together about `_AREA` px."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    area = Box(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    pitch = max(_PATCH, round(_PATCH * (area.pixels / _AREA) ** 0.5))
    return [
        Box(top, left, min(top + _PATCH, area.bottom), min(left + _PATCH, area.right))
        for top in range(area.top, area.bottom, pitch)
        for left in range(area.left, area.right, pitch)
    ]


def fit_light(samples: Samples, white: F32, *, white_assumed: bool = False) -> Light:
    """Gain, field and film of a shot.

    Parameters
    ----------
    samples
        From `sample_light`.
    white
        (C,) float32: the colour of residue under the light of the reference.
    white_assumed
        There is no declared patch.

    Raises
    ------
    Refusal
        ``light``: too few usable pixels.
    """
    image, base = np.maximum(samples.image, 1e-4), np.maximum(samples.reference, 1e-4)
    keep = (samples.image.min(1) > 1e-3) & (samples.reference.min(1) > 1e-3)
    if keep.sum() < _MIN_SAMPLES:
        raise Refusal("light", f"{int(keep.sum())} pixels can be used for matching the light", _REMEDY)
    image, base, place = image[keep], base[keep], samples.place[keep]
    channels = base.shape[1]
    ratio = np.log(image.astype(np.float64)) - np.log(base.astype(np.float64))
    contrast = np.clip(np.asarray(white, np.float64) / base - 1.0, 0.0, _MAX_CONTRAST)
    with_film = channels > 1
    design = _design(place, contrast, with_film=with_film)
    solved = np.zeros(design.shape[2])
    calm = contrast.mean(1) <= np.quantile(contrast.mean(1), 0.6)
    for c in range(channels):
        solved[c] = _mode(ratio[calm, c])
    weight = np.ones_like(ratio)
    for scale in (0.05, 0.05, 0.035, 0.025, 0.02, 0.015, 0.015, 0.015, 0.015):
        rest = ratio - design @ solved
        width = 4.685 * (scale + 0.004 * contrast)
        weight = np.square(np.clip(1.0 - np.square(rest / width), 0.0, None))
        weighted = design * weight[:, :, None]
        normal = np.einsum("nck,ncl->kl", weighted, design, optimize=True)
        right = np.einsum("nck,nc->k", weighted, ratio)
        solved = np.linalg.solve(normal + 1e-9 * np.trace(normal) * np.eye(len(right)), right)
    rest = ratio - design @ solved
    used = weight.min(1) > 0.5
    opacity = np.abs(rest[used] / np.maximum(contrast[used], 0.05)).min(1)
    return Light(
        gain=tuple(float(v) for v in np.exp(solved[:channels])),
        field=tuple(float(v) for v in solved[channels : channels + 5]),  # type: ignore[arg-type]
        film=float(solved[channels + 5]) if with_film else 0.0,
        residual=1.4826 * float(np.median(opacity)) if used.any() else float("nan"),
        samples=int(used.sum()),
        share=float(used.mean()),
        film_confounded=white_assumed or not with_film,
        shape=samples.shape,
    )


def _design(place: F64, contrast: F64, *, with_film: bool) -> F64:
    """(n, C, C + 5 [+ 1]): gain per channel, field, film."""
    count, channels = contrast.shape
    design = np.zeros((count, channels, channels + 5 + int(with_film)))
    x, y = place[:, :1], place[:, 1:]
    for c in range(channels):
        design[:, c, c] = 1.0
    for k, term in enumerate((x, y, x * x, x * y, y * y)):
        design[:, :, channels + k] = term
    if with_film:
        design[:, :, channels + 5] = contrast
    return design


def _mode(values: F64) -> float:
    """The most frequent value, from a smoothed histogram: residue only pushes upwards, so not the median."""
    low, high = np.quantile(values, [0.01, 0.99])
    edges = np.arange(low - 0.1, high + 0.12, 0.01)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    smooth = np.convolve(counts, np.hanning(9), mode="same")
    return float(edges[int(smooth.argmax())] + 0.005)
