"""A step makes a plane: one function and one decorator.

Positional parameters are planes, keyword-only parameters are YAML keys; the
hints are the schema and the units, the docstring is the reference page.

    @step(version=1, halo=gaussian_radius)
    def gaussian(plane: Plane, *, where: Mask, sigma: Pixels = 1.0) -> Plane:
        '''Smooth inside a mask ...'''

Four keyword names are given by the engine and never stand in YAML: ``where``
(the pixels that count), ``at`` (the Box of the arrays in the frame), ``frame``
(height, width) and ``fitted`` (what the step's fit decided).

Arrays are planar: scalar planes and masks (h, w), colours (c, h, w).

A step that is given ``AnyPlane`` may find code values there, a quarter of the
bytes; every other sees floats.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)

from residue_batch import kernels
from residue_batch.tally import Tally
from residue_batch.units import Unit, json_schema, resolve

Array = np.ndarray


class Kind(StrEnum):
    """What a plane holds."""

    SCALAR = "scalar"
    COLOUR = "colour"
    RAW = "raw"
    MASK = "mask"
    WHITE = "white"
    LIGHT = "light"


CODES = "codes"
"""Marks a plane that may hold code values."""

Plane = Annotated[Array, Kind.SCALAR]
"""float32 (h, w)."""
AnyPlane = Annotated[Array, Kind.SCALAR, CODES]
"""The same, or uint8 (h, w): code values, which stand for ``floats`` of them; either must give the same bits."""
Mask = Annotated[Array, Kind.MASK]
"""bool (h, w)."""
Colour = Annotated[Array, Kind.COLOUR]
"""float32 (c, h, w), linear light, 1 = full scale; c is 1 or 3."""
Raw = Annotated[Array, Kind.RAW]
"""uint8 or uint16 (c, h, w), code values as taken."""
AnyColour = Annotated[Array, Kind.COLOUR, Kind.RAW]
"""Either of the two; see ``full_scale``."""
White = Annotated[Array, Kind.WHITE]
"""float32 (c,): the colour of white residue in the frame's light."""

GIVEN = ("where", "at", "frame", "fitted")


def full_scale(array: Array) -> int:
    """The code value of full scale of a raw plane; 1 for float planes."""
    return (1 << 8 * array.itemsize) - 1 if array.dtype.kind == "u" else 1


def floats(plane: Array) -> Array:
    """A scalar plane as float32: code values are divided by full scale. Other planes as they are."""
    return kernels.shares(plane) if plane.ndim == 2 and plane.dtype == np.uint8 else plane


