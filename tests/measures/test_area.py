"""The share of pixels above an opacity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.measure import MEASURES, BoundMeasure
from residue_batch.step import ParameterError
from residue_batch.steps.threshold import threshold

RNG = np.random.default_rng(1)
SHAPE = (200, 300)
OPACITY = RNG.normal(0.05, 0.1, SHAPE).astype(np.float32)
WHERE = RNG.random(SHAPE) < 0.5
SIGNATURE = MEASURES["area"].signature


def measured(opacity: np.ndarray, where: np.ndarray = WHERE, **parameters: Any) -> dict[str, Any]:
    bound = BoundMeasure("area", 1, SIGNATURE.validate(parameters, None))
    return dict(bound.finalize(bound(opacity, where=where)))


def test_area_is_the_share_of_the_threshold_with_the_same_level() -> None:
    taus = (0.02, 0.05, 0.1, 0.2, 0.3)
    found = measured(OPACITY)
    assert found[""] == [np.count_nonzero(threshold(OPACITY, level=t) & WHERE) / WHERE.sum() for t in taus]
    assert found["main"] == found[""][1]


def test_a_pixel_exactly_at_tau_is_not_above_it() -> None:
    plane = np.full((1, 4), np.float32(0.05))
    assert measured(plane, np.ones((1, 4), bool))["main"] == 0


def test_the_noise_tells_which_tau_counts_noise() -> None:
    clean = RNG.normal(0, 0.02, SHAPE).astype(np.float32)
    found = measured(clean)
    assert found["noise"] == pytest.approx(0.02, rel=0.03)
    assert found[""][0] == pytest.approx(0.16, abs=0.01)


def test_no_pixel_is_no_number() -> None:
    found = measured(OPACITY, np.zeros(SHAPE, bool))
    assert np.isnan([*found[""], found["main"], found["noise"]]).all()


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau": [0.1, 0.2]}, "main: 0.05 is not one of tau"),
        ({"tau": [0.1, 0.05]}, "tau: the levels must rise"),
        ({"tau": [0.05, 0.05]}, "tau: the levels must rise"),
        ({"tau": []}, "tau: "),
        ({"tau": [0.05, float("nan")]}, "tau: "),
        ({"main": "0.05"}, "main: "),
    ],
)
def test_levels_that_do_not_fit_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        SIGNATURE.validate(parameters, None)
