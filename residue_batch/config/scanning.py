"""From files and manifest rows to boards."""

from __future__ import annotations

import csv
import os
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from residue_batch.config.document import Source, did_you_mean
from residue_batch.config.load import is_path
from residue_batch.config.lot import PHASES, BoardShots, Finding, Lot, Scan, ShotProblem
from residue_batch.config.problems import in_order
from residue_batch.errors import ConfigError, Problem

IMAGES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
COLUMNS = ("board", "phase", "path", "sha256", "board_type")
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


class _Shot(NamedTuple):
    board: str
    phase: str
    path: Path
    sha256: str | None = None
    board_type: str | None = None


def scan(lot: Lot) -> Scan:
    """Find the shots of a lot. A board that lacks one, or has too many, is refused by itself.

    Raises ``ConfigError`` for a folder or manifest that cannot be used at all.
    """
    return _scan_pattern(lot) if lot.manifest is None else _scan_manifest(lot)


def _scan_pattern(lot: Lot) -> Scan:
    """Boards whose file names match the lot's pattern."""
    root = Path(lot.root)
    if not root.is_dir():
        problem = lot.problem(("root",), f"the folder {root} does not exist", "correct 'root:'")
        raise ConfigError(problem)
    expression, loose = compile_pattern(lot), compile_pattern(lot, r"[^/_.\-]+")
    words = lot.phases.words()
    shots, findings = [], []
    for path in _images(root / _fixed_folder(lot)):
        name = path.relative_to(root).as_posix()
        match = expression.fullmatch(name)
        phase = words.get(match["phase"].lower()) if match else None
        if match and phase:
            shots.append(_Shot(match["board"], phase, path))
        elif match := loose.fullmatch(name):
            remedy = f"phases are {', '.join(sorted(words))}; add the word to 'phases:' or move the file"
            reason = f"'{match['phase']}' is not a phase"
            findings.append(Finding("unmatched", "", (str(path),), reason, remedy))
        else:
            remedy = "rename the file, move it away, or correct 'pattern:'"
            findings.append(Finding("unmatched", "", (str(path),), f"does not match {lot.pattern}", remedy))
    return _together(lot, shots, findings)


def compile_pattern(lot: Lot, phase: str = "") -> re.Pattern[str]:
    """The lot's pattern as a regular expression on paths below its root.

    ``phase`` is what counts as a phase; default the lot's words.
    """
    pattern = lot.pattern or ""
    words = sorted(lot.phases.words(), key=len, reverse=True)
    phase = phase or "(?i:" + "|".join(re.escape(w) for w in words) + ")"
    # the shortest id, so that of two words the longer one is the phase; an id may hold the separator
    groups = {"lot": re.escape(lot.lot), "board": "[^/]+?", "phase": phase}
    seen: set[str] = set()
    result = ""
    stem, any_image = (pattern[:-2], True) if pattern.endswith(".*") else (pattern, False)
    for part in re.split(r"(\{\w+\}|\*)", stem):
        name = part[1:-1]
        if part == "*":
            result += "[^/]*"
        elif part.startswith("{") and name == "lot":
            result += groups["lot"]
        elif part.startswith("{"):
            result += f"(?P={name})" if name in seen else f"(?P<{name}>{groups[name]})"
            seen.add(name)
        else:
            result += re.escape(part)
    ends = "|".join(re.escape(s[1:]) for s in sorted(IMAGES))
    return re.compile(result + (rf"\.(?i:{ends})" if any_image else ""))


def _fixed_folder(lot: Lot) -> str:
    """The folders of the pattern before its first variable part: only this lot's are walked."""
    folders = []
    for part in (lot.pattern or "").split("/")[:-1]:
        named = part.replace("{lot}", lot.lot)
        if "{" in part.replace("{lot}", "") or "*" in part:
            break
        folders.append(named)
    return "/".join(folders)


def _images(folder: Path) -> Iterator[Path]:
    """Every photograph below a folder, in a fixed order; hidden files are not photographs."""
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGES:
                yield Path(where, name)


def _scan_manifest(lot: Lot) -> Scan:
    """Boards as a CSV manifest lists them."""
    assert lot.manifest is not None
    try:
        text = Path(lot.manifest).read_bytes().decode("utf-8-sig")
    except OSError as error:
        problem = lot.problem(("manifest",), f"{lot.manifest} cannot be read: {error.strerror or error}")
        raise ConfigError(problem) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem("is not UTF-8", file=lot.manifest, remedy="save the file as UTF-8")) from error
    shots, problems = _rows(lot, text, Source.of(text, lot.manifest))
    if problems:
        raise ConfigError(in_order(problems))
    return _together(lot, shots, [])


def _rows(lot: Lot, text: str, source: Source) -> tuple[list[_Shot], list[Problem]]:
    first = text.split("\n", 1)[0]
    delimiter = ";" if ";" in first and "," not in first else ","
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    problems: list[Problem] = []
    shots: list[_Shot] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        problems += _columns(header, source)
        if problems:
            return [], problems
        line = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                shot, wrong = _row(lot, dict(zip(header, cells, strict=False)), source, line)
                if len(cells) != len(header):
                    wrong = [source.problem(line, 1, f"has {len(cells)} cells, the header has {len(header)}")]
                problems += wrong
                shots += [shot] if shot and not wrong else []
            line = reader.line_num + 1
    except csv.Error as error:
        problems.append(source.problem(reader.line_num, 1, f"is not CSV here: {error}"))
    return shots, problems


