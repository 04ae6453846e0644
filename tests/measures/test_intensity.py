"""The distribution of a plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import residue_batch.measures  # noqa: F401  registers them
from residue_batch.measure import MEASURES, BoundMeasure
from residue_batch.measures.intensity import LEVELS
from residue_batch.step import ParameterError

RNG = np.random.default_rng(9)
SHAPE = (210, 330)
PLANE = RNG.beta(2, 5, SHAPE).astype(np.float32)
WHERE = RNG.random(SHAPE) < 0.5
SIGNATURE = MEASURES["intensity"].signature


def measured(plane: np.ndarray, where: np.ndarray = WHERE, **parameters: float) -> dict[str, Any]:
    bound = BoundMeasure("intensity", 1, SIGNATURE.validate(parameters, None))
    return dict(bound.finalize(bound(plane, where=where)))


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-128.0, 128.0)])
def test_the_numbers_are_those_of_numpy_to_half_a_bin(low: float, high: float) -> None:
    plane = (PLANE * np.float32(high - low) + np.float32(low)).astype(np.float32)
    values = plane[WHERE].astype(np.float64)
    found = measured(plane, low=low, high=high)
    half_bin = (high - low) / LEVELS / 2 * 1.01
    assert found["mean"] == pytest.approx(values.mean(), abs=(high - low) * 1e-6)
    assert found["sd"] == pytest.approx(values.std(), abs=(high - low) * 1e-6)
    assert found["min"] == pytest.approx(values.min(), abs=half_bin)
    assert found["max"] == pytest.approx(values.max(), abs=half_bin)
    for name, percent in (("p05", 5), ("p50", 50), ("p95", 95)):
        expected = np.percentile(values, percent, method="inverted_cdf")
        assert found[name] == pytest.approx(expected, abs=half_bin)
    assert found["outside_pct"] == 0


def test_values_outside_the_range_are_counted() -> None:
    plane = np.array([[-0.5, 0.5, 0.5, 1.5, 2.0]], np.float32)
    found = measured(plane, np.ones(plane.shape, bool))
    assert found["outside_pct"] == pytest.approx(60)
    assert found["mean"] == pytest.approx((0 + 0.5 + 0.5 + 1 + 1) / 5, abs=1e-5)


def test_one_pixel_has_no_spread() -> None:
    found = measured(np.full((1, 1), 0.3, np.float32), np.ones((1, 1), bool))
    assert found["sd"] == 0
    assert found["min"] == found["max"] == found["p50"]
    assert found["mean"] == pytest.approx(0.3, abs=1e-5)


def test_no_pixel_is_no_number() -> None:
    assert np.isnan(list(measured(PLANE, np.zeros(SHAPE, bool)).values())).all()


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ParameterError, match="is empty"):
        SIGNATURE.validate({"low": 1.0, "high": 1.0}, None)
