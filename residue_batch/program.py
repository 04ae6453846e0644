"""The program: a workflow as passes of nodes over planes; ``compiler`` makes it.

A *node* makes one plane of one phase by one bound step, or is built in. A
*pass* visits every tile: each of its nodes knows how far beyond the tile it
reaches (its margin) and which planes can be forgotten after it.

A program is a value: hashable, picklable, printable, testable without running.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from residue_batch import measures as _measures  # noqa: F401  registers the shipped measures
from residue_batch import steps as _steps  # noqa: F401  registers the shipped steps
from residue_batch.canonical import canonical, digest
from residue_batch.measure import BoundMeasure, Output
from residue_batch.step import Bound, Kind

BEFORE, AFTER = "before", "after"
PHASES = (BEFORE, AFTER)
NO_PHASE = ""


class Key(NamedTuple):
    """A plane of a phase; the phase is "" for planes without one."""

    plane: str
    phase: str = NO_PHASE

    def __str__(self) -> str:
        return f"{self.plane}.{self.phase}" if self.phase else self.plane


@dataclass(frozen=True)
class Builtin:
    """A plane that the engine makes: its kind, its scope and what it reads."""

    kind: Kind
    per_phase: bool
    reads: tuple[str, ...] = ()
    meaning: str = ""


BUILTINS: dict[str, Builtin] = {
    "_light": Builtin(Kind.LIGHT, True, (), "the shot in linear light, resampled into the board frame; raw and image"),
    "raw": Builtin(Kind.RAW, True, ("_light",), "the shot as taken, in code values, in the board frame"),
    "valid": Builtin(Kind.MASK, True, (), "pixels that the photograph shows"),
    "saturated": Builtin(Kind.MASK, True, ("raw",), "pixels with every channel at full scale"),
    "image": Builtin(Kind.COLOUR, True, ("_light",), "the shot in linear light, in the light of the reference"),
    "reference": Builtin(Kind.COLOUR, False, (), "the clean colour of the board"),
    "white": Builtin(Kind.WHITE, False, (), "the colour of white residue"),
    "outline": Builtin(Kind.MASK, False, (), "the board, without the bench around it"),
    "ignored": Builtin(Kind.MASK, False, (), "areas that the board type ignores"),
    "observable": Builtin(
        Kind.MASK,
        False,
        ("outline", "ignored", "valid.before", "valid.after", "reference", "white"),
        "pixels where residue can be seen in both photographs",
    ),
}
"""In ``pair`` mode ``reference`` reads ``image.before`` and ``image.after``. What begins with _ is no name for YAML.
What boards that are compared as taken do not have is ``MATCHED``."""

NAMED = tuple(name for name in BUILTINS if not name.startswith("_"))
"""The built-in planes that a workflow may name."""

AS_TAKEN = "none"
"""The reference of boards that are compared as they were taken: no registration, no light match, no clean colour."""

MATCHED = ("_light", "image", "reference", "white")
"""Built-in planes that need a frame and a light to which shots are matched."""


def builtin_reads(plane: str, reference: str) -> tuple[str, ...]:
    """What a built-in plane reads, by the kind of reference."""
    return tuple(read for read in BUILTINS[plane].reads if reference != AS_TAKEN or read not in MATCHED)


@dataclass(frozen=True)
class Node:
    """One plane of one phase: how it is made and what it reads.

    ``fit`` is the plane whose fit it applies: itself, or its other phase. None without a fit.
    """

    key: Key
    kind: Kind
    step: Bound | None
    inputs: tuple[Key, ...]
    where: Key | None
    halo: int
    fit: Key | None = None

    @property
    def reads(self) -> tuple[Key, ...]:
        return self.inputs + ((self.where,) if self.where else ())

    @property
    def codes(self) -> bool:
        """Whether the plane holds code values of its shot, a byte each if that is of 8 bit."""
        return self.step is not None and self.step.definition.signature.codes and self.inputs[0].plane == "raw"

    @property
    def mask(self) -> Key | None:
        """``where``, if the step itself looks at it and not only its fit."""
        return self.where if self.step and "where" in self.step.definition.signature.given else None

    @property
    def needs(self) -> tuple[Key, ...]:
        """What the step itself reads."""
        return self.inputs + ((self.mask,) if self.mask else ())


@dataclass(frozen=True)
class Pass:
    """One visit to every tile.

    ``nodes`` stand in the order of work; ``margins[i]`` is how far node i
    reaches beyond the tile, ``frees[i]`` what may be forgotten after it.
    ``fits`` are the planes whose fit this pass feeds; none in the last pass.
    """

    nodes: tuple[Node, ...]
    margins: tuple[int, ...]
    frees: tuple[tuple[Key, ...], ...]
    fits: tuple[Key, ...]

    @property
    def halo(self) -> int:
        return max(self.margins, default=0)


@dataclass(frozen=True)
class Measured:
    """One measure of the workflow: per phase, the planes it reads."""

    key: str
    measure: BoundMeasure
    inputs: tuple[tuple[str, tuple[Key, ...], Key], ...]
    """(phase, planes, where) for each phase it runs on."""
    by_region: bool

    @property
    def outputs(self) -> tuple[Output, ...]:
        return self.measure.definition.outputs

    @property
    def phases(self) -> tuple[str, ...]:
        return tuple(phase for phase, _, _ in self.inputs)

    def variable(self, output: Output) -> str:
        """The name of an output in the results."""
        return f"{self.key}_{output.name}" if output.name else self.key


@dataclass(frozen=True)
class Program:
    """A compiled workflow."""

    name: str
    reference: str
    blur: float
    passes: tuple[Pass, ...]
    measures: tuple[Measured, ...]
    exclude: tuple[str, ...]
    keep: tuple[Key, ...]
    codes: tuple[tuple[str, float, float], ...]
    """By plane, the values of the codes 0 and 255 where they are not the usual ones."""
    unused: tuple[str, ...]

    @property
    def nodes(self) -> dict[Key, Node]:
        """Every node that any pass runs."""
        return {node.key: node for p in self.passes for node in p.nodes}

    @property
    def halo(self) -> int:
        return max(p.halo for p in self.passes)

    @property
    def excluded(self) -> tuple[Key, ...]:
        """The planes of ``exclude``, by phase."""
        return self.nodes[Key("observable")].inputs[len(builtin_reads("observable", self.reference)) :]

    @property
    def canonical(self) -> dict[str, Any]:
        """What decides the numbers, in canonical form."""
        return {
            "reference": self.reference,
            "blur": self.blur,
            "nodes": [_canonical_node(node) for _, node in sorted(self.nodes.items())],
            "measures": [
                {
                    "key": m.key,
                    "measure": [m.measure.name, m.measure.version, m.measure.parameters],
                    "inputs": m.inputs,
                    "by_region": m.by_region,
                }
                for m in self.measures
            ],
            "exclude": self.exclude,
            "keep": self.keep,
            **({"codes": self.codes} if self.codes else {}),
        }

    @property
    def fingerprint(self) -> str:
        """sha256 of what decides the numbers."""
        return digest(canonical(self.canonical))

    def __str__(self) -> str:
        lines = [f"program {self.name}, reference {self.reference}, {len(self.passes)} pass(es), halo {self.halo} px"]
        for number, step_pass in enumerate(self.passes, 1):
            does = f"fits {', '.join(map(str, step_pass.fits))}" if step_pass.fits else "measures"
            lines.append(f"  pass {number}: {does}")
            for node, margin in zip(step_pass.nodes, step_pass.margins, strict=True):
                how = node.step.name if node.step else "built in"
                reads = ", ".join(map(str, node.reads)) or "-"
                lines.append(f"    {node.key!s:24} {how:12} margin {margin:3} px   from {reads}")
        return "\n".join(lines)


def _canonical_node(node: Node) -> dict[str, Any]:
    bound = [node.step.name, node.step.version, node.step.parameters] if node.step else None
    shared = {"fit": node.fit} if node.fit not in (None, node.key) else {}
    return {"key": node.key, "step": bound, "inputs": node.inputs, "where": node.where, **shared}


def primary_of(measures: Iterable[Measured]) -> Measured | None:
    """The first load over observable pixels: the primary measure, which decides statuses."""
    return next((m for m in measures if m.measure.name == "load" and m.inputs[0][2].plane == "observable"), None)


def load_measure(program: Program) -> Measured | None:
    """The primary measure of a program."""
    return primary_of(program.measures)
