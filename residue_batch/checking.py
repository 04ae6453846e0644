"""Checking configuration files of any kind, without measuring anything.

The kind of a file is recognised by its keys. A workflow is compiled, a board
type is laid over its frame image, a lot is scanned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from residue_batch.board import scene_of
from residue_batch.compiler import compile_program
from residue_batch.config import (
    BoardType,
    Found,
    MeasureSpec,
    PlaneSpec,
    Workflow,
    find,
    known_names,
    load_board_type,
    load_cluster,
    load_lot,
    load_workflow,
    scan,
)
from residue_batch.config.load import MODELS, is_path
from residue_batch.config.yaml import read
from residue_batch.errors import ConfigError, Problem, UsageError
from residue_batch.files import flat_field
from residue_batch.prepare import check_scene, sets_for, setting_of
from residue_batch.program import AS_TAKEN, BUILTINS, NO_PHASE, Key, Program
from residue_batch.salvage import sound_part, with_later
from residue_batch.scene import ignored_bit
from residue_batch.variables import variables_of

KINDS = tuple(MODELS)
FOLDER_KINDS = {"workflows": "workflow", "boards": "board_type", "lots": "lot", "clusters": "cluster"}
TELLING = {"workflow": "workflow", "lot": "lot", "kind": "cluster", "board_type": "board_type"}
"""Keys that name a kind; ``board_type`` last, because lots have it too."""
REFERENCES = ("golden", "pair")
SOME_SCALE = 25.0
"""Micrometres per pixel, to compile lengths in mm where no board type is given."""


@dataclass(frozen=True)
class Checked:
    """What was found out about one file.

    Parameters
    ----------
    name, kind, file, why
        What was asked for, what it is, which file won the look-up and why.
    problems
        Every mistake; none means the file can be used.
    facts
        What the file comes to, as plain values.
    notes
        What is not wrong but worth knowing.
    """

    name: str
    kind: str
    file: str
    why: str
    problems: tuple[Problem, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.problems


def check(
    names: Iterable[str | Path] = (), *, board_type: str | Path | None = None, sets: Sequence[str] = ()
) -> tuple[Checked, ...]:
    """Check workflows, board types, lots and clusters; every mistake of all of them at once.

    Parameters
    ----------
    names
        Names or paths; none for everything that a name reaches from here.
    board_type
        The board type for which workflows are compiled; otherwise both kinds of reference.
    sets
        ``key=value`` settings above the files, as for ``run``.
    """
    given = list(names)
    found = [one for name in given for one in _look_up(name)] if given else _everything()
    return tuple(_checked(name, kind, where, board_type, sets) for name, kind, where in found)


# which file, of which kind -----------------------------------------------------------


def _everything() -> list[tuple[str, str, Found | Problem]]:
    return [(name, kind, where) for kind in KINDS for name, where in known_names(kind)]


def _look_up(name: str | Path) -> list[tuple[str, str, Found | Problem]]:
    if is_path(name):
        return [(str(name), *_at_path(name))]
    found = [(str(name), kind, dict(known_names(kind))[str(name)]) for kind in KINDS if str(name) in _names(kind)]
    if found:
        return [*found]
    from residue_batch.config.document import did_you_mean

    known = [n for kind in KINDS for n in _names(kind)]
    return [(str(name), "", Problem(f"there is no configuration '{name}'", remedy=did_you_mean(name, known)))]


def _at_path(name: str | Path) -> tuple[str, Found | Problem]:
    try:
        where = find(name, "workflow")
    except ConfigError as error:
        message = error.problems[0].message.replace("the workflow ", "the file ", 1)
        return "", Problem(message, remedy=error.problems[0].remedy)
    try:
        return kind_of(where.path), where
    except ConfigError as error:
        return "", error.problems[0]
    except UsageError as error:
        return "", Problem(str(error), file=str(name))


def _names(kind: str) -> dict[str, Found]:
    return dict(known_names(kind))


def kind_of(path: Path) -> str:
    """The kind of a configuration file, by its keys.

    Raises
    ------
    UsageError
        If the keys fit no kind, or several.
    """
    try:
        data = read(path).data
    except ConfigError as error:
        # a file with mistakes is still a file of some kind: its folder may tell
        guess = FOLDER_KINDS.get(path.absolute().parent.name)
        if guess is None:
            raise ConfigError(error.problems) from None
        return guess
    keys = set(data) if isinstance(data, dict) else set()
    for key, kind in TELLING.items():
        if key in keys:
            return kind
    fields = {kind: {f.alias or n for n, f in MODELS[kind].model_fields.items()} for kind in KINDS}
    shared = {key for key, count in Counter(k for known in fields.values() for k in known).items() if count > 1}
    scores = {kind: len(keys & (known - shared)) for kind, known in fields.items()}
    best = [kind for kind, score in scores.items() if score == max(scores.values()) > 0]
    if len(best) == 1:
        return best[0]
    guess = FOLDER_KINDS.get(path.absolute().parent.name)
    if guess is None:
        raise UsageError(
            "its keys do not tell what this file is; a workflow has 'workflow:', a board type 'board_type:', "
            "a lot 'lot:', a cluster 'kind:'"
        )
    return guess


# checking ------------------------------------------------------------------------------


def _checked(
    name: str, kind: str, where: Found | Problem, board_type: str | Path | None, sets: Sequence[str]
) -> Checked:
    if isinstance(where, Problem):
        return Checked(name, kind, "", "", (where,))
    facts: dict[str, Any] = {}
    notes: list[str] = []
    problems: tuple[Problem, ...] = ()
    try:
        if kind == "workflow":
            _workflow(where.path, board_type, sets, facts, notes)
        elif kind == "board_type":
            _board_type(where.path, sets, facts, notes)
        elif kind == "lot":
            _lot(where.path, sets, facts, notes)
        else:
            cluster = load_cluster(where.path, sets_for(sets, "cluster"))
            facts |= cluster.model_dump(mode="json", exclude={"schema_version", "description"}, exclude_none=True)
    except ConfigError as error:
        problems = error.problems
    return Checked(name, kind, str(where.path), where.why, problems, facts, tuple(notes))


def _workflow(
    path: Path, board_type: str | Path | None, sets: Sequence[str], facts: dict[str, Any], notes: list[str]
) -> None:
    own = load_board_type(str(board_type), sets_for(sets, "board_type")) if board_type is not None else None
    mistakes: tuple[Problem, ...] = ()
    try:
        workflow = load_workflow(path, sets_for(sets, "workflow"))
    except ConfigError as error:
        mistakes = error.problems
        found = sound_part(Workflow, path, sets_for(sets, "workflow"))
        if found is None:
            raise
        workflow = found
    try:
        programs = (
            [compile_program(workflow, reference=own.reference, pixel_size_um=own.pixel_size_um)]
            if own
            else _both(workflow, notes)
        )
    except ConfigError as error:
        raise ConfigError(with_later(mistakes, error.problems)) from None
    if mistakes:
        raise ConfigError(mistakes)
    program = programs[0]
    facts |= {
        "references": [p.reference for p in programs] + ([] if own else _as_taken(workflow)),
        "passes": [
            {"does": f"fits {', '.join(map(str, p.fits))}" if p.fits else "measures", "halo_px": p.halo, "planes": n}
            for p in program.passes
            for n in [len(p.nodes)]
        ],
        "planes": _planes(program),
        "unused": list(program.unused),
        "exclude": list(program.exclude),
        "keep": [str(key) for key in program.keep],
        "numbers": list(variables_of(program.measures)),
        "limits": {k: v.model_dump(exclude_none=True) for k, v in workflow.limits.items()},
        "fingerprint": program.fingerprint,
    }
    if program.unused:
        notes.append(f"nothing reads {', '.join(program.unused)}: left out; name it in 'keep' to have it written")
    if len(program.passes) > 2:
        notes.append(f"{len(program.passes)} passes read every photograph as often; two are usual")


def _as_taken(workflow: Workflow) -> list[str]:
    """Whether boards as taken can use it too: it reads no light and no clean colour."""
    try:
        return [compile_program(workflow, reference=AS_TAKEN, pixel_size_um=SOME_SCALE).reference]
    except ConfigError:
        return []


def _both(workflow: Workflow, notes: list[str]) -> list[Program]:
    """The program for either kind of reference; lengths in mm get some scale."""
    try:
        return [compile_program(workflow, reference=r) for r in REFERENCES]
    except ConfigError as error:
        try:
            programs = [compile_program(workflow, reference=r, pixel_size_um=SOME_SCALE) for r in REFERENCES]
        except ConfigError as other:
            # what remains with a scale is wrong with any board type
            raise other from error
        notes.append("it has lengths in mm: only board types with 'pixel_size_um' can use it; --board-type checks one")
        return programs


def _planes(program: Program) -> list[dict[str, Any]]:
    nodes, rows = program.nodes, {}
    # a plane of two phases is one line
    for key, node in nodes.items():
        if key.plane in rows or key.plane in BUILTINS:
            continue
        rows[key.plane] = {
            "plane": key.plane,
            "step": node.step.name if node.step else "",
            "parameters": dict(node.step.parameters) if node.step else {},
            "scope": scope_of(program, key),
            "reads": sorted({k.plane for k in node.reads}),
            "passes": [i for i, p in enumerate(program.passes, 1) if any(n.key == key for n in p.nodes)],
            "halo_px": node.halo,
        }
    return list(rows.values())


def scope_of(program: Program, key: Key) -> str:
    """``shot`` (made for each shot), ``pair`` (once per board) or ``type`` (once per board type)."""
    if key.phase != NO_PHASE:
        return "shot"
    nodes, seen, left = program.nodes, set(), [key]
    while left:
        for read_key in nodes[left.pop()].reads:
            if read_key.phase != NO_PHASE:
                return "pair"
            if read_key not in seen:
                seen.add(read_key)
                left.append(read_key)
    return "type"


def _board_type(path: Path, sets: Sequence[str], facts: dict[str, Any], notes: list[str]) -> None:
    board_type = load_board_type(path, sets_for(sets, "board_type"))
    facts |= {"reference": board_type.reference, "frame": board_type.frame_image, "regions": {}}
    if board_type.reference == "pair":
        notes.append("without a clean reference every result is flagged 'indicative'")
    if board_type.reference == "lot" and board_type.built is None:
        notes.append("its clean reference is built from each lot; 'residue reference build' makes one that lasts")
    if board_type.frame_image is None:
        facts["regions"] = dict.fromkeys(board_type.region_names)
        notes.append("no frame image: each board's before-shot is its frame, regions are shares of it")
        return
    facts |= _on_frame(board_type)
    if facts["white_assumed"]:
        notes.append("no white patch: the white of residue is assumed; absolute loads are then a guess")


def _on_frame(board_type: BoardType) -> dict[str, Any]:
    """The geometry on the frame image: what is found, and how large it is."""
    least = Workflow(
        workflow="check",
        planes={"opacity": PlaneSpec(step="unmix")},
        measures={"load": MeasureSpec(measure="load", of=("opacity",))},
    )
    setting = setting_of(board_type, least)
    check_scene(setting)
    scene = scene_of(setting, None)
    found = scene.registration
    scale = board_type.pixel_size_um
    ignored = (scene.mask & ignored_bit(scene.mask)) > 0
    regions = {}
    for index, name in enumerate(scene.regions):
        inside = (scene.mask >> index) & 1 > 0
        pixels = int(inside.sum())
        regions[name] = {
            "pixels": pixels,
            "ignored_pixels": int((inside & ignored).sum()),
            "mm2": round(pixels * scale**2 * 1e-6, 2) if scale else None,
        }
    empty = [name for name, one in regions.items() if one["pixels"] == 0]
    if empty:
        raise ConfigError(
            tuple(
                board_type.problem(
                    ("regions", name) if name in board_type.regions else ("outline",),
                    f"region '{name}' has no pixel inside the outline",
                    f"the frame is {scene.shape[1]} x {scene.shape[0]} px; correct its coordinates",
                    "key",
                )
                for name in empty
            )
        )
    facts = {
        "frame_px": [scene.shape[1], scene.shape[0]],
        "regions": regions,
        "white": [round(float(v), 4) for v in scene.white],
        "white_assumed": scene.white_assumed,
    }
    flats = {role: flat_field(board_type, card) for role, card in setting.cards._asdict().items() if card}
    if flats:
        facts["flat_field"] = {role: round(flat.darkest, 3) for role, flat in flats.items() if flat}
    if found is not None:
        facts["golden_registration"] = {
            "inliers": found.inliers,
            "correlation": round(found.correlation, 3),
            "residual_px": round(found.residual_px, 3),
        }
    return facts


def _lot(path: Path, sets: Sequence[str], facts: dict[str, Any], notes: list[str]) -> None:
    lot = load_lot(path, sets_for(sets, "lot"))
    problems: list[Problem] = []
    if lot.board_type:
        facts["board_type"] = lot.board_type
        try:
            load_board_type(lot.board_type, sets_for(sets, "board_type"))
        except ConfigError as error:
            problems += error.problems
    if lot.manifest is None and not Path(lot.root).is_dir():
        # a lot may be written before its photographs are there
        notes.append(f"the folder {lot.root} does not exist yet: nothing was scanned")
    else:
        try:
            found = scan(lot)
        except ConfigError as error:
            problems += error.problems
        else:
            kinds = Counter(finding.kind for finding in found.findings)
            facts |= {"boards": len(found.boards), "usable": len(found.usable), "findings": dict(sorted(kinds.items()))}
            if len(found.usable) < len(found.boards) or not found.boards:
                notes.append(f"'residue lot scan {path}' says why boards cannot be measured")
    if problems:
        raise ConfigError(problems)


__all__ = ["Checked", "check", "kind_of"]
