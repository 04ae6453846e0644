"""The report page: what is on it, in which order; how it looks is the template's.

The page answers, from the top: did the lot pass, how much was removed, which
boards need somebody. Everything is inside the one file, nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from residue_batch.picture import HIDDEN, NEW, REMOVED, RESIDUE
from residue_batch.report import meanings
from residue_batch.report.chart import Chart, chart_of
from residue_batch.report.rows import (
    Row,
    columns_of,
    common_flags,
    groups_of,
    headline_of,
    lot_numbers,
    parts_of,
    pictured,
    primary_of,
    rows_of,
)
from residue_batch.results import NOT_CLAIMED, WHOLE
from residue_batch.statistics import ALL_TYPES, Verdict

if TYPE_CHECKING:
    import xarray as xr

    from residue_batch.config import Finding

PICTURES = 24
"""How many of the worst boards are shown with a picture."""
_PICTURE_BYTES = 10_000_000
_NAMED = 30
_SIGNATURES = ((b"RIFF", "image/webp"), (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
LEGEND = tuple(
    (text, f"#{red:02x}{green:02x}{blue:02x}")
    for text, (red, green, blue) in (
        ("residue that remains", RESIDUE),
        ("residue that is gone", REMOVED),
        ("residue that is new", NEW),
        ("hidden: not counted", HIDDEN),
    )
)
"""The colours of the overlay."""


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    Parameters
    ----------
    dataset, summary, verdicts
        Of ``results.dataset``, ``statistics.lot_summary`` and ``statistics.judge``.
        The dataset's attributes ``title`` and ``workflow`` are shown.
    findings
        What the scan of the lot noticed; matched boards are left out.
    pictures
        Board -> WebP, PNG or JPEG, as bytes or file: before | after | overlay, side by side.
        Only those of ``worst_boards`` are read; a file that is not there is left out.
    provenance
        Versions and hashes, in the order they are shown; may be nested.
    configs
        File name -> resolved YAML.
    gates
        Board type -> gate -> its value.
    legend
        (meaning, ``#rrggbb``) of the overlay's colours.
    footer
        One line; the only place for a clock or a host.
    """

    dataset: xr.Dataset
    summary: xr.Dataset
    verdicts: Sequence[Verdict] = ()
    findings: Sequence[Finding] = ()
    pictures: Mapping[str, bytes | Path] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    legend: Sequence[tuple[str, str]] = LEGEND
    footer: str = ""


def worst_boards(dataset: xr.Dataset, verdicts: Iterable[Verdict], count: int = PICTURES) -> list[str]:
    """The boards that a report shows with a picture: failed first, then by reduction."""
    rows = rows_of(dataset, primary_of(dataset), (), tuple(verdicts), frozenset())
    return [row.board for row in pictured(rows)[:count]]


def render(data: ReportData) -> str:
    """The page. The same data give the same text.

    Raises
    ------
    ValueError
        If a colour of the legend is not written ``#rrggbb``.
    """
    for _, colour in data.legend:
        if not _COLOUR.fullmatch(colour):
            raise ValueError(f"{colour!r} is not a colour; write it as '#ff00aa'")
    ds, verdicts = data.dataset, tuple(data.verdicts)
    primary = primary_of(ds)
    columns = columns_of(ds, primary, verdicts)
    common = common_flags(ds)
    rows = rows_of(ds, primary, columns, verdicts, common)
    limits = _limits(verdicts)
    environment = _environment()
    script = _source(environment, "sort.js")
    return environment.get_template("report.html.j2").render(
        data=data,
        name=", ".join(data.summary["lot"].values.tolist()) or "without boards",
        provenance=_flat(data.provenance),
        primary=primary,
        columns=columns,
        rows=rows,
        types=sorted({row.board_type for row in rows}),
        headline=headline_of(rows, verdicts, limits),
        groups=groups_of(rows),
        named=_NAMED,
        lot=lot_numbers(data.summary, primary, WHOLE, ALL_TYPES) if rows else {},
        parts=parts_of(data.summary, primary),
        cards=[(row, _picture(data.pictures, row.board)) for row in _within_budget(rows, data.pictures)],
        chart=_chart(rows, primary, verdicts),
        limits=limits,
        findings=[f for f in data.findings if f.kind != "matched"],
        common=sorted(common),
        meanings=meanings,
        used={row.status for row in rows} | {status for row in rows for _, status, _ in row.regions},
        flagged={f for row in rows for f in row.flags} | common,
        not_claimed=NOT_CLAIMED,
        script=Markup(script),  # noqa: S704  our own file
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@cache
def _environment() -> Environment:
    loader = PackageLoader("residue_batch", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "ends": _ends, "short": _short}
    environment.filters["file_name"] = lambda path: re.split(r"[/\\]", path)[-1]
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _number(value: float, digits: int = 1) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    # no "-0.0", and a true minus sign so that it cannot break from its number
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def _ends(low: float, high: float, digits: int = 1) -> str:
    """An interval, as it stands behind its number; nothing where there is none."""
    if not math.isfinite(low + high):
        return ""
    dash = "–" if low >= 0 and high >= 0 else " to "
    return f"({_number(low, digits)}{dash}{_number(high, digits)})"


def _short(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested values under dotted names."""
    found: dict[str, str] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {f"{above}{name}": str(value)}
    return found


def _within_budget(rows: list[Row], pictures: Mapping[str, bytes | Path]) -> list[Row]:
    """The worst boards that have a picture, as far as the file may grow."""
    found: list[Row] = []
    total = 0
    for row in pictured(rows):
        given = pictures.get(row.board)
        if given is None or (isinstance(given, Path) and not given.is_file()):
            continue
        total += given.stat().st_size if isinstance(given, Path) else len(given)
        if len(found) == PICTURES or total > _PICTURE_BYTES:
            break
        found.append(row)
    return found


def _picture(pictures: Mapping[str, bytes | Path], board: str) -> str:
    given = pictures[board]
    content = given.read_bytes() if isinstance(given, Path) else given
    kind = next((kind for start, kind in _SIGNATURES if content.startswith(start)), "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _chart(rows: list[Row], primary: str, verdicts: tuple[Verdict, ...]) -> Chart | None:
    limits = {x for v in verdicts if v.variable == primary for x in (v.min, v.max) if x is not None}
    failed = [row.value for row in rows if math.isfinite(row.value) and primary in row.failed]
    others = [row.value for row in rows if math.isfinite(row.value) and primary not in row.failed]
    return chart_of(others, failed, sorted(limits)) if others or failed else None


def _limits(verdicts: tuple[Verdict, ...]) -> list[dict[str, Any]]:
    """One row per limit: how many boards met it, and the lot's own number."""
    found: dict[str, dict[str, Any]] = {}
    for v in verdicts:
        start = {"must": _must(v.min, v.max), "pass": 0, "fail": 0, "not_judged": 0, "lot": []}
        row = found.setdefault(v.variable, start)
        if v.board:
            row[v.verdict] += 1
        else:
            row["lot"].append(v)
    return [{"variable": name, **row} for name, row in found.items()]


def _must(low: float | None, high: float | None) -> str:
    ends = ("at least", low), ("at most", high)
    return " and ".join(f"{word} {_plain(end)}" for word, end in ends if end is not None)


def _plain(value: float) -> str:
    return f"{value:g}".replace("-", "−")
