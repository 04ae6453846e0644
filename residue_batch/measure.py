"""A measure makes numbers: a chunk per tile, a merge, and a finalize.

    @measure(version=1, outputs=(Output("", unit="1", reducible=True),), finalize=mean)
    def load(opacity: Plane, *, where: Mask) -> Tally:
        '''Mean opacity over the observable pixels ...'''

The engine calls the function once per tile, phase and region, with ``where``
cut to the region; it adds the tallies and hands the sum to ``finalize``, which
returns one value per output. A variable is named ``<key>`` for the output
named "" and ``<key>_<output>`` otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from residue_batch.step import Signature, call_with, origin, read_signature
from residue_batch.tally import Tally


@dataclass(frozen=True)
class Output:
    """One number (or row of numbers) of a measure.

    Parameters
    ----------
    name
        Suffix of the variable; "" for the main output.
    unit
        UDUNITS-like unit; "1" for a share.
    dim
        Name of the parameter whose values are the output's extra dimension
        (``tau``), or None for a single number.
    reducible
        Whether ``100 (1 - after / before)`` of it is a result.
    long_name
        What a column header says.
    """

    name: str
    unit: str
    long_name: str
    dim: str | None = None
    reducible: bool = False


@dataclass(frozen=True)
class Measure:
    """A registered measure."""

    signature: Signature
    version: int
    function: Callable[..., Tally]
    outputs: tuple[Output, ...]
    finalize: Callable[..., Mapping[str, Any]]
    examples: tuple[Mapping[str, Any], ...] = ({},)


MEASURES: dict[str, Measure] = {}


def measure(
    *,
    version: int,
    outputs: tuple[Output, ...],
    finalize: Callable[..., Mapping[str, Any]],
    name: str | None = None,
    check: Callable[..., None] | None = None,
    examples: tuple[Mapping[str, Any], ...] = ({},),
) -> Callable[[Callable[..., Tally]], Callable[..., Tally]]:
    """Register a function as a measure; see the module's docstring.

    ``finalize(tally, **parameters)`` takes those parameters that it names and
    returns ``{output name: float or list of floats}``; NaN where there is no
    pixel behind the number. ``name``, ``check`` and ``examples`` are those of
    a step.
    """

    def register(function: Callable[..., Tally]) -> Callable[..., Tally]:
        signature = read_signature(function, "measure", name, check)
        if "where" not in signature.given:
            raise TypeError(f"measure {signature.name!r} does not take 'where': it would count hidden pixels")
        known = MEASURES.get(signature.name)
        # a module that is read again may register its measures again
        if known is not None and origin(known.function) != origin(function):
            raise TypeError(f"two measures are named {signature.name!r}")
        MEASURES[signature.name] = Measure(signature, version, function, outputs, finalize, examples)
        return function

    return register


@dataclass(frozen=True)
class BoundMeasure:
    """A measure with its parameters: a value that pickles as name, version, parameters."""

    name: str
    version: int
    parameters: tuple[tuple[str, Any], ...]

    @property
    def definition(self) -> Measure:
        found = MEASURES.get(self.name)
        if found is None or found.version != self.version:
            raise TypeError(f"measure {self.name!r} version {self.version} is not installed here")
        return found

    def __call__(self, *planes: Any, **given: Any) -> Tally:
        definition = self.definition
        wanted = {k: given[k] for k in definition.signature.given}
        return definition.function(*planes, **wanted, **dict(self.parameters))

    def finalize(self, tally: Tally) -> Mapping[str, Any]:
        """The outputs of the merged tally."""
        return call_with(self.definition.finalize, tally, **dict(self.parameters))  # type: ignore[no-any-return]