def _columns(header: list[str], source: Source) -> list[Problem]:
    result = []
    row = source.lines[0]
    for index, name in enumerate(header):
        column = row.find(name) + 1
        if name not in COLUMNS:
            remedy = did_you_mean(name, COLUMNS)
            result.append(source.problem(1, column, f"unknown column '{name}'", remedy))
        elif name in header[:index]:
            result.append(source.problem(1, row.rfind(name) + 1, f"the column '{name}' is given twice"))
    missing = [c for c in ("board", "phase", "path") if c not in header]
    if missing:
        message = f"there is no column {', '.join(missing)}"
        result.append(source.problem(1, 1, message, f"the first line names the columns: {','.join(COLUMNS)}"))
    return result


def _row(lot: Lot, cells: dict[str, str], source: Source, line: int) -> tuple[_Shot | None, list[Problem]]:
    problems = [source.problem(line, 1, f"'{c}' is empty") for c in ("board", "phase", "path") if not cells.get(c)]
    words = lot.phases.words()
    said = cells.get("phase", "").strip()
    phase = words.get(said.lower())
    if said and phase is None:
        problems.append(source.problem(line, 1, f"'{said}' is not a phase", did_you_mean(said, words)))
    digest = cells.get("sha256", "").strip() or None
    if digest and not _DIGEST.fullmatch(digest):
        problems.append(source.problem(line, 1, "sha256 must be 64 hexadecimal digits"))
    board_type = cells.get("board_type", "").strip() or None
    if board_type and is_path(board_type):
        board_type = os.path.normpath(Path(source.folder, board_type))
    if board_type is None and lot.board_type is None:
        remedy = "fill the column board_type, or write 'board_type:' in the lot"
        problems.append(source.problem(line, 1, "no board type is given", remedy))
    if problems or phase is None:
        return None, problems
    path = Path(os.path.normpath(Path(lot.root, cells["path"])))
    return _Shot(cells["board"], phase, path, digest and digest.lower(), board_type), []


def _together(lot: Lot, shots: list[_Shot], findings: list[Finding]) -> Scan:
    by_board: dict[str, dict[str, list[_Shot]]] = defaultdict(lambda: {p: [] for p in PHASES})
    used: dict[Path, set[tuple[str, str]]] = defaultdict(set)
    for shot in shots:
        by_board[shot.board][shot.phase].append(shot)
        used[shot.path].add((shot.board, shot.phase))
    boards = []
    for board in sorted(by_board):
        phases = by_board[board]
        kind, problem = _judge(phases, used)
        given = [s for p in PHASES for s in phases[p]]
        single = {p: phases[p][0] if len(phases[p]) == 1 else None for p in PHASES}
        before, after = single["before"], single["after"]
        boards.append(
            BoardShots(
                board,
                next((s.board_type for s in given if s.board_type), lot.board_type or ""),
                lot.lot,
                before and before.path,
                after and after.path,
                before and before.sha256,
                after and after.sha256,
                problem,
            )
        )
        files = tuple(str(s.path) for s in given)
        said = (problem.message, problem.remedy) if problem else ("", "")
        findings.append(Finding(kind, board, files, *said))
    return Scan(tuple(boards), tuple(sorted(findings, key=lambda f: (f.board, f.kind, f.files))))


Kind = Literal["matched", "unpaired", "ambiguous", "duplicate"]


def _judge(phases: dict[str, list[_Shot]], used: dict[Path, set[tuple[str, str]]]) -> tuple[Kind, ShotProblem | None]:
    given = [s for p in PHASES for s in phases[p]]
    for shot in given:
        others = sorted(used[shot.path] - {(shot.board, shot.phase)})
        if others:
            board, phase = others[0]
            message = f"{shot.path.name} is also the {phase} shot of board {board}"
            return "duplicate", ShotProblem("duplicate", message, "each shot belongs to one board and one phase")
    for phase in PHASES:
        several = phases[phase]
        if len(several) > 1:
            names = ", ".join(s.path.name for s in several)
            if len({s.path for s in several}) == 1 or _same_digest(several):
                message = f"the {phase} shot is listed {len(several)} times: {names}"
                return "duplicate", ShotProblem("duplicate", message, "keep one of them")
            message = f"{len(several)} {phase} shots: {names}"
            return "ambiguous", ShotProblem("ambiguous", message, "keep the one that counts")
    if _same_digest(given) and len(given) > 1:
        message = "before and after have the same sha256: one photograph twice"
        return "duplicate", ShotProblem("duplicate", message, "list the right file")
    if len({s.board_type for s in given if s.board_type}) > 1:
        return "ambiguous", ShotProblem("ambiguous", "its rows name different board types", "name one board type")
    for phase in PHASES:
        if not phases[phase]:
            other = given[0].path.name
            return "unpaired", ShotProblem("unpaired", f"there is no {phase} shot, only {other}", "add the shot")
        path = phases[phase][0].path
        if not path.exists():
            message = f"the {phase} shot {path} does not exist"
            return "unpaired", ShotProblem("missing_file", message, "correct the path, or add the file")
    return "matched", None


def _same_digest(shots: list[_Shot]) -> bool:
    digests = {s.sha256 for s in shots}
    return len(digests) == 1 and None not in digests
