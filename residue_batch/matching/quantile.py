"""The clean colour of a pixel out of many matched shots of the same board type.

Residue only ever brightens a pixel, so its clean colour lies at the low end of what the boards
show there. The lowest values alone are also the darkest noise and the darkest misfit of every
edge. So the first look takes a low quantile of each pixel; with what that found, the second look
asks which shots are cleanest *around* the pixel, where noise and misfit average out, and takes
the mean of those.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.geometry import Array
from residue_batch.matching.resample import FULL_SCALE
from residue_batch.tally import Tally

U16 = NDArray[np.uint16]
F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

UNSEEN = FULL_SCALE
"""All channels of a pixel that the shot does not show; matched light ends one step below."""
QUANTILE = 0.05
SHARE = 0.25
"""The share of the shots, cleanest around a pixel, whose mean is its clean colour."""
NEAR = 9
"""Side (px) of the square around a pixel in which shots are compared."""
HALO = NEAR // 2
SPREAD_ONE = 4096
"""Fixed-point steps per unit of opacity."""
_PLACES, _UNKNOWN = 24, 0.25


def cleanness(light: F32, window: NDArray[np.intp]) -> NDArray[np.float64]:
    """How clean each shot looks, by its contrast: white residue lifts the dark places of a board most.

    Exposure, vignetting and colour cancel. What is dark and what is bright in a window is decided by
    all shots together, so that crystals on one of them are no contrast of the board.

    Parameters
    ----------
    light
        (n, p): logarithm of the light of n shots at the same p places; NaN where it is not known.
    window
        (p,): the window each place belongs to.

    Returns
    -------
    (n,): mean contrast of the windows, in log light; larger is cleaner.
    """
    total, windows = np.zeros(len(light)), 0
    for number in np.unique(window):
        here = light[:, window == number]
        here = here[:, np.isnan(here).mean(0) <= _UNKNOWN]
        if here.shape[1] < _PLACES:
            continue
        shown = np.isnan(here).mean(1) <= _UNKNOWN
        if shown.mean() <= _UNKNOWN:
            continue
        level = here[shown] - _median(here[shown].T)[:, None]
        order = np.argsort(_median(level), kind="stable")
        quarter = len(order) // 4
        bright, dark = here[shown][:, order[-quarter:]], here[shown][:, order[:quarter]]
        found = np.nan_to_num(_median(bright.T) - _median(dark.T))
        # a shot that does not show the window is as good there as the median one
        total += np.full(len(light), np.median(found))
        total[shown] += found - np.median(found)
        windows += 1
    return total / max(windows, 1)


def _median(values: Array) -> NDArray[np.float64]:
    """Median of each column over what is known; NaN where nothing is."""
    known = np.sort(values, axis=0)  # NaN last
    count = (~np.isnan(values)).sum(0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    columns = np.arange(values.shape[1])
    found = (known[low, columns].astype(np.float64) + known[np.minimum(high, len(known) - 1), columns]) / 2
    found[count == 0] = np.nan
    return np.asarray(found)


def low_quantile(stack: U16, *, least: int, share: float = QUANTILE) -> U16:
    """A low quantile per pixel and channel over the shots that show it.

    Parameters
    ----------
    stack
        (n, h, w, C) uint16 linear light, `UNSEEN` in all channels where a shot shows nothing.
    least
        A pixel that fewer shots show stays `UNSEEN`.
    share
        The quantile; of few shots the second lowest, so that one bad value decides nothing.

    Returns
    -------
    (h, w, C) uint16.
    """
    seen = (stack != UNSEEN).any(3)
    count = seen.sum(0)
    rank = np.clip(np.rint(share * count), 1, np.maximum(count - 1, 0)).astype(np.intp)
    if (count == len(stack)).all():
        return np.asarray(np.partition(stack, int(rank.flat[0]), axis=0)[int(rank.flat[0])], np.uint16)
    found = np.take_along_axis(np.sort(stack, axis=0), rank[None, :, :, None], axis=0)[0]
    found[count < least] = UNSEEN
    return np.asarray(found)


def cleanest(stack: U16, base: U16, white: F32, *, least: int, share: float = SHARE) -> U16:
    """The mean, per pixel, of the shots that are cleanest around it.

    Parameters
    ----------
    stack
        (n, h, w, C) as for `low_quantile`, with `HALO` px around what is wanted.
    base
        (h, w, C) uint16: the clean colour as found so far, by which opacities are compared.
    white
        (C,) float32: the colour of residue, 1 = full scale.

    Returns
    -------
    (h, w, C) uint16; the halo is still there: crop it.
    """
    seen = (stack != UNSEEN).any(3)
    near = np.empty(seen.shape, np.int32)
    span, norm = _span(base, white)
    for shot, there, out in zip(stack, seen, near, strict=True):
        opacity = _opacity(shot, base, span, norm)
        opacity[~there] = 0
        # integers: the same sum in any tile
        out[...] = cv2.boxFilter(opacity, cv2.CV_32S, (NEAR, NEAR), normalize=False, borderType=cv2.BORDER_REPLICATE)
        out[~there] = np.iinfo(np.int32).max
    count = seen.sum(0)
    wanted = np.minimum(np.maximum(np.rint(share * count), 3), count).astype(np.intp)
    limit = np.take_along_axis(np.sort(near, axis=0), np.maximum(wanted - 1, 0)[None], axis=0)[0]
    total, taken = np.zeros(base.shape, np.uint32), np.zeros(count.shape, np.uint32)
    for shot, there, opacity in zip(stack, seen, near, strict=True):
        # all that are as clean as the last one wanted: so the order of the shots does not matter
        chosen = there & (opacity <= limit)
        total += shot * chosen[:, :, None]
        taken += chosen
    taken = np.maximum(taken, 1)[:, :, None]
    found = np.asarray((total + taken // 2) // taken, np.uint16)
    found[count < least] = UNSEEN
    return found


def spread(stack: U16, found: U16, white: F32, where: Mask) -> Tally:
    """How far the lower quarter of the shots lies above what was found, in opacity; as a tally.

    Near zero where a quarter of the shots are clean. Large where hardly a shot is, or where the
    shots show different things: then the darkest of them is no clean colour.

    Parameters
    ----------
    where
        (h, w) bool: the pixels that count.
    """
    quarter = low_quantile(stack, least=1, share=0.25)
    known = (found != UNSEEN).any(2)
    span, norm = _span(found, white)
    steps = _opacity(quarter, found, span, norm)
    counted = where & known & (norm >= 0.09 * np.float32(np.square(white).sum()))
    return {
        "pixels": np.array(int(where.sum()), np.int64),
        "unseen": np.array(int((where & ~known).sum()), np.int64),
        "counted": np.array(int(counted.sum()), np.int64),
        "spread": np.array(int(np.abs(steps[counted].astype(np.int64)).sum()), np.int64),
    }


def _span(base: U16, white: F32) -> tuple[F32, F32]:
    """(W - B) by channel, and its squared length."""
    span = white - base.astype(np.float32) / np.float32(FULL_SCALE)
    norm = span[:, :, 0] * span[:, :, 0]
    for channel in range(1, span.shape[2]):
        norm = norm + span[:, :, channel] * span[:, :, channel]
    return span, norm


def _opacity(shot: Array, base: U16, span: F32, norm: F32) -> NDArray[np.int16]:
    """Opacity of a shot over the base, in steps of 1 / `SPREAD_ONE`, within +-2."""
    above = np.zeros(norm.shape, np.float32)
    for channel in range(span.shape[2]):
        difference = shot[:, :, channel].astype(np.float32) - base[:, :, channel].astype(np.float32)
        above += difference * span[:, :, channel]
    above /= np.maximum(norm, np.float32(1e-3)) * np.float32(FULL_SCALE)
    return np.asarray(np.rint(np.clip(above, -2, 2) * np.float32(SPREAD_ONE)), np.int16)
