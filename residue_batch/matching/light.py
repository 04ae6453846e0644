"""A light: what a shot differs by from the reference, and a shot put into the light of the reference.

Per-channel gain times a smooth field, and a difference in blur; `light_fit` finds them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from residue_batch import kernels
from residue_batch.geometry import Box
from residue_batch.matching.flat import Shade
from residue_batch.matching.resample import FULL_SCALE, blur_weights
from residue_batch.matching.samples import units_of

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U16 = NDArray[np.uint16]

LATTICE = 16  # px between the points where the light field is computed


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
    extra_blur
        Variance of the blur of the shot minus that of the reference, frame px^2; see `sigma`.
    film
        Mean opacity over the windows; not divided out.
    clean_share
        Share of the windows that look clean. Near zero, the least filmed windows set the zero of opacity.
    residual
        Robust scale of what the fit leaves, in log light.
    samples, share
        Pixels that took part with at least half their weight; their share of all the pixels sampled.
    film_confounded
        An even film over the whole board cannot be told from exposure; first by grey shots and missing patches,
        then as `light_error` finds.
    shape
        Of the frame.
    covariance, belief
        Of (log gain of each channel, field, half the extra blur): the covariance, row by row, and how far they
        hang on what is believed clean (`light_error`); empty where nothing was fitted.
    misfit
        Mean loss over the pixels and channels, 0 to 1: what `lights.agreed` goes by.
    common
        Residue that both shots of a pair show, per opacity by which they differ; negative where
        the after-shot has more. 0 against a clean reference.
    """

    gain: tuple[float, ...]
    field: tuple[float, ...]
    extra_blur: float
    film: float
    clean_share: float
    residual: float
    samples: int
    share: float
    film_confounded: bool
    shape: tuple[int, int]
    covariance: tuple[float, ...] = ()
    belief: tuple[float, ...] = ()
    misfit: float = 0.0
    common: float = 0.0

    def sigma(self, base: float) -> float:
        """The blur (px) that makes the shot as sharp as the reference blurred by ``base`` px.

        Within [0.5 base, 1.5 base]. A blurrier shot looks like film at every edge.
        """
        return float(min(max(base * base - self.extra_blur, (0.5 * base) ** 2), (1.5 * base) ** 2) ** 0.5)

    def matched(self, light: U16, box: Box, base: float, shade: Shade | None = None) -> F32:
        """The shot in the light of the reference, as sharp as the reference blurred by ``base`` px.

        Parameters
        ----------
        light
            (C, h, w) uint16 linear light of the shot, 65535 = full scale.
        box
            Where it lies in the frame.
        base
            Blur of the reference, px.
        shade
            The shot's flat field, divided out as well.

        Returns
        -------
        (C, h, w) float32, 1 = full scale. The field is bilinear on an absolute lattice: a pixel has
        the same bits in any tile.
        """
        gain = np.array([1.0 / (FULL_SCALE * gain) for gain in self.gain], np.float32)
        weights = blur_weights(self.sigma(base))
        return kernels.blurred_and_scaled(light, weights, self._lattice(box, shade), LATTICE, box.top % LATTICE, gain)

    def _lattice(self, box: Box, shade: Shade | None) -> F32:
        """1 / field on the rows of the lattice around a box: (1, n, w), with a flat field (C, n, w)."""
        rows = np.arange(box.top // LATTICE, -(-box.bottom // LATTICE) + 1, dtype=np.float64)
        columns = np.arange(box.left // LATTICE, -(-box.right // LATTICE) + 1, dtype=np.float64)
        x, y = units_of(columns[None, :] * LATTICE, rows[:, None] * LATTICE, self.shape)
        field = field_at(self.field, x, y)[None]
        if shade is not None:
            field = field * shade.at(columns[None, :] * LATTICE, rows[:, None] * LATTICE)
        nodes = (1.0 / field).astype(np.float32)
        pixels = np.arange(box.left, box.right)
        number = pixels // LATTICE - box.left // LATTICE
        share = (pixels % LATTICE / LATTICE).astype(np.float32)
        left, right = nodes.take(number, axis=2), nodes.take(number + 1, axis=2)  # not fancy: rows stay contiguous
        return np.asarray(left + (right - left) * share, np.float32)


def same_light(shape: tuple[int, int], channels: int) -> Light:
    """The light of the reference itself."""
    return Light(
        gain=(1.0,) * channels,
        field=(0.0,) * 5,
        extra_blur=0.0,
        film=0.0,
        clean_share=1.0,
        residual=0.0,
        samples=0,
        share=1.0,
        film_confounded=False,
        shape=shape,
    )


def field_at(field: tuple[float, ...], x: F64, y: F64) -> F64:
    """A light field at places in units of `Samples.place`."""
    a, b, c, d, e = field
    return np.asarray(np.exp(a * x + b * y + c * x * x + d * x * y + e * y * y))
