"""One workload, as people would write it with the libraries they know.

The workload, on both shots of a pair, 8-bit RGB:

1.  decode; ``score = min(R, G, B)``
2.  glare: ``score > 250``, grown by 5 px (a square); what is no glare is valid
3.  ``smooth``: Gaussian of 2 px over the valid pixels; ``ground``: of 25 px; ``signal = smooth - ground``
4.  one level from the before-shot: Otsu over 1024 bins of its valid pixels
5.  ``mask = signal > level``, opened by 3 x 3, without objects of less than 16 px (8-connected)
6.  over the pixels that are valid in both shots: area (share of the mask) and load (mean signal on
    the mask), and what each has gone down by, per cent
7.  mask and 8-bit score of both shots into a Zarr store: shards of 1024 px, chunks of 512 px, coded as the
    package does

A script knows nothing of this package, only ``workload``: what goes in, what comes out, and how it is
timed. A new one needs a function ``measure(pair) -> Planes`` and one call of ``main``.

The scripts blur with the Gaussian of 25 px at full resolution. Our workflow does so on a grid of cells of 8 px, which
is a part of its speed. ``opencv_coarse`` (``opencv --coarse``) shows a script that does so too, on a grid of 4 px.
"""

import os

# Threads of its own cost zarr two to three times the time of one, and a way is one core or two. It reads this when it
# is imported; the processes of pools and clusters inherit it.
for _name in ("ZARR_THREADING__MAX_WORKERS", "ZARR_ASYNC__CONCURRENCY"):
    os.environ.setdefault(_name, "1")