class ParameterError(ValueError):
    """Parameters that do not fit; ``problems`` holds (key, message) pairs."""

    def __init__(self, problems: tuple[tuple[str, str], ...]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{key}: {message}" for key, message in problems))


@dataclass(frozen=True)
class Input:
    """A positional parameter: a plane of one of these kinds, which may hold code values."""

    name: str
    kinds: tuple[Kind, ...]
    codes: bool = False


@dataclass(frozen=True)
class Signature:
    """What a step or measure takes, read from its function once."""

    name: str
    inputs: tuple[Input, ...]
    variadic: bool
    given: frozenset[str]
    model: type[BaseModel]
    output: Kind | None
    doc: str
    check: Callable[..., None] | None = None
    codes: bool = False
    """Whether what is made may hold code values."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The YAML keys."""
        return tuple(self.model.model_fields)

    def validate(self, params: Mapping[str, Any], pixel_size_um: float | None) -> tuple[tuple[str, Any], ...]:
        """Parameters resolved to pixels and completed with defaults, as a hashable value.

        Raises
        ------
        ParameterError
            With every parameter that is unknown, missing or does not fit.
        """
        try:
            bound = self.model.model_validate(_frozen(dict(params)), context={"pixel_size_um": pixel_size_um})
        except ValidationError as error:
            raise ParameterError(tuple(_problem(e, self) for e in error.errors())) from None
        values = tuple((key, getattr(bound, key)) for key in self.keys)
        if self.check is not None:
            call_with(self.check, **dict(values))
        return values


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    return {k: _frozen(v) for k, v in value.items()} if isinstance(value, dict) else value


def _problem(error: Any, signature: Signature) -> tuple[str, str]:
    key = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        from difflib import get_close_matches

        near = get_close_matches(key, signature.keys, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(signature.keys) or 'no parameters'}"
        return key, f"{signature.name!r} has no parameter {key!r}; {hint}"
    if error["type"] == "missing":
        return "", f"{signature.name!r} needs the parameter {key!r}"
    return key, re.sub(r"^Value error, ", "", error["msg"])


def _unit_field(unit: Unit) -> Any:
    def convert(value: Any, info: ValidationInfo) -> float:
        return resolve(value, unit, (info.context or {}).get("pixel_size_um"))

    return Annotated[float, BeforeValidator(convert), WithJsonSchema(json_schema(unit))]


def _field_type(hint: Any) -> Any:
    marks = getattr(hint, "__metadata__", ())
    unit = next((m for m in marks if isinstance(m, Unit)), None)
    if unit is None:
        return hint
    field = _unit_field(unit)
    for mark in marks:
        # bounds such as Field(gt=0) stay, and judge the resolved value
        field = field if mark is unit else Annotated[field, mark]
    return field


def read_signature(
    function: Callable[..., Any], what: str, name: str | None = None, check: Callable[..., None] | None = None
) -> Signature:
    """Read inputs, parameters and output of a step or measure from its function.

    ``name`` is its name in YAML if that is not the function's (``and``);
    ``check(**parameters)`` raises ``ParameterError`` where parameters do not
    fit together.

    Raises
    ------
    TypeError
        If the function does not follow the form: undocumented, unhinted, no plane.
    """
    name = name or function.__name__
    doc = inspect.getdoc(function) or ""
    if not doc:
        raise TypeError(f"{what} {name!r} has no docstring: it is its reference page")
    hints = typing.get_type_hints(function, include_extras=True)
    inputs: list[Input] = []
    fields: dict[str, Any] = {}
    given: set[str] = set()
    variadic = False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name not in hints:
            raise TypeError(f"{what} {name!r}: parameter {parameter.name!r} has no hint")
        hint = hints[parameter.name]
        if parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.name in GIVEN:
                given.add(parameter.name)
            else:
                required = parameter.default is parameter.empty
                fields[parameter.name] = (_field_type(hint), ... if required else parameter.default)
            continue
        kinds = tuple(m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Kind))
        if not kinds:
            raise TypeError(f"{what} {name!r}: positional parameter {parameter.name!r} is not hinted as a plane")
        variadic |= parameter.kind is parameter.VAR_POSITIONAL
        inputs.append(Input(parameter.name, kinds, CODES in hint.__metadata__))
    if not inputs:
        raise TypeError(f"{what} {name!r} reads no plane")
    marks = getattr(hints.get("return"), "__metadata__", ())
    output = next((m for m in marks if isinstance(m, Kind)), None)
    config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    model = create_model(name, __config__=config, **fields)
    return Signature(name, tuple(inputs), variadic, frozenset(given), model, output, doc, check, CODES in marks)


@dataclass(frozen=True)
class Fit:
    """The global state of a step, fitted on all tiles before the step runs.

    ``chunk(*planes, where=, at=, frame=, **parameters)`` makes a tile's tally;
    ``decide(tally, frame=, **parameters)`` makes a small frozen value of the
    merged tally. Both take only the keywords they name.
    """

    name: str
    chunk: Callable[..., Tally]
    decide: Callable[..., Any]


@dataclass(frozen=True)
class Step:
    """A registered step."""

    signature: Signature
    version: int
    function: Callable[..., Array]
    halo: int | Callable[..., int]
    fit: Fit | None
    examples: tuple[Mapping[str, Any], ...] = ({},)
    fuses: Mapping[str, Callable[..., Array]] = field(default_factory=dict)

    @property
    def reads_where(self) -> bool:
        """Whether the step, or its fit, looks at ``where``."""
        named = inspect.signature(self.fit.chunk).parameters if self.fit else ()
        return "where" in self.signature.given or "where" in named


