"""Compiled inner loops: numpy arrays in, numpy arrays out, one pass over a tile each.

The C files are the arithmetic, ``bindings.pyx`` and ``single.pyx`` (single planes) check shapes and allocate. Whatever
is not worth a loop of its own stays with numpy and OpenCV.
"""

from residue_batch.kernels.bindings import (
    blurred,
    blurred_and_scaled,
    contrast,
    counts_above,
    cubic_window,
    evidence,
    light_sums,
    mutual_nearest,
    normal_below,
    opacity_sums,
    sample,
    scaled,
    shift,
    unmix,
    window_samples,
)
from residue_batch.kernels.single import (
    cell_sums,
    cover_sums,
    grow_mask,
    has_bit,
    histogram,
    least,
    open_areas,
    quantise,
    shares,
    smooth_grid,
    smooth_inside,
    spline,
)

__all__ = [
    "blurred",
    "blurred_and_scaled",
    "cell_sums",
    "contrast",
    "counts_above",
    "cover_sums",
    "cubic_window",
    "evidence",
    "grow_mask",
    "has_bit",
    "histogram",
    "least",
    "light_sums",
    "mutual_nearest",
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
    "unmix",
    "window_samples",
]
