"""Compiled inner loops: numpy arrays in, numpy arrays out, one pass over a tile each.

The C files are the arithmetic, ``bindings.pyx`` checks shapes and allocates. Whatever is not worth a loop of its own
stays with numpy and OpenCV.
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

__all__ = [
    "blurred",
    "blurred_and_scaled",
    "contrast",
    "counts_above",
    "cubic_window",
    "evidence",
    "light_sums",
    "mutual_nearest",
    "normal_below",
    "opacity_sums",
    "sample",
    "scaled",
    "shift",
    "unmix",
    "window_samples",
]
