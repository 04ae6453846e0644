"""Smoothing inside a mask."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.step import AnyPlane, Array, Mask, Plane, step
from residue_batch.units import Pixels

# no sum of weights that holds a pixel is smaller: exp(-16) at the corner of the kernel
_TINY = 1e-30


def gaussian_radius(sigma: float) -> int:
    """Half width of the kernel in pixels: four sigma, rounded; SciPy's rule."""
    return int(4 * sigma + 0.5)


@lru_cache(maxsize=32)
def gaussian_weights(sigma: float) -> Array:
    """Weights of the offsets 0, 1 ... radius (float64); with both sides they add up to 1."""
    offsets = np.arange(gaussian_radius(sigma) + 1, dtype=np.float64)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else np.ones(1)
    return np.asarray(weights / (2 * weights.sum() - weights[0]))


@step(version=2, halo=gaussian_radius, examples=({"sigma": "1 px"}, {"sigma": "2.3 px"}, {"sigma": "0.1 px"}))
def gaussian(plane: AnyPlane, *, where: Mask, sigma: Annotated[Pixels, Field(gt=0, le=64)] = 1.0) -> Plane:
    """Smooth with a Gaussian, using only the pixels that count.

        smooth: {step: gaussian, of: opacity, sigma: 2 px}

    Normalised convolution (Knutsson & Westin 1993): ``G(plane x where) / G(where)``,
    with G a separable Gaussian cut off at four sigma. Pixels outside ``where``
    and outside the frame have no weight, so nothing leaks in from glare or
    from the edge; 0 where no pixel that counts is within reach. Costs grow with
    sigma: above about 8 px use ``background``.

    Parameters
    ----------
    plane
        What is smoothed.
    where
        The pixels that count (default: what the photograph shows).
    sigma
        Standard deviation, a length up to 64 px.
    """
    return kernels.smooth_inside(plane, where.view(np.uint8), gaussian_weights(sigma).astype(np.float32), _TINY)
