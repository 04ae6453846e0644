"""Finding, layering and reading the YAML files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from residue_batch.config import yaml as strict_yaml
from residue_batch.config.board_type import BoardType
from residue_batch.config.cluster import Cluster
from residue_batch.config.document import Document, Key, Place, Source
from residue_batch.config.lot import Lot
from residue_batch.config.model import Configuration
from residue_batch.config.problems import build, in_order
from residue_batch.config.workflow import Workflow
from residue_batch.errors import ConfigError, Problem

FOLDERS = {
    "workflow": "workflows",
    "board_type": "configs/boards",
    "lot": "configs/lots",
    "cluster": "configs/clusters",
}
MODELS: dict[str, type[Configuration]] = {m.file_kind: m for m in (Workflow, BoardType, Lot, Cluster)}
SUFFIXES = (".yaml", ".yml")

Model = TypeVar("Model", bound=Configuration)


class Found(NamedTuple):
    """The file that a name stands for, and why this one."""

    path: Path
    why: str


def load_board_type(name: str | Path, sets: Sequence[str] = (), relative_to: str | Path | None = None) -> BoardType:
    """Read a board type by name or path; ``ConfigError`` with every problem at once."""
    return load(BoardType, name, sets, relative_to)


def load_lot(name: str | Path, sets: Sequence[str] = (), relative_to: str | Path | None = None) -> Lot:
    """Read a lot by name or path; its shots are found by ``scan``."""
    return load(Lot, name, sets, relative_to)


def load_workflow(name: str | Path, sets: Sequence[str] = (), relative_to: str | Path | None = None) -> Workflow:
    """Read a workflow by name or path; its steps and measures are checked when it is compiled."""
    return load(Workflow, name, sets, relative_to)


def load_cluster(name: str | Path, sets: Sequence[str] = (), relative_to: str | Path | None = None) -> Cluster:
    """Read a cluster by name or path."""
    return load(Cluster, name, sets, relative_to)


def load(
    model: type[Model], name: str | Path, sets: Sequence[str] = (), relative_to: str | Path | None = None
) -> Model:
    """Find, layer and check one configuration: extends < file < ``sets``."""
    found = find(name, model.file_kind, relative_to)
    document = layered(found.path, model.file_kind)
    return build(model, absolute(assigned(document, sets), model.paths))


def is_path(name: str | Path) -> bool:
    """Whether a value names a file, not something to be searched."""
    text = str(name)
    return isinstance(name, Path) or "/" in text or os.sep in text or text.endswith(SUFFIXES)


def find(name: str | Path, kind: str, relative_to: str | Path | None = None) -> Found:
    """The file that ``name`` stands for.

    A value with a slash or ending in ``.yaml`` is a path: relative to
    ``relative_to`` (the file that names it), or to the current folder.
    A bare name is searched in the current folder's ``workflows`` or
    ``configs/<kind>``, in ``$RESIDUE_PATH``, and among what is shipped.
    """
    what = kind.replace("_", " ")
    if is_path(name):
        base = Path(relative_to).absolute().parent if relative_to else Path.cwd()
        path = base / _at_home(name)
        if path.is_file():
            return Found(path, f"the path as given, from {relative_to}" if relative_to else "the path as given")
        beside = {p.stem: p.name for p in _files(path.parent)}
        near = _near(path.stem, beside, beside)
        why = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigError(Problem(f"the {what} {path} {why}", remedy=near))
    looked, known = [], []
    for folder, why in _places(kind):
        looked.append(str(folder))
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            if name and path.is_file():
                return Found(path.absolute(), why)
        known += [p.stem for p in _files(folder)]
    remedy = f"looked in {', '.join(looked)}"
    near = _near(str(name), known)
    raise ConfigError(Problem(f"there is no {what} '{name}'", remedy=f"{near}; {remedy}" if near else remedy))


def known_names(kind: str) -> list[tuple[str, Found]]:
    """Every configuration of a kind that a bare name reaches; the first of a name wins."""
    names: dict[str, Found] = {}
    for folder, why in _places(kind):
        for path in _files(folder):
            names.setdefault(path.stem, Found(path.absolute(), why))
    return sorted(names.items())


def _places(kind: str) -> Iterator[tuple[Path, str]]:
    folder = FOLDERS[kind]
    yield Path(folder), f"in ./{folder}"
    for part in os.environ.get("RESIDUE_PATH", "").split(os.pathsep):
        if part:
            yield _at_home(part) / folder, f"in $RESIDUE_PATH ({part})"
    yield shipped() / folder, "shipped with residue-batch"


def shipped() -> Path:
    """What comes with the package; in a source checkout the repository itself."""
    package = Path(__file__).absolute().parent.parent
    installed = package / "_shipped"
    return installed if installed.is_dir() else package.parent


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.suffix in SUFFIXES)
    except OSError:
        return []


def _at_home(path: str | Path) -> Path:
    """``~/x`` as a path; a ``~`` that names nobody's home stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _near(name: str, known: Iterable[str], written: Mapping[str, str] | None = None) -> str:
    """A hint at similar names; ``written`` says how each is written out."""
    names = sorted(set(known))
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    said = [(written or {}).get(n, n) for n in near or names[:12]]
    if near:
        return f"did you mean {' or '.join(repr(n) for n in said)}?"
    return f"there are {', '.join(said)}" if said else ""