STEPS: dict[str, Step] = {}


def origin(function: Callable[..., Any]) -> tuple[str, str]:
    """Where a function was written: two of one origin are the same, read twice."""
    return function.__module__, function.__qualname__


def step(
    *,
    version: int,
    halo: int | Callable[..., int] = 0,
    fit: Fit | None = None,
    name: str | None = None,
    check: Callable[..., None] | None = None,
    examples: tuple[Mapping[str, Any], ...] = ({},),
    fuses: Mapping[str, Callable[..., Array]] = MappingProxyType({}),
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Register a function as a step.

    Parameters
    ----------
    version
        Raised when the numbers change; part of every board's key.
    halo
        Pixels the step reads beyond its output: a number, or a function of
        the step's parameters (the very one the kernel uses).
    fit
        What is fitted on all tiles first, for a step that is not local.
    name
        The name in YAML, where it cannot be the function's (``and``).
    check
        Takes the parameters it names and raises ``ParameterError`` where they
        do not fit together.
    examples
        Sets of parameters as they stand in YAML: the contract suite tries each.
    fuses
        By the name of a point-wise step that reads the plane last of its inputs, a function which makes that
        step's plane at once, bit by bit the same. It takes the other inputs of that step (which has no parameters),
        then what this one takes.
    """

    def register(function: Callable[..., Array]) -> Callable[..., Array]:
        signature = read_signature(function, "step", name, check)
        if signature.output is None:
            raise TypeError(f"step {signature.name!r} does not say which kind of plane it returns")
        known = STEPS.get(signature.name)
        # a module that is read again may register its steps again
        if known is not None and origin(known.function) != origin(function):
            raise TypeError(f"two steps are named {signature.name!r}")
        STEPS[signature.name] = Step(signature, version, function, halo, fit, examples, fuses)
        return function

    return register


def call_with(function: Callable[..., Any], *planes: Any, **keywords: Any) -> Any:
    """Call ``function`` with those keywords that it names."""
    accepted = _names(function)
    return function(*planes, **{k: v for k, v in keywords.items() if k in accepted})


@lru_cache(maxsize=256)
def _names(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


@dataclass(frozen=True)
class Bound:
    """A step or fit with its parameters: a value that pickles as name, version, parameters."""

    name: str
    version: int
    parameters: tuple[tuple[str, Any], ...]
    into: str = ""
    """The step that is done at once, where the two are fused."""

    def __reduce__(self) -> tuple[object, ...]:
        # without what is cached: equal values give equal bytes
        return Bound, (self.name, self.version, self.parameters, self.into)

    @property
    def definition(self) -> Step:
        found = STEPS.get(self.name)
        if found is None or found.version != self.version:
            raise TypeError(f"step {self.name!r} version {self.version} is not installed here")
        return found

    @cached_property
    def takes_codes(self) -> tuple[bool, ...]:
        """By plane that is read, whether it may hold code values."""
        before = STEPS[self.into].signature.inputs[:-1] if self.into else ()
        return tuple(i.codes for i in (*before, *self.definition.signature.inputs))

    @cached_property
    def halo(self) -> int:
        """Pixels read beyond the output."""
        halo = self.definition.halo
        return halo if isinstance(halo, int) else int(call_with(halo, **dict(self.parameters)))

    def __call__(self, *planes: Any, **given: Any) -> Array:
        definition = self.definition
        wanted = {k: given[k] for k in definition.signature.given}
        function = definition.fuses[self.into] if self.into else definition.function
        return function(*planes, **wanted, **dict(self.parameters))

    def fit_chunk(self, *planes: Any, **given: Any) -> Tally:
        """The part of one tile in the fit."""
        fit = self.definition.fit
        assert fit is not None
        return call_with(fit.chunk, *planes, **given, **dict(self.parameters))  # type: ignore[no-any-return]

    def decide(self, tally: Tally, frame: tuple[int, int]) -> Any:
        """The fitted value of the merged tally."""
        fit = self.definition.fit
        assert fit is not None
        return call_with(fit.decide, tally, frame=frame, **dict(self.parameters))
