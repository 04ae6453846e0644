"""A lot: which photographs belong to which board and phase."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from residue_batch.config.model import Configuration, Frozen, LotFlatField, Mistake, Title, canonical

PHASES = ("before", "after")
Phase = Literal["before", "after"]
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}|([{}])")

Words = tuple[Annotated[str, Field(min_length=1)], ...]


class Phases(Frozen):
    """The words that mean a phase in file names and manifests, whatever their case."""

    before: Words = ("before",)
    after: Words = ("after",)

    def words(self) -> dict[str, str]:
        """Each word, in lower case, and its phase."""
        return {word.lower(): phase for phase in PHASES for word in (*getattr(self, phase), phase)}


class Lot(Configuration):
    """The boards of one production lot, found by a file-name pattern or listed in a manifest."""

    file_kind: ClassVar[str] = "lot"
    paths: ClassVar[tuple[str, ...]] = ("root", "manifest", "board_type", "flat_field")

    lot: Title
    """The name of the lot."""
    board_type: str | None = None
    """The board type of every board; a manifest may give one per board instead."""
    root: str = "."
    """The folder that file names start from; default the folder of the manifest, or of this file."""
    pattern: str | None = None
    """Where the photographs lie: `{lot}/{board}_{phase}.*`; `*` is any text without a slash."""
    manifest: str | None = None
    """A CSV file with the columns board, phase, path and optionally sha256, board_type."""
    flat_field: LotFlatField | None = None
    """A photograph of an even white card in the light of this lot, or one each for before, after."""
    phases: Phases = Phases()
    """Other words for before and after."""

    def identity(self) -> str:
        """Canonical text without the folders of this machine."""
        return canonical(self.model_copy(update={"root": ".", "manifest": None, "flat_field": None, "description": ""}))

    @classmethod
    def mistakes(cls, data: Mapping[str, Any]) -> list[Mistake]:
        return [*_source(data), *_pattern(data), *_words(data)]


def _source(data: Mapping[str, Any]) -> Iterator[Mistake]:
    pattern, manifest = data.get("pattern"), data.get("manifest")
    if pattern is None and manifest is None:
        remedy = "write \"pattern: '{board}_{phase}.*'\" or 'manifest: boards.csv'"
        yield Mistake((), "the photographs are not named", remedy, "key")
    if pattern is not None and manifest is not None:
        yield Mistake(("manifest",), "give a pattern or a manifest, not both", "remove one of them", "key")
    if manifest is None and data.get("board_type") is None:
        yield Mistake((), "'board_type' is missing", "only a manifest can give it board by board", "key")


def _pattern(data: Mapping[str, Any]) -> Iterator[Mistake]:
    pattern = data.get("pattern")
    if not isinstance(pattern, str):
        return
    known = ("lot", "board", "phase")
    names = [m[1] for m in _PLACEHOLDER.finditer(pattern) if m[2] is None]
    stray = next((m for m in _PLACEHOLDER.finditer(pattern) if m[2]), None)
    if stray or any(n not in known for n in names):
        wrong = stray[0] if stray else "{" + next(n for n in names if n not in known) + "}"
        yield Mistake(("pattern",), f"{wrong} has no meaning here", "known: {lot}, {board}, {phase}, *")
    missing = [f"{{{n}}}" for n in ("board", "phase") if n not in names]
    if missing:
        yield Mistake(("pattern",), f"the pattern has no {' and no '.join(missing)}", "such as '{board}_{phase}.*'")
    if "}{" in pattern:
        yield Mistake(("pattern",), "two placeholders touch", "put something between them, such as '_'")
    if pattern.startswith("/") or "\\" in pattern or ".." in pattern.split("/"):
        yield Mistake(("pattern",), "the pattern starts at 'root' and uses '/'", "put the folder into 'root:'")


def _words(data: Mapping[str, Any]) -> Iterator[Mistake]:
    phases = data.get("phases")
    if not isinstance(phases, dict):
        return
    seen = {"before": "before", "after": "after"}
    for phase in PHASES:
        words = phases.get(phase)
        for index, word in enumerate(words if isinstance(words, list) else ()):
            if isinstance(word, str) and seen.setdefault(word.lower(), phase) != phase:
                yield Mistake(("phases", phase, index), f"'{word}' would mean both phases")


class ShotProblem(NamedTuple):
    """Why a board cannot be measured: the row of a refused board."""

    reason: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class BoardShots:
    """The two photographs of one board, or why there are not two."""

    board: str
    board_type: str
    lot: str
    before: Path | None = None
    after: Path | None = None
    sha256_before: str | None = None
    sha256_after: str | None = None
    problem: ShotProblem | None = None

    def shot(self, phase: Phase) -> Path | None:
        return self.before if phase == "before" else self.after

    def sha256(self, phase: Phase) -> str | None:
        """The digest a manifest promises; None: not known."""
        return self.sha256_before if phase == "before" else self.sha256_after


@dataclass(frozen=True)
class Finding:
    """What a scan says about one board, or about one file that belongs to none."""

    kind: Literal["matched", "unpaired", "ambiguous", "duplicate", "unmatched", "left_out"]
    board: str
    files: tuple[str, ...]
    reason: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Scan:
    """Every board of a lot, sorted by its id, and everything noticed on the way."""

    boards: tuple[BoardShots, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> tuple[BoardShots, ...]:
        """The boards with exactly two shots."""
        return tuple(b for b in self.boards if b.problem is None)
