"""Every registered step and measure keeps the contract, and the suite notices one that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

import residue_batch.measures
import residue_batch.steps  # noqa: F401  registers them
from residue_batch import testing
from residue_batch.geometry import Box
from residue_batch.measure import MEASURES, Output, measure
from residue_batch.step import STEPS, AnyPlane, Fit, Mask, Plane, Raw, step
from residue_batch.tally import Tally, count
from residue_batch.testing import check_measure, check_step


@pytest.mark.parametrize("name", sorted(STEPS))
def test_step_keeps_the_contract(name: str) -> None:
    check_step(name)


@pytest.mark.parametrize("name", sorted(STEPS))
def test_step_keeps_the_contract_on_a_frame_of_many_strips(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(testing, "FRAME", (203, 1201))
    monkeypatch.setattr(testing, "TILE_SIZES", (117, 701))
    check_step(name)


@pytest.mark.parametrize("name", sorted(MEASURES))
def test_measure_keeps_the_contract(name: str) -> None:
    check_measure(name)


# steps that break one law each


def too_far(plane: Plane) -> Plane:
    """Reads five pixels where its halo is four: see plane."""
    return cv2.blur(np.nan_to_num(plane), (11, 11)).astype(np.float32)


def too_modest(mask: Mask) -> Mask:
    """Reads nothing around a pixel of the mask."""
    return ~mask


def wrong_type(plane: Plane) -> Plane:
    """Doubles the plane, in float64."""
    return plane.astype(np.float64) * 2


def mean_of_tile(plane: Plane) -> Plane:
    """Subtracts from the plane the mean of what it happens to see."""
    return plane - plane.mean(dtype=np.float64).astype(np.float32)


def leaks(plane: Plane, *, where: Mask) -> Plane:
    """Reads the plane also where it does not count."""
    return np.roll(plane, 1, axis=0) * where


def silent(plane: Plane, *, level: float = 0.5) -> Mask:
    """Does not say what its parameter is; plane."""
    return plane > level


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("function", "halo", "message"),
    [
        (too_far, 4, "differ from the whole frame"),
        (too_modest, 1, "more than it needs"),
        (wrong_type, 0, "returns float64"),
        (mean_of_tile, 0, "differ from the whole frame"),
        (leaks, 1, "outside 'where' count|differ"),
        (silent, 0, "'level' is not documented"),
    ],
)
def test_a_step_that_breaks_a_law_is_found(function: Callable[..., Any], halo: int, message: str) -> None:
    step(version=1, halo=halo)(function)
    with pytest.raises(AssertionError, match=message):
        check_step(function.__name__)


@pytest.mark.usefixtures("registry")
def test_a_step_cannot_write_into_its_input() -> None:
    @step(version=1)
    def in_place(plane: Plane) -> Plane:
        """Doubles the plane where it stands."""
        plane *= 2
        return plane

    with pytest.raises(ValueError, match="read-only"):
        check_step("in_place")


@pytest.mark.usefixtures("registry")
def test_a_fit_that_depends_on_tiles_is_found() -> None:
    def chunk(plane: np.ndarray, *, where: np.ndarray) -> Tally:
        return {"n": count(1), "sum": count(int(plane[where].sum(dtype=np.float64)))}

    def decide(tally: Tally) -> float:
        return int(tally["sum"]) / int(tally["n"])

    @step(version=1, fit=Fit("tile_mean", chunk, decide))
    def centred(plane: Plane, *, fitted: float) -> Plane:
        """The plane minus a number."""
        return plane - np.float32(fitted)

    with pytest.raises(AssertionError, match="the fit depends on tiles"):
        check_step("centred")


@pytest.mark.usefixtures("registry")
def test_a_step_that_is_fused_into_something_else_is_found() -> None:
    @step(version=1, fuses={"difference": lambda a, plane: plane - a})
    def half(plane: Plane) -> Plane:
        """Half the plane."""
        return plane * np.float32(0.5)

    with pytest.raises(AssertionError, match="fused into 'difference' it differs"):
        check_step("half")


@pytest.mark.usefixtures("registry")
def test_a_step_that_makes_something_else_of_codes_is_found() -> None:
    @step(version=1)
    def doubled(plane: AnyPlane) -> Plane:
        """Twice the plane."""
        return (plane * np.float32(2)).astype(np.float32)

    with pytest.raises(AssertionError, match="something else of code values than of floats"):
        check_step("doubled")


@pytest.mark.usefixtures("registry")
def test_a_step_that_gives_codes_must_say_so() -> None:
    @step(version=1)
    def least(raw: Raw) -> Plane:
        """The darkest channel of raw."""
        return raw.min(axis=0)

    with pytest.raises(AssertionError, match="returns uint8, not float32"):
        check_step("least")


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("chunk", "finalize", "message"),
    [
        (lambda p, w: {"n": count(p.size)}, lambda t: {"": int(t["n"])}, None),
        (lambda p, w: {"n": count(1)}, lambda t: {"": int(t["n"])}, "depend on tiles"),
        (lambda p, w: {"n": np.array(0.5)}, lambda t: {"": 1.0}, "only integers"),
        (lambda p, w: {"n": count(1)}, lambda t: {"other": 1.0}, "declares the outputs"),
        (lambda p, w: {"n": count(1)}, lambda t: {"": [1.0, 2.0]}, "not one number"),
        (
            lambda p, w: {"n": count(int(np.count_nonzero(np.nan_to_num(p) > 0.5)))},
            lambda t: {"": int(t["n"])},
            "outside 'where' count",
        ),
    ],
)
def test_a_measure_that_breaks_a_law_is_found(
    chunk: Callable[..., Tally], finalize: Callable[[Tally], dict[str, Any]], message: str | None
) -> None:
    @measure(version=1, outputs=(Output("", "1", "a number"),), finalize=finalize)
    def odd(plane: Plane, *, where: Mask) -> Tally:
        """A number of the plane."""
        return chunk(plane, where)

    if message is None:
        check_measure("odd")
        return
    with pytest.raises(AssertionError, match=message):
        check_measure("odd")


@pytest.mark.usefixtures("registry")
def test_absolute_coordinates_are_those_of_the_frame() -> None:
    @step(version=1)
    def ramp(plane: Plane, *, at: Box) -> Plane:
        """Adds to the plane its column."""
        return plane + np.arange(at.left, at.right, dtype=np.float32)

    check_step("ramp")
