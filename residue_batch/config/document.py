"""A YAML file that remembers where each key and value stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from residue_batch.errors import Problem

Key = tuple[str | int, ...]
"""The way to a value: ``('planes', 'residue', 'level')``."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SHOWN = 160


@dataclass(frozen=True, eq=False)
class Source:
    """One text that values come from: a file, or one ``--set``."""

    file: str
    lines: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def of(cls, text: str, file: str) -> Source:
        return cls(file, tuple(_BREAK.split(text)), str(Path(file).absolute().parent))

    def problem(self, line: int, column: int, message: str, remedy: str = "") -> Problem:
        """A problem at a place of this text; line and column count from 1."""
        if not self.lines:  # a --set is its own place
            return Problem(message, file=self.file, remedy=remedy)
        excerpt = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        # one character per column, so that the caret stays under it
        excerpt = excerpt.replace("\t", " ")
        if column < _SHOWN < len(excerpt):
            excerpt = excerpt[:_SHOWN] + " ..."
        return Problem(message, self.file, line, column, remedy, excerpt.rstrip())


@dataclass(frozen=True)
class Place:
    """Where a key and its value stand: (line, column), from 1."""

    source: Source
    key: tuple[int, int]
    value: tuple[int, int]


@dataclass(frozen=True)
class Document:
    """What a YAML file says and where it says it.

    Attributes
    ----------
    data
        The content, as plain maps, lists, text and numbers.
    file, text
        The file and what stands in it.
    marks
        The place of every key and value; after ``extends`` they may lie in
        different files.
    problems
        Mistakes that did not hinder reading on, e.g. a key given twice.
    broken
        Values that could not be read; what is said about them later is noise.
    """

    data: Any
    file: str
    text: str = field(repr=False)
    marks: Mapping[Key, Place] = field(repr=False)
    problems: tuple[Problem, ...] = ()
    broken: frozenset[Key] = frozenset()

    def place(self, path: Key) -> tuple[Key, Place | None]:
        """The nearest known place at or above ``path``, and which path that is."""
        path = tuple(path)
        while path not in self.marks:
            if not path:
                return (), None
            path = path[:-1]
        return path, self.marks[path]

    def problem(self, path: Key, message: str, remedy: str = "", at: Literal["value", "key"] = "value") -> Problem:
        """A problem that points at a key or its value, in the file where it stands.

        A path that is not in the file (something is missing) points at the
        key of the map it is missing from.
        """
        found, place = self.place(path)
        if place is None:
            return Problem(message, file=self.file, remedy=remedy)
        line, column = place.value if at == "value" and found == tuple(path) else place.key
        return place.source.problem(line, column, message, remedy)

    def folder(self, path: Key) -> Path:
        """The folder that a relative file name at ``path`` starts from."""
        _, place = self.place(path)
        return Path(place.source.folder) if place else Path(self.file).absolute().parent

    def is_broken(self, path: Key) -> bool:
        """Whether this value, or the one that holds it, could not be read."""
        return any(path[:n] in self.broken for n in range(len(path) + 1))

    def over(self, base: Document) -> Document:
        """The document laid over ``base``: maps merge, lists replace, null deletes."""
        marks = dict(base.marks)
        data = _merge(base.data, self.data, (), marks, self.marks)
        marks.update({k: v for k, v in self.marks.items() if k == () or _has(data, k)})
        broken = {k for k in base.broken if _has(data, k) and k not in self.marks} | self.broken
        return replace(
            self, data=data, marks=marks, problems=(*base.problems, *self.problems), broken=frozenset(broken)
        )


def _merge(base: Any, over: Any, path: Key, marks: dict[Key, Place], new: Mapping[Key, Place]) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        _forget(marks, path)
        return over
    result = dict(base)
    for key, value in over.items():
        here = (*path, key)
        if value is None and key in result:
            del result[key]
            _forget(marks, here)
        elif key in result:
            result[key] = _merge(result[key], value, here, marks, new)
        else:
            result[key] = value
    return result


def _forget(marks: dict[Key, Place], path: Key) -> None:
    for known in [k for k in marks if k[: len(path)] == path]:
        del marks[known]


def _has(data: Any, path: Key) -> bool:
    for key in path:
        in_map = isinstance(data, dict) and key in data
        if in_map or (isinstance(data, list) and isinstance(key, int) and key < len(data)):
            data = data[key]
        else:
            return False
    return True


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """``did you mean 'level'?`` or the list of what is known."""
    names = sorted({str(k) for k in known})
    near = get_close_matches(str(word), names, n=1, cutoff=0.6)
    lower = {n.lower(): n for n in names}
    if not near and str(word).lower() in lower:
        near = [lower[str(word).lower()]]
    if near:
        return f"did you mean '{near[0]}'?"
    return f"known: {', '.join(names)}" if names else ""
