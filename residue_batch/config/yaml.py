"""Strict YAML: one meaning per file, and every mistake with its line.

The YAML 1.2 core scalars, read from parser events, so nothing is ever
constructed from a tag and an alias cannot multiply. A plain scalar that YAML 1.1
reads as something else (``no``, ``010``, ``12:30``) is refused: whoever wrote it,
one of the two readers is wrong.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from residue_batch.config.document import Document, Key, Place, Source
from residue_batch.errors import ConfigError, Problem

MAX_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_VALUES = 200_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_YES = frozenset({"y", "yes", "on"})
_NO = frozenset({"n", "no", "off"})
_SIXTY = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?", re.ASCII)
_OLD_INT = re.compile(r"[-+]?0[0-9_]+|[-+]?0b[01_]+|[-+]?0x[0-9a-fA-F_]+|0o[0-7]+", re.ASCII)
_GROUPED = re.compile(
    r"[-+]?(?:[0-9]+_[0-9_]*|(?:[0-9_]*_[0-9_]*\.[0-9_]*|[0-9]*\.[0-9]*_[0-9_]*)(?:[eE][-+]?[0-9]+)?)", re.ASCII
)
# YAML allows printable characters only; libyaml reports the rest without a line
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_REMEDIES = (
    ("mapping values are not allowed", "a value that contains ': ' needs quotes; or the indentation is not right"),
    ("expected ':'", "after a key comes a colon and a space"),
    ("block end", "keys of one map start in the same column"),
    ("block mapping", "keys of one map start in the same column"),
    ("flow", "a bracket or brace is not closed, or a comma is missing"),
    ("quoted scalar", "a quote is not closed"),
)


class _DoubtfulError(ValueError):
    """A plain scalar that must not be read: (message, remedy)."""


class _LimitError(Exception):
    """Reading on is pointless."""


def scalar(text: str) -> Any:
    """What a plain (unquoted) scalar means; ``_DoubtfulError`` when that is doubtful."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    word = text.lower()
    if word in _YES or word in _NO:
        told = "true" if word in _YES else "false"
        raise _DoubtfulError(
            f"'{text}' is text to some readers and {told} to others", f"write {told}, or quote it: '{text}'"
        )
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text) or _HEX.fullmatch(text):
        return _whole(text)
    for pattern, other in ((_OLD_INT, "another number"), (_GROUPED, "a number"), (_SIXTY, "a number in base 60")):
        if pattern.fullmatch(text):
            raise _DoubtfulError(f"{text} is {other} to some readers", f"quote it: '{text}', or write the plain number")
    if _DATE.fullmatch(text):
        raise _DoubtfulError(f"{text} is a date to some readers and text to others", f"quote it: '{text}'")
    if _NOT_FINITE.fullmatch(text):
        raise _DoubtfulError(f"{text} is not a finite number", "write a number, or leave the key out")
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise _DoubtfulError(f"{text} is too large for a number", "write a smaller number")
        return value
    return text


def _whole(text: str) -> int:
    if len(text) > 19:
        raise _DoubtfulError("this number has too many digits", "quote it if it is a name")
    return int(text, 0)


