"""A workflow: which planes are made, what is measured on them, what is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from residue_batch.config.model import Configuration, Frozen, Length, Mistake, Name, Number, Title, as_tuple

_INPUTS = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Inputs = Annotated[tuple[str, ...], BeforeValidator(as_tuple), WithJsonSchema(_INPUTS)]
"""One plane or several: `of: x` is short for `of: [x]`."""


class _Call(Frozen):
    """A function of the registry with its parameters, which are checked against the registry later."""

    model_config = ConfigDict(extra="allow")

    of: Inputs = ()
    """The planes it works on, in order; what is not given is looked up by name."""
    where: str | None = None
    """The pixels it works on."""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters as written: every key without a meaning of its own."""
        return dict(self.model_extra or {})


class PlaneSpec(_Call):
    """How one plane is made."""

    step: str
    """The step that makes it."""
    fit_on: Literal["before", "after"] | None = None
    """The phase on which its step is fitted, for both; default each phase by itself."""


class MeasureSpec(_Call):
    """One family of numbers."""

    measure: str
    """The measure that makes them."""
    by: Literal["region", "whole"] = "region"
    """For each region, or for the whole board only."""


class Limit(Frozen):
    """What a number must keep; it judges, it never hides."""

    min: Number | None = None
    max: Number | None = None


class Workflow(Configuration):
    """What to do with the shots of a board. Steps and measures are looked up when it is compiled."""

    file_kind: ClassVar[str] = "workflow"

    workflow: Title
    """The name of the workflow."""
    blur: Length = "1.5 px"
    """Shot and reference are blurred alike before they are compared."""
    planes: dict[Name, PlaneSpec] = Field(default_factory=dict)
    """The planes, each under its name."""
    exclude: Inputs = ()
    """Planes whose pixels are not observable, in either phase."""
    measures: dict[Name, MeasureSpec] = Field(default_factory=dict)
    """The numbers, each under its name."""
    keep: Inputs = ()
    """Planes that are written to Zarr."""
    codes: dict[Name, tuple[Number, Number]] = Field(default_factory=dict)
    """The values that the codes 0 and 255 of a kept plane stand for; default -0.1 and 1.175."""
    limits: dict[str, Limit] = Field(default_factory=dict)
    """What a board must reach, by variable."""

    @classmethod
    def mistakes(cls, data: Mapping[str, Any]) -> list[Mistake]:
        return [*_limits(data), *_twice(data), *_codes(data)]


def _limits(data: Mapping[str, Any]) -> Iterator[Mistake]:
    limits = data.get("limits")
    for name, limit in limits.items() if isinstance(limits, dict) else ():
        if not isinstance(limit, dict):
            continue
        low, high = limit.get("min"), limit.get("max")
        if low is None and high is None:
            yield Mistake(("limits", name), "a limit has a min, a max or both", "write '{min: 85}'", "key")
        elif isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            yield Mistake(("limits", name, "min"), f"min {low} is above max {high}")


def _codes(data: Mapping[str, Any]) -> Iterator[Mistake]:
    keep, codes = data.get("keep"), data.get("codes")
    kept = [str(name) for name in (keep if isinstance(keep, list) else [keep])]
    stems = {name.removesuffix(".before").removesuffix(".after") for name in kept}
    for name, ends in codes.items() if isinstance(codes, dict) else ():
        if name not in stems:
            yield Mistake(("codes", name), f"'{name}' is not kept", "name it in 'keep' too", "key")
        numbers = [v for v in ends if isinstance(v, int | float)] if isinstance(ends, list) else []
        if len(numbers) == 2 and not numbers[0] < numbers[1]:
            message = f"the range {numbers[0]} .. {numbers[1]} is empty"
            yield Mistake(("codes", name), message, "the smaller value comes first")


def _twice(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for key in ("exclude", "keep"):
        given = data.get(key)
        names: list[Any] = given if isinstance(given, list) else []
        for index, name in enumerate(names):
            if name in names[:index]:
                yield Mistake((key, index), f"'{name}' is named twice in {key}")
