"""Lengths, areas and shares with their unit: ``5 px``, ``0.2 mm``, ``16 px2``, ``15 %``.

A step says what a parameter is by its hint and gets a plain float in pixels::

    def gaussian(plane: Plane, *, sigma: Pixels = 1.0) -> Plane: ...

In YAML every length and area carries its unit, because ``5`` means another
thing on another camera.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

Kind = Literal["length", "area", "fraction"]

# factor to um or um2; None: pixels, which need no scale
UNITS: dict[Kind, dict[str, float | None]] = {
    "length": {"px": None, "mm": 1e3, "um": 1.0},
    "area": {"px2": None, "mm2": 1e6, "um2": 1.0},
    "fraction": {"%": None},
}
_ARTICLE = {"length": "a length", "area": "an area", "fraction": "a share"}
_EXAMPLE = {"length": "px", "area": "px2", "fraction": "%"}
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"\s*({_NUMBER})\s*([^\s\d.+-][^\s]*)?\s*", re.ASCII)
_SAME = {"µm": "um", "μm": "um", "µm2": "um2", "μm2": "um2", "px²": "px2", "mm²": "mm2", "um²": "um2", "µm²": "um2"}


@dataclass(frozen=True)
class Unit:
    """What kind of quantity a number is; the marker inside ``Pixels`` and its siblings."""

    kind: Kind


Pixels = Annotated[float, Unit("length")]
"""A length, resolved to frame pixels."""

PixelArea = Annotated[float, Unit("area")]
"""An area, resolved to square frame pixels."""

Fraction = Annotated[float, Unit("fraction")]
"""A share, resolved to 0..1; ``15 %`` or ``0.15``."""


class Quantity(NamedTuple):
    """A number and its unit, as written."""

    value: float
    unit: str

    def __str__(self) -> str:
        return f"{number_text(self.value)} {self.unit}"


def number_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    text = repr(float(value))
    return text.removesuffix(".0")


def marker_of(hint: Any) -> Unit | None:
    """The ``Unit`` inside a type hint (``Pixels``, ``Pixels | None``), or None."""
    if isinstance(hint, Unit):
        return hint
    if get_origin(hint) is Annotated:
        return next((m for m in hint.__metadata__ if isinstance(m, Unit)), None)
    return next((found for part in get_args(hint) if (found := marker_of(part))), None)


def parse(value: object, marker: Any) -> Quantity:
    """Read ``5 px`` as a ``Quantity`` of the marker's kind; a ``ValueError`` says what to write.

    A fraction may also be a bare number from 0 to 1: a share has no unit of its own.
    """
    unit = _kind(marker)
    kind = unit.kind
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        # a ValueError like the rest: pydantic makes a problem of it
        raise ValueError(f"{_ARTICLE[kind]} is needed here, such as '{_example(kind)}'")  # noqa: TRY004
    if not isinstance(value, str):
        if kind == "fraction" and 0 <= value <= 1:
            return Quantity(float(value) * 100, "%")
        raise ValueError(f"{value} has no unit: write {value} {_EXAMPLE[kind]}")
    found = _QUANTITY.fullmatch(value)
    if not found:
        raise ValueError(f"'{value}' is not {_ARTICLE[kind]}: write it like {_example(kind)}")
    size, name = float(found[1]), _SAME.get(found[2] or "", found[2] or "")
    if not name:
        raise ValueError(f"{found[1]} has no unit: write {found[1]} {_EXAMPLE[kind]}")
    if name not in UNITS[kind]:
        known = ", ".join(UNITS[kind])
        other = next((k for k, names in UNITS.items() if name in names), None)
        what = f"is {_ARTICLE[other]}, and {_ARTICLE[kind]} is needed" if other else f"has an unknown unit '{name}'"
        raise ValueError(f"'{value.strip()}' {what}: use {known}")
    if not math.isfinite(size) or size < 0:
        raise ValueError(f"'{value.strip()}' must be a finite number that is not negative")
    return Quantity(size, name)


def resolve(value: object, marker: Any, pixel_size_um: float | None = None) -> float:
    """The number a step works with: pixels, square pixels or 0..1.

    Raises ``ValueError`` for a bare number, a wrong unit, or millimetres
    without ``pixel_size_um``.
    """
    quantity = parse(value, marker)
    kind = _kind(marker).kind
    if kind == "fraction":
        # a bare 0.07 stays exactly 0.07
        return quantity.value / 100 if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    factor = UNITS[kind][quantity.unit]
    if factor is None:
        return quantity.value
    if pixel_size_um is None:
        raise ValueError(f"{quantity} needs pixel_size_um in the board type")
    return quantity.value * factor / pixel_size_um ** (2 if kind == "area" else 1)


def needs_scale(value: object, marker: Any) -> bool:
    """Whether this quantity can only be resolved with ``pixel_size_um``."""
    quantity = parse(value, marker)
    return UNITS[_kind(marker).kind][quantity.unit] is not None


def json_schema(marker: Any) -> dict[str, Any]:
    """The JSON-schema fragment of a quantity."""
    kind = _kind(marker).kind
    number = r"\s*\+?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
    names = [*UNITS[kind], *(k for k, v in _SAME.items() if v in UNITS[kind])]
    text = {
        "type": "string",
        "pattern": f"^{number}({'|'.join(names)})\\s*$",
        "description": f"{_ARTICLE[kind]} with its unit ({', '.join(UNITS[kind])})",
        "examples": [_example(kind)],
    }
    if kind != "fraction":
        return text
    return {"anyOf": [text, {"type": "number", "minimum": 0, "maximum": 1}], "description": "a share, 15 % or 0.15"}


def _kind(marker: Any) -> Unit:
    found = marker_of(marker)
    if found is None:
        raise TypeError(f"{marker!r} carries no unit")
    return found


def _example(kind: Kind) -> str:
    return {"length": "5 px", "area": "16 px2", "fraction": "15 %"}[kind]