def layered(path: Path, kind: str, above: tuple[Path, ...] = ()) -> Document:
    """The document of a file, laid over what it extends."""
    document = strict_yaml.read(_shown(path))
    names = document.data.pop("extends", None)
    if names is None:
        return document
    above = (*above, path.resolve())
    problems: list[Problem] = []
    base: Document | None = None
    listed = names if isinstance(names, list) else [names]
    for index, name in enumerate(listed):
        here: Key = ("extends", index) if isinstance(names, list) else ("extends",)
        if not isinstance(name, str) or not name:
            problems.append(document.problem(here, "extends: names another file", "write a name or a path"))
            continue
        try:
            found = find(name, kind, relative_to=path)
            if found.path.resolve() in above:
                way = " -> ".join(p.name for p in (*above, found.path))
                problems.append(
                    document.problem(here, f"these files extend each other: {way}", "remove one 'extends:'")
                )
                continue
            layer = layered(found.path, kind, above)
        except ConfigError as error:
            problems += [p if p.file else document.problem(here, p.message, p.remedy) for p in error.problems]
            continue
        base = layer if base is None else layer.over(base)
    if problems:
        raise ConfigError(in_order([*document.problems, *problems]))
    marks = {k: v for k, v in document.marks.items() if k[:1] != ("extends",)}
    own = replace(document, marks=marks)
    return own if base is None else own.over(base)


def _shown(path: Path) -> Path:
    """Short in messages: relative to the current folder where it lies below."""
    try:
        return path.absolute().relative_to(Path.cwd())
    except ValueError:
        return path


def assigned(document: Document, sets: Sequence[str]) -> Document:
    """The document with every ``--set a.b=value`` laid over it, in order."""
    problems: list[Problem] = []
    for text in sets:
        source = Source(f"--set {text}", folder=str(Path.cwd()))
        try:
            document = _assign(document, text, source)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError([*document.problems, *problems])
    return document


def _assign(document: Document, text: str, source: Source) -> Document:
    name, equals, written = text.partition("=")
    keys = [k.strip() for k in name.split(".")]
    if not equals or not all(keys):
        raise ConfigError(source.problem(0, 0, "must be key=value", "write for example planes.residue.level=0.1"))
    path = _path_in(document.data, keys, source)
    value = strict_yaml.parse_value(written, source, path)
    if value.problems:
        raise ConfigError(value.problems)
    place = Place(source, (0, 0), (0, 0))
    marks = {path[:n]: place for n in range(1, len(path)) if path[:n] not in document.marks}
    marks.update(value.marks)
    # an entry of a list is replaced in place; everything else is a layer
    if any(isinstance(k, int) for k in path):
        kept = {k: v for k, v in document.marks.items() if k[: len(path)] != path}
        data = _with_entry(document.data, path, value.data)
        return replace(document, data=data, marks={**kept, **marks})
    nested: Any = value.data
    for key in reversed(path):
        nested = {key: nested}
    over = Document(nested, source.file, text, marks, value.problems, value.broken)
    layered_over = over.over(document)
    return replace(layered_over, file=document.file, text=document.text)


def _path_in(data: Any, keys: list[str], source: Source) -> Key:
    path: list[str | int] = []
    for key in keys:
        if isinstance(data, list):
            if not key.isdecimal() or int(key) >= len(data):
                where, last = ".".join(map(str, path)), len(data) - 1
                raise ConfigError(source.problem(0, 0, f"{where} is a list; '{key}' is not one of 0 to {last}"))
            path.append(int(key))
            data = data[int(key)]
            continue
        if data is not None and not isinstance(data, dict):
            where = ".".join(map(str, path))
            raise ConfigError(source.problem(0, 0, f"{where} is a single value and has no '{key}'"))
        path.append(key)
        data = data.get(key) if isinstance(data, dict) else None
    return tuple(path)


def _with_entry(data: Any, path: Key, value: Any) -> Any:
    if not path:
        return value
    copy = list(data) if isinstance(data, list) else dict(data or {})
    key: Any = path[0]
    inner = copy[key] if isinstance(copy, list) else copy.get(key)
    copy[key] = _with_entry(inner, path[1:], value)
    return copy


def absolute(document: Document, keys: tuple[str, ...]) -> Document:
    """File names made absolute, each from the file that names it."""
    data = dict(document.data)
    for key in keys:
        value = data.get(key)
        if isinstance(value, dict):
            data[key] = {
                name: os.path.normpath(document.folder((key, name)) / _at_home(file)) if isinstance(file, str) else file
                for name, file in value.items()
            }
        if isinstance(value, str) and value and not document.is_broken((key,)):
            if key == "board_type" and not is_path(value):
                continue  # a name that is searched
            data[key] = os.path.normpath(document.folder((key,)) / _at_home(value))
    if "root" in keys and data.get("root") is None:
        # photographs lie beside the file that names them
        manifest = data.get("manifest")
        data["root"] = str(Path(manifest).parent) if isinstance(manifest, str) else str(document.folder(()))
    return replace(document, data=data)


@cache
def _schema(kind: str) -> dict[str, Any]:
    model = MODELS[kind]
    schema = model.model_json_schema()
    required = [k for k in schema.pop("required", []) if k != "schema"]
    properties = {"schema": schema["properties"].pop("schema"), **schema["properties"]}
    properties["schema"] = {"const": 1, "description": properties["schema"].get("description", "")}
    name = {"type": "string", "minLength": 1}
    properties["extends"] = {
        "anyOf": [name, {"type": "array", "items": name}],
        "description": "Files this one is laid over: maps merge, lists replace, null deletes.",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"residue-batch {kind.replace('_', ' ')}",
        "properties": properties,
        "required": ["schema"],
        # what a file extends may already say the rest
        "if": {"not": {"required": ["extends"]}},
        "then": {"required": required},
    }


def json_schema(kind: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a kind of file: workflow, board_type, lot, cluster."""
    return dict(_schema(kind))
