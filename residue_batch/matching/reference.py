"""The clean colour B of a pixel, the colour W of residue, and the opacity between them.

Model, in linear light: ``I = (1 - a) B + a W``. The opacity is the projection
of the pixel on the line from B to W, signed, so that noise averages out:
``a = (I - B) . (W - B) / |W - B|^2``.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.geometry import Array
from residue_batch.matching.resample import FULL_SCALE

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

MIN_CONTRAST = 0.3
_BRIGHT = 0.2  # of W, mean over the channels
_CLIPPED = 62650  # linear light of sRGB code 250 of 255, u16
_ALIKE = np.float32(1e-6)  # |W - B|^2 below which board and residue look alike
_STRIP = 64  # rows: the planes of a strip stay in cache


def white_colour(reference_linear: Array, patch: Mask | None) -> tuple[F32, bool]:
    """The colour of white residue under the light of the reference.

    Parameters
    ----------
    reference_linear
        (H, W[, C]) uint16 linear light of the reference, 65535 = full scale.
    patch
        (H, W) bool: the declared white patch, or None.

    Returns
    -------
    white
        (C,) float32 linear light, 1 = full scale: the 60th percentile of the
        patch; without one, equal channels at the 99.9th percentile of the reference.
    assumed
        True without a patch: opacities are then on an assumed scale.

    Raises
    ------
    UsageError
        When the patch has no pixel on the reference, or is black.
    """
    light = reference_linear[..., None] if reference_linear.ndim == 2 else reference_linear
    channels = light.shape[2]
    if patch is None:
        step = max(1, int((light.shape[0] * light.shape[1] / 1_000_000) ** 0.5))
        top = float(np.percentile(light[::step, ::step], 99.9)) / FULL_SCALE
        return np.full(channels, max(top, 1e-3), np.float32), True
    if patch.shape != light.shape[:2] or not patch.any():
        raise UsageError("the white patch has no pixel on the reference")
    white = np.percentile(light[patch].reshape(-1, channels), 60, axis=0) / FULL_SCALE
    if white.min() < 0.02:
        raise UsageError("the white patch is black on the reference")
    return white.astype(np.float32), False


def _planes(image: F32) -> list[F32]:
    return [image] if image.ndim == 2 else [image[..., c] for c in range(image.shape[-1])]


def contrast_ok(reference: F32, white: F32) -> Mask:
    """Where residue can be told from the board: ``|W - B| >= 0.3 |W|``; (h, w) bool.

    ``reference`` (h, w[, C]) and ``white`` (C,) are float32 linear light on one scale.
    """
    total = np.zeros(reference.shape[:2], np.float32)
    for plane, w in zip(_planes(reference), np.atleast_1d(white), strict=True):
        total += np.square(np.float32(w) - plane)
    limit = MIN_CONTRAST**2 * float(np.square(np.asarray(white, np.float64)).sum())
    return np.asarray(total >= np.float32(limit))


def unmix(image: F32, reference: F32, white: F32) -> F32:
    """Signed opacity of white residue: ``(I - B) . (W - B) / |W - B|^2``.

    Parameters
    ----------
    image, reference
        (h, w[, C]) float32 linear light on one scale; the image light-matched to the reference.
    white
        (C,) float32, same scale.

    Returns
    -------
    (h, w) float32, 0 = clean, 1 = fully covered; below 0 for noise;
    near 0 where W = B.
    Element by element in a fixed order: the same pixel has the same bits in any tile.
    """
    if image.shape != reference.shape:
        raise ValueError(f"image {image.shape} and reference {reference.shape} differ")
    height, width = image.shape[:2]
    opacity: F32 = np.empty((height, width), np.float32)
    for top in range(0, height, _STRIP):
        rows = slice(top, top + _STRIP)
        along = np.zeros_like(opacity[rows])
        norm = np.zeros_like(along)
        for i, b, w in zip(_planes(image[rows]), _planes(reference[rows]), np.atleast_1d(white), strict=True):
            span = np.float32(w) - b
            norm += span * span
            span *= i - b
            along += span
        np.maximum(norm, _ALIKE, out=norm)
        opacity[rows] = along / norm
    return opacity


def saturated(linear: Array, grow: int) -> Mask:
    """Where any channel is clipped (98 % of full scale in sRGB code), grown by a disc; (h, w) bool.

    One clipped channel makes a bright pixel too dark, and the blur carries that to its neighbours:
    on a reference exclude it everywhere, on a shot where the reference is `bright`.
    """
    light = linear if linear.ndim == 2 else linear.max(2)
    return _grown(light >= _CLIPPED, grow)


def bright(reference_linear: Array, white: F32, grow: int) -> Mask:
    """Where the board itself is metal, ink or otherwise bright: mean light above a fifth of W's, grown by a disc.

    Saturation there is glare; elsewhere it is thick residue, which must count.
    ``reference_linear`` is (h, w[, C]) uint16, ``white`` (C,) float32, 1 = full scale.
    """
    total = np.zeros(reference_linear.shape[:2], np.float32)
    for plane in _planes(reference_linear):
        total += plane
    return _grown(total > np.float32(_BRIGHT * FULL_SCALE * float(np.asarray(white, np.float64).sum())), grow)


def _grown(mask: Mask, radius: int) -> Mask:
    if radius <= 0:
        return mask
    square = np.square(np.arange(-radius, radius + 1))
    disc = (square[:, None] + square[None, :] <= radius * radius).astype(np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc), np.bool_)


def darker(before: F32, after: F32) -> F32:
    """The clean colour when there is no clean reference: per pixel the darker of two light-matched shots.

    The colour of one pixel, never a mixture, so ``opacity before - opacity after`` is exact.
    Film that lies on both shots is unseen, and noise reads as residue on both: reductions are
    upper bounds.
    """
    if before.ndim == 2:
        return np.minimum(before, after)
    return np.where(after.sum(2, keepdims=True) < before.sum(2, keepdims=True), after, before)
