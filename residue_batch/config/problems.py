"""What pydantic found wrong, said in the words of the YAML file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from residue_batch.config.board_checks import AREA_KINDS
from residue_batch.config.document import Document, Key, did_you_mean
from residue_batch.config.model import Configuration
from residue_batch.errors import ConfigError, Problem

Model = TypeVar("Model", bound=Configuration)

_NEEDED = {
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "finite_number": "a finite number",
    "dict_type": "a map (key: value)",
    "model_type": "a map (key: value)",
    "model_attributes_type": "a map (key: value)",
    "tuple_type": "a list",
    "list_type": "a list",
}
_COMPARED = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}


def build(model: type[Model], document: Document) -> Model:
    """The model of a document; ``ConfigError`` with every problem at once."""
    problems = list(document.problems)
    if "schema" not in document.data:
        problems.append(document.problem((), "'schema' is missing", "write 'schema: 1' in the first line"))
    built: Model | None = None
    try:
        built = model.model_validate(document.data, context={"loading": True})
    except ValidationError as error:
        problems += in_yaml(error, document, model)
    for path, message, remedy, at in model.mistakes(document.data):
        if not document.is_broken(path):
            problems.append(document.problem(path, message, remedy, at))
    if problems or built is None:
        raise ConfigError(in_order(problems))
    return built.with_document(document)


def in_order(problems: list[Problem]) -> list[Problem]:
    """Each problem once, file by file, from the top down."""
    files = list(dict.fromkeys(p.file for p in problems))
    return sorted(dict.fromkeys(problems), key=lambda p: (files.index(p.file), p.line, p.column))


def in_yaml(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """The problems of a ``ValidationError``, each at its place in the YAML."""
    result = []
    for entry in error.errors(include_url=False):
        path, at_key = path_of(entry["loc"], document.data)
        if document.is_broken(path):
            continue
        kind = entry["type"]
        if kind == "too_short" and len(entry["input"]) >= entry["ctx"]["min_length"]:
            continue  # pydantic leaves wrong entries out of the count; they are reported themselves
        if kind == "missing":
            missing = entry["loc"][-1]
            short = f"'{path[-1]}' lacks an entry" if path else "an entry is missing"
            message = f"'{missing}' is missing" if isinstance(missing, str) else short
            result.append(document.problem(path, message, at="key"))
        elif kind == "extra_forbidden":
            remedy = did_you_mean(path[-1], keys_at(model, entry["loc"][:-1]))
            result.append(document.problem(path, f"unknown key '{path[-1]}'", remedy, "key"))
        else:
            message, remedy = _said(kind, entry)
            name = next((str(k) for k in reversed(path) if isinstance(k, str)), "")
            message = f"{name}: {message}" if name and not at_key else message
            result.append(document.problem(path, message, remedy, "key" if at_key else "value"))
    return result


def _said(kind: str, entry: Any) -> tuple[str, str]:
    """(message, remedy) of one pydantic error."""
    given, context = entry["input"], entry.get("ctx", {})
    if kind in _NEEDED:
        quoted = isinstance(given, int | float) and not isinstance(given, bool) and kind == "string_type"
        return f"must be {_NEEDED[kind]}, not {_shown(given)}", f"quote it: '{given}'" if quoted else ""
    if kind in _COMPARED:
        return f"must be {_COMPARED[kind].format(**context)}, not {_shown(given)}", ""
    if kind == "literal_error":
        known = [part.strip(" '") for part in str(context["expected"]).replace(" or ", ", ").split(",")]
        remedy = did_you_mean(given, known) if isinstance(given, str) else ""
        return f"must be {context['expected']}, not {_shown(given)}", "" if remedy.startswith("known") else remedy
    if kind == "too_short":
        return f"needs at least {context['min_length']} entries, has {context['actual_length']}", ""
    if kind == "too_long":
        return f"takes at most {context['max_length']} entries", ""
    if kind == "value_error":
        arguments = context["error"].args
        return str(arguments[0]), str(arguments[1]) if len(arguments) > 1 else ""
    if kind == "area_kind":
        keys = given if isinstance(given, dict) else {}
        near = (did_you_mean(k, AREA_KINDS) for k in keys if k not in AREA_KINDS)
        return entry["msg"], next((n for n in near if not n.startswith("known")), "")
    return entry["msg"].replace("Input should", "should"), ""


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    return f"'{value}'" if isinstance(value, str) else str(value)


def path_of(loc: tuple[Any, ...], data: Any) -> tuple[Key, bool]:
    """The path in the YAML of a pydantic ``loc``, and whether the key itself is wrong.

    A ``loc`` also names the chosen branch of a union, which nobody wrote:
    what the data does not have is skipped.
    """
    path: list[str | int] = []
    at_key = False
    for part in loc:
        if part == "[key]":
            at_key = True
        elif (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        ):
            path.append(part)
            data = data[part]
    return tuple(path), at_key


def keys_at(model: type[BaseModel], loc: tuple[Any, ...]) -> set[str]:
    """The keys that a model knows at a pydantic ``loc``."""
    candidates: list[Any] = [model]
    for part in loc:
        inner = [i for c in candidates for i in _inside(c, part)]
        if inner:
            candidates = inner
    found = {name for c in candidates for m in _models(c) for name in _fields(m)}
    return found | ({"extends"} if not loc else set())


def _inside(annotation: Any, part: Any) -> Iterator[Any]:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            fields = _fields(option)
            if part in fields:
                yield fields[part]
        elif get_origin(option) is dict and isinstance(part, str):
            yield get_args(option)[1]
        elif get_origin(option) in (tuple, list) and isinstance(part, int):
            yield get_args(option)[0]


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    for option in _options(annotation):
        if isinstance(option, type) and issubclass(option, BaseModel):
            yield option


def _options(annotation: Any) -> Iterator[Any]:
    """The branches of a union, without their ``Annotated`` wrapping."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in (None, dict, tuple, list):
        yield annotation
    else:
        for branch in get_args(annotation):
            yield from _options(branch)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
