"""A function and a decorator are a step."""

from __future__ import annotations

import pickle
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import Field

import residue_batch.steps  # noqa: F401  registers them
from residue_batch.measure import Output, measure
from residue_batch.step import STEPS, Bound, Kind, Mask, ParameterError, Plane, step
from residue_batch.tally import Tally, count
from residue_batch.units import PixelArea, Pixels

pytestmark = pytest.mark.usefixtures("registry")


def widened(
    plane: Plane,
    *,
    where: Mask,
    radius: Annotated[Pixels, Field(gt=0, le=50)] = 2.0,
    least: PixelArea = 16.0,
    way: Literal["up", "down"] = "up",
    levels: tuple[float, ...] = (0.1,),
) -> Plane:
    """Only for this test."""
    return plane


def reading(**params: object) -> dict[str, object]:
    step(version=1)(widened)
    return dict(STEPS["widened"].signature.validate(params, 20.0))


def test_a_signature_is_read_from_the_function() -> None:
    step(version=3, halo=4, examples=({"way": "down"},))(widened)
    made = STEPS["widened"]
    assert [i.name for i in made.signature.inputs] == ["plane"]
    assert made.signature.inputs[0].kinds == (Kind.SCALAR,)
    assert made.signature.keys == ("radius", "least", "way", "levels")
    assert made.signature.given == {"where"}
    assert made.signature.output is Kind.SCALAR
    assert made.signature.doc == "Only for this test."
    assert (made.version, made.examples) == (3, ({"way": "down"},))


def test_parameters_are_resolved_to_pixels_and_completed() -> None:
    assert reading() == {"radius": 2.0, "least": 16.0, "way": "up", "levels": (0.1,)}
    found = reading(radius="0.2 mm", least="0.04 mm2", levels=[1, 0.5])
    assert found == {"radius": 10.0, "least": 100.0, "way": "up", "levels": (1.0, 0.5)}


@pytest.mark.parametrize(
    ("params", "key", "message"),
    [
        ({"radius": 5}, "radius", "no unit"),
        ({"radius": "2 mm"}, "radius", "less than or equal to 50"),
        ({"radius": "0 px"}, "radius", "greater than 0"),
        ({"radius": "5 px2"}, "radius", "length is needed"),
        ({"way": "left"}, "way", "'up' or 'down'"),
        ({"levels": ["a"]}, "levels", "number"),
        ({"levels": [float("inf")]}, "levels", "finite"),
        ({"radios": "1 px"}, "radios", "did you mean 'radius'"),
        ({"colour": 1}, "colour", "it takes radius, least, way, levels"),
        ({"where": "x"}, "where", "no parameter"),
    ],
)
def test_a_parameter_that_does_not_fit_says_why(params: dict[str, object], key: str, message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        reading(**params)
    assert [k for k, _ in caught.value.problems] == [key]
    assert message in caught.value.problems[0][1]


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(ParameterError) as caught:
        reading(radius=5, way="left", other=1)
    assert {key for key, _ in caught.value.problems} == {"radius", "way", "other"}


def test_a_required_parameter_is_missed_by_name() -> None:
    with pytest.raises(ParameterError, match="needs the parameter 'level'"):
        STEPS["threshold"].signature.validate({}, None)


def test_the_schema_of_a_length_is_text_with_a_unit() -> None:
    step(version=1)(widened)
    properties = STEPS["widened"].signature.model.model_json_schema()["properties"]
    assert properties["radius"]["type"] == "string"
    assert properties["radius"]["default"] == 2.0
    assert properties["way"]["enum"] == ["up", "down"]


def test_a_name_may_be_a_word_that_python_keeps() -> None:
    assert {"and", "or", "not", "open"} <= STEPS.keys()
    assert STEPS["and"].signature.variadic


def test_parameters_can_be_checked_together() -> None:
    def apart(low: float, high: float) -> None:
        if low >= high:
            raise ParameterError((("high", "must be above low"),))

    @step(version=1, check=apart)
    def between(plane: Plane, *, low: float = 0.0, high: float = 1.0, other: float = 0.0) -> Mask:
        """Only for this test."""
        return plane > low

    assert STEPS["between"].signature.validate({"low": 0.5}, None) == (("low", 0.5), ("high", 1.0), ("other", 0.0))
    with pytest.raises(ParameterError, match="high: must be above low"):
        STEPS["between"].signature.validate({"low": 2.0}, None)


def test_what_does_not_follow_the_form_is_refused() -> None:
    def undocumented(plane: Plane) -> Plane:
        return plane

    def unhinted(plane) -> Plane:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """A."""
        return plane

    def no_plane(*, level: float) -> Plane:
        """A."""
        return np.zeros((1, 1), np.float32)

    def not_a_plane(level: float) -> Plane:
        """A."""
        return np.zeros((1, 1), np.float32)

    def no_output(plane: Plane) -> np.ndarray:
        """A."""
        return plane

    for function, message in (
        (undocumented, "no docstring"),
        (unhinted, "no hint"),
        (no_plane, "reads no plane"),
        (not_a_plane, "not hinted as a plane"),
        (no_output, "which kind of plane"),
    ):
        with pytest.raises(TypeError, match=message):
            step(version=1)(function)


def test_two_steps_of_one_name_are_refused() -> None:
    def median(plane: Plane) -> Plane:
        """A."""
        return plane

    step(version=1)(median)
    step(version=1)(median)  # the same one again: a module that is read twice
    with pytest.raises(TypeError, match="two steps are named 'median'"):
        step(version=1, name="median")(widened)


def test_a_bound_step_is_a_value_that_pickles_as_name_version_parameters() -> None:
    one, other = (Bound("dilate", 1, (("radius", 3.7), ("shape", "disc"))) for _ in range(2))
    assert one.halo == 3
    assert (one, hash(one)) == (other, hash(other))
    assert pickle.dumps(one) == pickle.dumps(other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert b"numpy" not in pickle.dumps(one)


def test_a_step_of_another_version_is_not_run() -> None:
    with pytest.raises(TypeError, match="version 99 is not installed"):
        _ = Bound("dilate", 99, ()).definition


def test_a_measure_has_to_take_where() -> None:
    def blind(plane: Plane) -> Tally:
        """A."""
        return {"n": count(plane.size)}

    with pytest.raises(TypeError, match="count hidden pixels"):
        measure(version=1, outputs=(Output("", "1", "n"),), finalize=dict)(blind)
