"""Area: the share of pixels above an opacity."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from residue_batch import kernels
from residue_batch.measure import Output, measure
from residue_batch.measures.load import noise
from residue_batch.step import Mask, ParameterError, Plane
from residue_batch.tally import CEILING, ONE, Tally


def _check(tau: tuple[float, ...], main: float) -> None:
    problems = []
    if list(tau) != sorted(set(tau)):
        problems.append(("tau", "the levels must rise, each once"))
    if main not in tau:
        problems.append(("main", f"{main:g} is not one of tau ({', '.join(f'{t:g}' for t in tau)}): add it there"))
    if problems:
        raise ParameterError(tuple(problems))


def _finalize(tally: Tally, tau: tuple[float, ...], main: float) -> dict[str, Any]:
    pixels = int(tally["pixels"])
    shares = [int(n) / pixels if pixels else math.nan for n in tally["above"]]
    return {"": shares, "main": shares[tau.index(main)], "noise": noise(tally)}


@measure(
    version=1,
    outputs=(
        Output("", "1", "share of pixels with an opacity above tau", dim="tau", reducible=True),
        Output("main", "1", "share of pixels with an opacity above the main tau", reducible=True),
        Output("noise", "1", "noise of opacity, standard deviation"),
    ),
    finalize=_finalize,
    check=_check,
    examples=({}, {"tau": [-0.1, 0.5], "main": 0.5}, {"tau": [0.3], "main": 0.3}),
)
def area(
    opacity: Plane,
    *,
    where: Mask,
    tau: Annotated[tuple[float, ...], Field(min_length=1)] = (0.02, 0.05, 0.1, 0.2, 0.3),
    main: float = 0.05,  # noqa: ARG001  finalize reads it
) -> Tally:
    """Share of the observable pixels with an opacity above tau, for several tau.

        area: {measure: area, of: opacity, tau: [0.02, 0.05, 0.1, 0.2, 0.3], main: 0.05}

    ``area(tau) = n(a > tau) / n``, strictly above and compared in float32, so it
    is the share of ``threshold`` with the same level. Tau is part of the result:
    the same pair of photographs has reductions tens of points apart between 0.02 and 0.3.

    Outputs: one share per tau (reducible); ``main``, the share at the main tau
    (reducible); ``noise``, the standard deviation of opacity on clean surface,
    as in ``load``. A tau below three times the noise counts noise: do not use
    it as the main one (a clean board with a noise of 0.02 has 16 % above 0.02).

    Parameters
    ----------
    opacity
        The plane of ``unmix``, or any plane of shares.
    tau
        The opacities, rising.
    main
        The one that stands for the measure in tables of one row; one of tau.
    """
    mask = where.view(np.uint8)
    sums, missing = kernels.negative_sums(opacity, mask, ONE, CEILING)
    if missing:
        raise FloatingPointError(f"{missing} opacities are no number")
    names = ("pixels", "negative", "negative_squares")
    return {
        "above": kernels.counts_above(opacity, mask, np.array(tau, np.float32)),
        **{name: np.asarray(value) for name, value in zip(names, sums, strict=True)},
    }
