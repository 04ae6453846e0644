"""The compiler: a workflow's names become a program, or a list of mistakes with their lines.

It wires names to nodes, infers each plane's scope, prunes what no measure,
kept plane or exclusion reads, cuts the graph into passes where a plane needs a
fit, and works out margins and lifetimes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from residue_batch.config import Workflow
from residue_batch.config.document import did_you_mean
from residue_batch.errors import Problem, WorkflowError
from residue_batch.kernels import MOST_RADIUS
from residue_batch.matching.resample import blur_radius
from residue_batch.measure import MEASURES, BoundMeasure
from residue_batch.passes import cut
from residue_batch.program import (
    AS_TAKEN,
    BUILTINS,
    MATCHED,
    NAMED,
    NO_PHASE,
    PHASES,
    Key,
    Measured,
    Node,
    Program,
    builtin_reads,
)
from residue_batch.step import STEPS, Bound, Kind, ParameterError, Signature
from residue_batch.units import Pixels, resolve
from residue_batch.variables import clashes, variables_of

MOST_BLUR = 1.5
At = Literal["value", "key"]


def keeping_all(workflow: Workflow) -> Workflow:
    """The workflow with every plane kept that can be, also those that no measure reads."""
    flat = {name for name, step in STEPS.items() if step.signature.output in (Kind.SCALAR, Kind.MASK)}
    keep = tuple(name for name, plane in workflow.planes.items() if plane.step in flat)
    return workflow.model_copy(update={"keep": keep})


def compile_program(workflow: Workflow, *, reference: str, pixel_size_um: float | None = None) -> Program:
    """Compile a workflow for boards of one kind of reference and pixel size.

    Parameters
    ----------
    reference
        ``golden``, ``lot`` or ``pair``: where the clean colour comes from; ``none`` for boards as taken.
    pixel_size_um
        Size of a frame pixel, for lengths in mm.

    Raises
    ------
    WorkflowError
        With every mistake at once: unknown steps and parameters, planes that
        dangle, are of the wrong kind or go round in a circle.
    """
    return _Compiler(workflow, reference, pixel_size_um).program()


@dataclass(frozen=True)
class _Made:
    """A plane of the workflow before it is split into phases."""

    name: str
    step: Bound
    signature: Signature
    inputs: tuple[str, ...]
    where: str | None
    per_phase: bool
    fit_on: str | None = None


class _Compiler:
    """Collects problems while it wires; a class because every part reads the same tables."""

    def __init__(self, workflow: Workflow, reference: str, pixel_size_um: float | None) -> None:
        self.workflow, self.reference, self.pixel_size_um = workflow, reference, pixel_size_um
        self.problems: list[Problem] = []
        self.made: dict[str, _Made | None] = {}
        self.wiring: list[str] = []
        self.blur = 0.0 if reference == AS_TAKEN else self._blur()
        # a shot sharper than the reference is blurred more, by at most this factor
        self.blur_halo = blur_radius(MOST_BLUR * self.blur)

    # names -> planes -------------------------------------------------------------

    def _blur(self) -> float:
        try:
            found = resolve(self.workflow.blur, Pixels, self.pixel_size_um)
        except ValueError as error:
            self.problem(("blur",), str(error))
            return 0.0
        if blur_radius(MOST_BLUR * found) <= MOST_RADIUS:
            return found
        self.problem(("blur",), f"{found:g} px are too much: at most {MOST_RADIUS / 3 / MOST_BLUR:.1f} px")
        return 0.0

    def problem(self, path: tuple[Any, ...], message: str, remedy: str = "", at: At = "value") -> None:
        self.problems.append(self.workflow.problem(path, message, remedy, at=at))

    def known(self, name: str) -> bool:
        return name in NAMED or name in self.workflow.planes

    def split(self, name: str) -> tuple[str, str]:
        """``x.before`` -> (x, before); other names have no phase."""
        stem, _, phase = name.rpartition(".")
        return (stem, phase) if phase in PHASES and stem else (name, NO_PHASE)

    def kind(self, name: str) -> Kind | None:
        stem, _ = self.split(name)
        if stem in BUILTINS:
            return BUILTINS[stem].kind
        made = self.wire(stem)
        return made.signature.output if made else None

    def per_phase(self, name: str) -> bool:
        """Whether the name, as written, stands for one plane per phase."""
        stem, phase = self.split(name)
        if phase:
            return False
        if stem in BUILTINS:
            return BUILTINS[stem].per_phase
        made = self.wire(stem)
        return made.per_phase if made else False

    def wire(self, name: str) -> _Made | None:
        """The plane of this name with its inputs found; None if something is wrong with it."""
        if name in self.made:
            return self.made[name]
        if name in self.wiring:
            circle = [*self.wiring[self.wiring.index(name) :], name]
            self.problem(("planes", name), f"planes go round in a circle: {' -> '.join(circle)}", at="key")
            self.made[name] = None
            return None
        self.wiring.append(name)
        made = self._wire(name)
        self.wiring.pop()
        return self.made.setdefault(name, made)

    def _wire(self, name: str) -> _Made | None:
        spec = self.workflow.planes[name]
        path = ("planes", name)
        if name in BUILTINS:
            self.problem(path, f"{name!r} is built in ({BUILTINS[name].meaning})", "choose another name", at="key")
            return None
        if spec.step not in STEPS:
            self.problem((*path, "step"), f"unknown step {spec.step!r}", did_you_mean(spec.step, STEPS))
            return None
        step = STEPS[spec.step]
        inputs = self.inputs(path, step.signature, spec.of)
        parameters = self.parameters(path, step.signature, spec.params)
        if spec.where is not None:
            if not step.reads_where:
                remedy = "leave it out; a measure's 'where' or the step 'and' chooses pixels"
                self.problem((*path, "where"), f"{spec.step!r} does not look at 'where'", remedy, at="key")
            if not self.check(path, "where", spec.where, (Kind.MASK,)):
                inputs = None
        if inputs is None or parameters is None:
            return None
        reads = [*inputs, *([spec.where] if spec.where else [])]
        bound = Bound(step.signature.name, step.version, parameters)
        per_phase = any(self.per_phase(r) for r in reads)
        if spec.fit_on and not (step.fit and per_phase):
            why = f"{name!r} is one plane per board" if step.fit else f"{spec.step!r} fits nothing"
            self.problem((*path, "fit_on"), f"{why}: there is no phase to fit it on", "leave it out", at="key")
        return _Made(name, bound, step.signature, inputs, spec.where, per_phase, spec.fit_on)

    def inputs(self, path: tuple[Any, ...], signature: Signature, of: tuple[str, ...]) -> tuple[str, ...] | None:
        """Names that fill the positional parameters: ``of`` in order, the rest by their own name."""
        wanted = list(signature.inputs)
        if signature.variadic:
            if not of:
                self.problem(path, f"{signature.name!r} needs 'of': the planes it reads", at="key")
                return None
            wanted = wanted[:-1] + [wanted[-1]] * (len(of) - len(wanted) + 1)
        if len(of) > len(wanted):
            listed = ", ".join(i.name for i in wanted)
            self.problem((*path, "of"), f"{signature.name!r} reads {len(wanted)} plane(s) ({listed}), not {len(of)}")
            return None
        names = list(of) + [parameter.name for parameter in wanted[len(of) :]]
        sound = True
        for position, (name, parameter) in enumerate(zip(names, wanted, strict=True)):
            if position >= len(of) and name not in BUILTINS:
                self.problem(path, f"{signature.name!r} needs 'of': the plane that is its {name!r}", at="key")
                sound = False
            else:
                sound &= self.check(path, "of", name, parameter.kinds)
        return self.of_one_phase(path, signature, tuple(names), len(of)) if sound else None

    def of_one_phase(
        self, path: tuple[Any, ...], signature: Signature, names: tuple[str, ...], written: int
    ) -> tuple[str, ...] | None:
        """Names with those that nobody wrote in the phase of those that are written, if these are of one phase."""
        own = [name for name in names[written:] if self.per_phase(name)]
        if not (written and own) or any(self.per_phase(name) for name in names[:written]):
            return names
        phases = {phase for name in names[:written] if (phase := self.split(name)[1])}
        if len(phases) != 1:
            why = f"{signature.name!r} also reads {own[0]!r}, of one photograph; what it is given is of both or of none"
            self.problem((*path, "of"), why, "give it a plane of one phase, or of each")
            return None
        return tuple(f"{name}.{next(iter(phases))}" if name in own else name for name in names)

    def check(self, path: tuple[Any, ...], where: str, name: str, kinds: Iterable[Kind]) -> bool:
        """Whether the name is a plane of one of these kinds; reports it if not."""
        stem, phase = self.split(name)
        place = (*path, where)
        if not self.known(stem):
            self.problem(place, f"there is no plane {stem!r}", did_you_mean(stem, [*self.workflow.planes, *NAMED]))
            return False
        if self.reference == AS_TAKEN and stem in MATCHED:
            remedy = "read 'raw', or give the board type a reference: golden, lot or pair"
            self.problem(place, f"{stem!r} does not exist on boards as taken (reference: none)", remedy)
            return False
        kind = self.kind(stem)
        if kind is None:
            return False
        if phase and not self.per_phase(stem):
            self.problem(place, f"{stem!r} is one plane per board; it has no {phase!r}")
            return False
        if kind not in kinds:
            wanted = " or ".join(kinds)
            self.problem(place, f"{name!r} is a {kind} plane; a {wanted} plane is needed here")
            return False
        return True

    def parameters(
        self, path: tuple[Any, ...], signature: Signature, params: Mapping[str, Any]
    ) -> tuple[tuple[str, Any], ...] | None:
        try:
            return signature.validate(params, self.pixel_size_um)
        except ParameterError as error:
            for key, message in error.problems:
                self.problem((*path, key) if key else path, message, at="value" if key in signature.keys else "key")
            return None

    # planes -> nodes -------------------------------------------------------------

    def resolve(self, name: str, phase: str) -> Key:
        """The key a name stands for when read from a plane of this phase."""
        stem, fixed = self.split(name)
        return Key(stem, fixed or (phase if self.per_phase(stem) else NO_PHASE))

    def node(self, key: Key) -> Node:
        if key.plane in BUILTINS:
            return self.builtin_node(key)
        made = self.made[key.plane]
        assert made is not None
        where = None
        if made.step.definition.reads_where:
            where = self.resolve(made.where or self.default_where(made), key.phase)
        inputs = tuple(self.resolve(name, key.phase) for name in made.inputs)
        assert made.signature.output is not None
        fit = Key(key.plane, made.fit_on or key.phase) if made.step.definition.fit else None
        return Node(key, made.signature.output, made.step, inputs, where, made.step.halo, fit)

    def default_where(self, made: _Made) -> str:
        """Valid pixels for a plane of a photograph, the outline for one of the board."""
        return "valid" if made.per_phase else "outline"

    def builtin_node(self, key: Key) -> Node:
        builtin = BUILTINS[key.plane]
        reads = [self.resolve(name, key.phase) for name in builtin_reads(key.plane, self.reference)]
        halo = self.blur_halo if key.plane == "image" else 0
        if key.plane == "reference" and self.reference == "pair":
            reads = [Key("image", phase) for phase in PHASES]
        if key.plane == "observable":
            reads += self.excluded()
        return Node(key, builtin.kind, None, tuple(reads), None, halo)

    def excluded(self) -> list[Key]:
        keys = []
        for name in self.workflow.exclude:
            phases = PHASES if self.per_phase(name) else (NO_PHASE,)
            keys += [self.resolve(name, phase) for phase in phases]
        return keys

    def closure(self, targets: Iterable[Key]) -> dict[Key, Node]:
        """Every node the targets need, in the order of work."""
        nodes: dict[Key, Node] = {}

        def visit(key: Key) -> None:
            if key not in nodes:
                node = self.node(key)
                for read in node.reads:
                    visit(read)
                if node.fit not in (None, key):
                    visit(node.fit)
                nodes[key] = node

        for target in targets:
            visit(target)
        return nodes

    # nodes -> program ------------------------------------------------------------

    def program(self) -> Program:
        for name in self.workflow.planes:
            self.wire(name)
        exclude_ok = [self.check((), "exclude", name, (Kind.MASK,)) for name in self.workflow.exclude]
        self.check_exclude(all(exclude_ok))
        measures = [m for key in self.workflow.measures if (m := self.measured(key))]
        keep: list[Key] = []
        for name in self.workflow.keep:
            if self.check((), "keep", name, (Kind.MASK, Kind.SCALAR)):
                keep += [self.resolve(name, phase) for phase in (PHASES if self.per_phase(name) else (NO_PHASE,))]
        for name in self.workflow.codes:
            self.check(("codes",), name, name, (Kind.SCALAR,))
        if not self.workflow.measures:
            self.problem((), "a workflow needs at least one measure under 'measures'")
        self.check_names(measures)
        self.check_limits(measures)
        if self.problems:
            raise WorkflowError(tuple(dict.fromkeys(self.problems)))
        wanted = [*(k for m in measures for _, planes, where in m.inputs for k in (*planes, where)), *keep]
        # thumbnails show the shots and what was hidden; intervals ask what hid it, and the colour of the board
        seen = [Key("observable"), *self.excluded(), *([Key("reference")] if self.reference == "pair" else [])]
        targets = list(dict.fromkeys([*wanted, *seen, *(Key("raw", phase) for phase in PHASES)]))
        nodes = self.closure(targets)
        # a fit that both phases share is that of a plane which the last pass makes
        targets = list(dict.fromkeys([*targets, *(n.fit for n in nodes.values() if n.fit not in (None, n.key))]))
        passes = cut(nodes, targets)
        used = {key.plane for key in nodes}
        unused = tuple(name for name in self.workflow.planes if name not in used)
        return Program(
            self.workflow.workflow,
            self.reference,
            self.blur,
            passes,
            tuple(measures),
            tuple(self.workflow.exclude),
            tuple(keep),
            tuple((name, *ends) for name, ends in sorted(self.workflow.codes.items())),
            unused,
        )

    def check_exclude(self, sound: bool) -> None:
        """Planes of ``exclude`` decide what is observable, so they may not read it."""
        if not sound or self.problems:
            return
        for name in self.workflow.exclude:
            if "observable" in {name} | self.reads_of(name):
                self.problem(
                    ("exclude",), f"{name!r} reads 'observable', which is made of it", "give it another 'where'"
                )

    def reads_of(self, name: str) -> set[str]:
        """Every plane that a plane reads, however far back."""
        stem, _ = self.split(name)
        made = self.made.get(stem)
        if made is None:
            return set()
        found: set[str] = set()
        for read in (*made.inputs, *((made.where,) if made.where else ())):
            found |= {self.split(read)[0]} | self.reads_of(read)
        return found

    def measured(self, key: str) -> Measured | None:
        spec = self.workflow.measures[key]
        path = ("measures", key)
        if spec.measure not in MEASURES:
            self.problem((*path, "measure"), f"unknown measure {spec.measure!r}", did_you_mean(spec.measure, MEASURES))
            return None
        measure = MEASURES[spec.measure]
        names = self.inputs(path, measure.signature, spec.of)
        parameters = self.parameters(path, measure.signature, spec.params)
        where = spec.where or "observable"
        if not self.check(path, "where", where, (Kind.MASK,)) or names is None or parameters is None:
            return None
        per_phase = any(self.per_phase(name) for name in (*names, where))
        inputs = tuple(
            (phase, tuple(self.resolve(n, phase) for n in names), self.resolve(where, phase))
            for phase in (PHASES if per_phase else (NO_PHASE,))
        )
        bound = BoundMeasure(measure.signature.name, measure.version, parameters)
        return Measured(key, bound, inputs, spec.by == "region")

    def check_names(self, measures: list[Measured]) -> None:
        """Every number of a run has a name of its own."""
        for key, name, owner in clashes(measures):
            message = f"{key!r} gives a number {name!r}, which is a name of {owner}"
            self.problem(("measures", key), message, "rename the measure", at="key")

    def check_limits(self, measures: list[Measured]) -> None:
        variables = set(variables_of(measures))
        sound = len(measures) == len(self.workflow.measures)  # or the limit may be on a measure with a mistake
        for name in self.workflow.limits:
            if name not in variables and sound:
                remedy = did_you_mean(name, sorted(variables))
                self.problem(("limits", name), f"no measure gives a number {name!r}", remedy, at="key")