def read(path: str | Path) -> Document:
    """Read a YAML file; raises ``ConfigError`` when it cannot be read to its end."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(Problem(f"cannot be read: {error.strerror or error}", file=str(path))) from error
    if len(content) > MAX_BYTES:
        raise ConfigError(Problem(f"is larger than {MAX_BYTES >> 20} MB", file=str(path)))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        problem = Problem("is not UTF-8", str(path), line, 1, "save the file as UTF-8")
        raise ConfigError(problem) from error
    return parse(text, str(path))


def parse(text: str, file: str = "<text>") -> Document:
    """Read YAML text whose root is a map."""
    source = Source.of(text, file)
    reader = _Reader(source, text)
    data = reader.run()
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "the file must be a map of keys and values"
        raise ConfigError([*reader.problems, source.problem(1, 1, what, "begin with 'schema: 1'")])
    return Document(data, file, text, reader.marks, tuple(reader.problems), frozenset(reader.broken))


def parse_value(text: str, source: Source, path: Key) -> Document:
    """Read the value of a ``--set``, whose every place is ``source``."""
    reader = _Reader(source, text, path)
    return Document(reader.run(), source.file, text, reader.marks, tuple(reader.problems), frozenset(reader.broken))


class _Reader:
    """Parser events -> data, marks and problems, in one walk."""

    def __init__(self, source: Source, text: str, path: Key = ()) -> None:
        self.source, self.text, self.root = source, text, path
        self.problems: list[Problem] = []
        self.marks: dict[Key, Place] = {}
        self.broken: set[Key] = set()
        self.values = 0

    def run(self) -> Any:
        """The root value; ``ConfigError`` for a syntax error or a limit."""
        if bad := _UNPRINTABLE.search(self.text):
            line, column = _line_of(self.text, bad.start())
            self.report(line, column, f"the character {bad[0]!r} is not allowed", "remove it")
            raise ConfigError(self.problems)
        try:
            return self.document()
        except _LimitError:
            raise ConfigError(self.problems) from None
        except yaml.MarkedYAMLError as error:
            self.syntax(error)
            raise ConfigError(self.problems) from None
        except RecursionError:
            self.report(1, 1, "is nested too deeply")
            raise ConfigError(self.problems) from None

    def report(self, line: int, column: int, message: str, remedy: str = "") -> None:
        self.problems.append(self.source.problem(line, column, message, remedy))

    def at(self, event: Any, message: str, remedy: str = "") -> None:
        self.report(*_start(event), message, remedy)

    def syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        said = f"{error.context or ''} {error.problem or ''}".strip()
        rows = self.source.lines
        row = rows[line - 1] if line <= len(rows) else ""
        here = row[column - 1 : column]
        # the mark of a missing closing bracket lies behind the last line
        if line > len(rows) or (line == len(rows) and not row and error.context_mark):
            opened = error.context_mark
            line, column = (opened.line + 1, opened.column + 1) if opened else (line, column)
        if here == "\t":
            remedy = "indent with spaces, not tabs"
        elif "token" in said:
            remedy = "quote the value"
        else:
            remedy = next((r for words, r in _REMEDIES if words in said), "")
        self.report(line, column, f"is not YAML here: {error.problem or said}", remedy)

    def document(self) -> Any:
        self.events = iter(yaml.parse(self.text, Loader=_Loader))
        data: Any = None
        seen = False
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self.at(event, "a second document begins here", "one file holds one document: remove '---'")
                    raise _LimitError
                if event.version and event.version[0] != 1:
                    self.at(event, "unknown YAML version")
                seen = True
            elif isinstance(event, yaml.NodeEvent):
                self.mark(self.root, event, event)
                data = self.value(event, self.root, 0)
        return data

    def mark(self, path: Key, key: Any, value: Any) -> None:
        self.marks[path] = Place(self.source, _start(key), _start(value))

    def value(self, event: Any, path: Key, depth: int) -> Any:
        self.values += 1
        if depth > MAX_DEPTH:
            self.at(event, f"is nested deeper than {MAX_DEPTH} levels")
            raise _LimitError
        if self.values > MAX_VALUES:
            self.at(event, f"the file holds more than {MAX_VALUES} values", "large tables belong in a CSV manifest")
            raise _LimitError
        if isinstance(event, yaml.AliasEvent):
            self.at(event, f"the alias *{event.anchor} is not used here", "write the value out, or use 'extends:'")
            self.broken.add(path)
            return None
        if event.anchor is not None:
            self.at(event, f"the anchor &{event.anchor} is not used here", "remove it")
        if event.tag is not None:
            self.at(event, f"the tag {_tag(event.tag)} is not used here", "remove it; quote the value if it is text")
            self.broken.add(path)
        if isinstance(event, yaml.ScalarEvent):
            return self.plain(event, path) if event.implicit[0] and event.tag is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path, depth)
        return self.mapping(path, depth)

    def plain(self, event: Any, path: Key) -> Any:
        try:
            return scalar(event.value)
        except _DoubtfulError as refused:
            self.at(event, *refused.args)
            self.broken.add(path)
            return event.value

    def sequence(self, path: Key, depth: int) -> list[Any]:
        result: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            here = (*path, len(result))
            self.mark(here, event, event)
            result.append(self.value(event, here, depth + 1))
        return result

    def mapping(self, path: Key, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            key = self.key(event, path, depth)
            value = next(self.events)
            if key is None:
                self.value(value, (*path, "?"), depth + 1)
                continue
            here = (*path, key)
            if key in lines:
                self.at(event, f"'{key}' is given twice", f"it stands on line {lines[key]} already: keep one of them")
                marks, broken = dict(self.marks), set(self.broken)
                self.value(value, here, depth + 1)
                self.marks, self.broken = marks, broken  # the first one counts
                continue
            lines[key] = _start(event)[0]
            self.mark(here, event, value)
            result[key] = self.value(value, here, depth + 1)
        return result

    def key(self, event: Any, path: Key, depth: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            if isinstance(event, yaml.AliasEvent):
                self.value(event, (*path, "?"), depth + 1)
            else:
                self.at(event, "a key must be text", "write 'key: value'; text with a brace or bracket needs quotes")
                self.value(event, (*path, "?"), depth + 1)
            self.broken.discard((*path, "?"))
            return None
        text = str(event.value)
        self.values += 1
        if event.anchor is not None:
            self.at(event, f"the anchor &{event.anchor} is not used here", "remove it")
        if event.tag is not None:
            self.at(event, f"the tag {_tag(event.tag)} is not used here", "remove it")
        elif event.implicit[0]:
            if text == "<<":
                self.at(event, "the merge key << is not used here", "use 'extends:', or write the keys out")
                return None
            # y and n are text as keys to every reader that matters
            if text.lower() not in {"y", "n"}:
                self.key_text(event, text)
        return text

    def key_text(self, event: Any, text: str) -> None:
        try:
            if isinstance(scalar(text), str):
                return
        except _DoubtfulError as refused:
            self.at(event, refused.args[0], f"quote it: '{text}'")
            return
        self.at(event, f"the key {text or 'null'} is not text", f"quote it: '{text}'")


def _start(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")


def _line_of(text: str, index: int) -> tuple[int, int]:
    before = text[:index]
    return before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1
