"""What a homography leaves of the windows' shifts: a smooth bend, where there is one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from residue_batch.bend import POWERS, terms_of

F64 = NDArray[np.float64]

MIN_WINDOWS = 16
_NOTICED = 0.08  # px: a smaller misfit of the windows is no reason to bend
_FORETOLD = 0.9  # of the misfit: what a bend made of the other windows may leave of it to be worth a try
_PAYS = 0.6  # of the misfit: what the bend itself may leave of it; chance leaves 0.8
_DAMPING = 0.01  # of each coefficient against one window
_PIXELS = 0.03  # least scale of the misfit
_BOW = 2  # degree


def _shapes() -> F64:
    """(13, 2, 10): each displacement that is tried, as coefficients of ``POWERS`` for x and for y.

    Everything up to the second degree, for boards that bow; and x r^2, y r^2 together, for a lens.
    """
    plain = [(k, axis) for axis in range(2) for k, (i, j) in enumerate(POWERS) if i + j <= _BOW]
    shapes = np.zeros((len(plain) + 1, 2, len(POWERS)))
    for number, (k, axis) in enumerate(plain):
        shapes[number, axis, k] = 1.0
    for axis, powers in enumerate((((3, 0), (1, 2)), ((2, 1), (0, 3)))):
        for power in powers:
            shapes[-1, axis, POWERS.index(power)] = 1.0
    return shapes


_SHAPES = _shapes()


def bend_of(places: F64, shifts: F64, information: F64) -> tuple[F64, float, float]:
    """The bend that undoes the shifts of windows.

    Parameters
    ----------
    places
        (n, 2) [x, y] of the windows, in units.
    shifts
        (n, 2) px.
    information
        (n, 2, 2) of the shifts.

    Returns
    -------
    coefficients
        (2, 10): of ``bend.POWERS``, px; least squares with Tukey weights.
    left, predicted
        Misfit of a window, px, root mean square per axis: without a bend, and with a bend made of all other windows.
    """
    terms = np.stack(terms_of(*places.T), 1)
    design = np.einsum("nj,kaj->nak", terms, _SHAPES)
    size = len(_SHAPES)
    trace = np.einsum("nii->n", information)
    # no window rules: information is capped at the median
    weights = np.minimum(trace / max(float(np.median(trace)), 1e-12), 1.0)
    robust, solved, own, rest = (trace > 0).astype(np.float64), np.zeros(size), trace, trace
    for _ in range(8):
        total = weights * robust
        inverse = np.linalg.inv(np.einsum("n,nak,nal->kl", total, design, design) + _DAMPING * np.eye(size))
        solved = np.einsum("kl,n,nal,na->k", inverse, total, design, -shifts)
        rest = np.sqrt(np.square(-shifts - np.einsum("nak,k->na", design, solved)).sum(1) / 2)
        scale = max(float(np.median(rest[trace > 0])), _PIXELS)
        robust = np.where(trace > 0, np.square(np.clip(1.0 - np.square(rest / (5.0 * scale)), 0.0, None)), 0.0)
        own = np.einsum("nak,kl,nal,n->n", design, inverse, design, total) / 2
    # leaving a window out (Allen's PRESS) enlarges its misfit by what it had said for itself
    alone = np.where(own < 1, rest / np.maximum(1 - own, 1e-9), np.inf)
    plain = np.sqrt(np.square(shifts).sum(1) / 2)
    left, predicted = (float(np.sqrt(np.average(np.square(v), weights=robust))) for v in (plain, alone))
    return np.einsum("k,kaj->aj", solved, _SHAPES), left, predicted


def promises(left: float, predicted: float) -> bool:
    """Whether a bend is worth a try: the misfit matters, and windows foretell each other's."""
    return left > _NOTICED and predicted < _FORETOLD * left


def pays(left: float, bent: float) -> bool:
    """Whether a bend is kept, by the misfit before and after."""
    return bent < _PAYS * left
