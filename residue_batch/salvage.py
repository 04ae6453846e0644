"""What is left of a configuration when its mistakes are taken out.

A misspelt key must not hide a plane that dangles: the sound rest of a file is
compiled all the same, so that one check shows every mistake.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from residue_batch.config.load import assigned, layered
from residue_batch.config.model import Configuration
from residue_batch.config.problems import in_order, path_of
from residue_batch.errors import ConfigError, Problem

Model = TypeVar("Model", bound=Configuration)

_ROUNDS = 20
_DANGLING = re.compile(r"there is no (?:plane|measure) '([^']*)'|no measure gives a number")


def sound_part(model: type[Model], path: Path, sets: Sequence[str] = ()) -> Model | None:
    """The model of a file without the entries that are wrong; None if nothing can be made of it."""
    try:
        document = assigned(layered(path, model.file_kind), sets)
    except ConfigError:
        return None
    data = copy.deepcopy(document.data)
    for _ in range(_ROUNDS):
        try:
            return model.model_validate(data, context={"loading": True}).with_document(document)
        except ValidationError as error:
            for entry in error.errors(include_url=False):
                where, _ = path_of(entry["loc"], data)
                missing = entry["type"] == "missing" and len(entry["loc"]) == 1
                if missing:
                    # a name that is missing is reported already
                    data[str(entry["loc"][0])] = "unnamed"
                else:
                    _remove(data, where)
    return None


def _remove(data: Any, path: tuple[str | int, ...]) -> None:
    for key in path[:-1]:
        data = data[key]
    if not path:
        return
    if isinstance(data, dict):
        data.pop(path[-1], None)
    elif isinstance(data, list) and isinstance(path[-1], int) and path[-1] < len(data):
        data[path[-1]] = None


def with_later(first: Sequence[Problem], later: Sequence[Problem]) -> list[Problem]:
    """All problems in order, without what only follows from the first ones.

    A line with a mistake is not reported again, and a name that was taken out
    with its mistake is not missing.
    """
    places = {(p.file, p.line) for p in first}
    taken = " ".join(p.excerpt for p in first)
    kept = []
    for problem in later:
        dangling = _DANGLING.match(problem.message)
        follows = dangling and first and (dangling[1] is None or re.search(rf"\b{re.escape(dangling[1])}\b", taken))
        if (problem.file, problem.line) not in places and not follows:
            kept.append(problem)
    return in_order([*first, *kept])
