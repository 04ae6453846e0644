"""Compiled inner loops: numpy arrays in, numpy arrays out, one pass over a tile each.

The C files are the arithmetic; ``colour`` (photographs), ``masks``, ``matching`` (registration and light) and
``planes`` (single planes) check shapes and allocate. Whatever is not worth a loop of its own stays with numpy and
OpenCV.
"""

from residue_batch.kernels.colour import (
    MOST_RADIUS,
    blurred,
    blurred_and_scaled,
    contrast,
    counts_above,
    evidence,
    negative_sums,
    opacity_sums,
    sample,
    scaled,
    undifferenced,
    unmix,
)
from residue_batch.kernels.masks import above, grow_mask, has_bit, in_all, keep_above, open_areas
from residue_batch.kernels.matching import (
    block_means,
    cubic_window,
    light_sums,
    mutual_nearest,
    normal_below,
    shift,
    window_samples,
)
from residue_batch.kernels.planes import (
    bits_apart,
    cell_sums,
    cover_sums,
    halved,
    histogram,
    least,
    quantise,
    shares,
    smooth_grid,
    smooth_inside,
    spline,
    sums_of_fours,
)

__all__ = [
    "MOST_RADIUS",
    "above",
    "bits_apart",
    "block_means",
    "blurred",
    "blurred_and_scaled",
    "cell_sums",
    "contrast",
    "counts_above",
    "cover_sums",
    "cubic_window",
    "evidence",
    "grow_mask",
    "halved",
    "has_bit",
    "histogram",
    "in_all",
    "keep_above",
    "least",
    "light_sums",
    "mutual_nearest",
    "negative_sums",
    "normal_below",
    "opacity_sums",
    "open_areas",
    "quantise",
    "sample",
    "scaled",
    "shares",
    "shift",
    "smooth_grid",
    "smooth_inside",
    "spline",
    "sums_of_fours",
    "undifferenced",
    "unmix",
    "window_samples",
]
