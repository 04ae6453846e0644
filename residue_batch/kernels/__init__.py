"""Compiled inner loops: numpy arrays in, numpy arrays out, one pass over a tile each.

``loops.c`` and ``registration.c`` are the arithmetic, ``bindings.pyx`` checks shapes and allocates. Whatever is not
worth a loop of its own stays with numpy and OpenCV.
"""

from residue_batch.kernels.bindings import (
    blurred,
    blurred_and_scaled,
    contrast,
    counts_above,
    mutual_nearest,
    normal_equations,
    opacity_sums,
    sample,
    scaled,
    unmix,
)

__all__ = [
    "blurred",
    "blurred_and_scaled",
    "contrast",
    "counts_above",
    "mutual_nearest",
    "normal_equations",
    "opacity_sums",
    "sample",
    "scaled",
    "unmix",
]
