"""The report page: what is on it, in which order; how it looks is the template's.

The page answers, from the top: did the lot pass, how much was removed, which
boards need somebody. Everything is inside the one file, nothing is loaded.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from residue_batch.report import meanings
from residue_batch.report.chart import Chart, chart_of
from residue_batch.results import AT_LEAST, NOT_CLAIMED, WHOLE, flag_names, reductions, words
from residue_batch.statistics import ALL_TYPES, Verdict, verdict_of

if TYPE_CHECKING:
    import xarray as xr

    from residue_batch.config import Finding

PICTURES = 24
"""How many of the worst boards are shown with a picture."""
_PICTURE_BYTES = 10_000_000
_NAMED = 30
_MORE_COLUMNS = 3
_SIGNATURES = ((b"RIFF", "image/webp"), (b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"))
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_TROUBLE = ("refused", "unseen", "increase")


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    Parameters
    ----------
    title, lot, workflow
        Names.
    dataset, summary, verdicts
        Of ``results.dataset``, ``statistics.lot_summary`` and ``statistics.judge``.
    gates
        Board type -> gate -> its value.
    findings
        What the scan of the lot noticed; matched boards are left out.
    provenance
        Versions and hashes, in the order they are shown.
    configs
        File name -> resolved YAML.
    pictures
        Board -> WebP, PNG or JPEG, as bytes or file: before | after | overlay, side by side.
        Ask ``worst_boards`` which are needed.
    legend
        (meaning, ``#rrggbb``) of the overlay's colours.
    footer
        One line; the only place for a clock or a host.
    """

    title: str
    lot: str
    workflow: str
    dataset: xr.Dataset
    summary: xr.Dataset
    verdicts: Sequence[Verdict] = ()
    gates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, bytes | Path] = field(default_factory=dict)
    legend: Sequence[tuple[str, str]] = ()
    footer: str = ""


@dataclass(frozen=True)
class Column:
    """A column of numbers in the table of boards."""

    name: str
    label: str
    title: str
    digits: int
    phase: str = ""


@dataclass(frozen=True)
class Row:
    """A board in the report."""

    index: int
    board: str
    board_type: str
    verdict: str
    why: tuple[str, ...]
    failed: frozenset[str]
    status: str
    flags: tuple[str, ...]
    reason: str
    message: str
    remedy: str
    observable: float
    value: float
    at_least: float
    numbers: tuple[float, ...]
    regions: tuple[tuple[str, str, float], ...]

    @property
    def needs(self) -> bool:
        """Whether somebody has to look at this board."""
        return self.verdict == "fail" or self.status in _TROUBLE


@dataclass(frozen=True)
class Group:
    """Boards that need the same thing."""

    what: str
    remedy: str
    rows: tuple[Row, ...]


def worst_boards(dataset: xr.Dataset, verdicts: Iterable[Verdict], count: int = PICTURES) -> list[str]:
    """The boards that a report shows with a picture: failed first, then by reduction."""
    rows = _rows(dataset, _primary(dataset), (), tuple(verdicts), frozenset())
    return [row.board for row in _pictured(rows)[:count]]


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
    primary = _primary(ds)
    columns = _columns(ds, primary, verdicts)
    common = _common_flags(ds)
    rows = _rows(ds, primary, columns, verdicts, common)
    environment = _environment()
    script = _source(environment, "sort.js")
    return environment.get_template("report.html.j2").render(
        data=data,
        primary=primary,
        columns=columns,
        rows=rows,
        types=sorted({row.board_type for row in rows}),
        headline=_headline(rows, verdicts),
        groups=_groups(rows),
        named=_NAMED,
        lot=_lot_numbers(data.summary, primary, WHOLE, ALL_TYPES) if rows else {},
        parts=_parts(data.summary, primary),
        cards=[(row, _picture(ds, data.pictures, row.board)) for row in _within_budget(rows, data.pictures)],
        chart=_chart(rows, primary, verdicts),
        limits=_limits(verdicts),
        findings=[f for f in data.findings if f.kind != "matched"],
        common=sorted(common),
        meanings=meanings,
        used={row.status for row in rows},
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
    environment.filters |= {"number": _number, "file_name": lambda path: re.split(r"[/\\]", path)[-1]}
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0].strip()


def _number(value: float, digits: int = 1) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    # no "-0.0", and a true minus sign so that it cannot break from its number
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")  # noqa: RUF001


def _primary(ds: xr.Dataset) -> str:
    """The reduction the report is about; "" where nothing is reducible."""
    found = reductions(ds)
    return str(ds.attrs["primary_variable"] or (found[0] if found else ""))


def _columns(ds: xr.Dataset, primary: str, verdicts: tuple[Verdict, ...]) -> tuple[Column, ...]:
    """Before, after and reduction of the primary number; then what is judged; then other reductions."""
    found = []
    if primary:
        base = str(ds[primary].attrs["reduction_of"])
        about = str(ds[base].attrs["long_name"])
        found = [Column(base, f"{base} {phase}", f"{about}, {phase}", 4, phase) for phase in ("before", "after")]
        found.append(Column(primary, "reduction, %", f"{primary}: share of the {base} that was removed", 1))
    judged = [v.variable for v in verdicts if "[" not in v.variable]
    plain = [name for name in reductions(ds) if set(ds[name].dims) == {"board", "region"}]
    for name in dict.fromkeys([*judged, *plain[: _MORE_COLUMNS + 1]]):
        phase = "after" if "phase" in ds[name].dims else ""
        if not any((column.name, column.phase) == (name, phase) for column in found):
            label = f"{name} {phase}".strip().replace("_pct", ", %").replace("_", " ")
            digits = 1 if ds[name].attrs.get("units") == "%" else 4
            found.append(Column(name, label, f"{name}: {ds[name].attrs['long_name']}", digits, phase))
    return tuple(found)


def _common_flags(ds: xr.Dataset) -> frozenset[str]:
    """Flags that every measured board carries: said once, not on each row."""
    names = flag_names(ds["flags"].sel(region=WHOLE))
    sets = [set(n.split()) for n, o in zip(names, words(ds["outcome"]), strict=True) if o == "measured"]
    return frozenset(set.intersection(*sets)) if sets else frozenset()


def _rows(
    ds: xr.Dataset, primary: str, columns: tuple[Column, ...], verdicts: tuple[Verdict, ...], common: frozenset[str]
) -> list[Row]:
    """Every board, those that need somebody first, then from the worst to the best."""
    judged = defaultdict(list)
    for verdict in verdicts:
        if verdict.board:
            judged[verdict.board].append(verdict)
    here, count = ds.sel(region=WHOLE), ds.sizes["board"]
    nothing = [math.nan] * count
    value = here[primary].values.tolist() if primary else nothing
    at_least = here[AT_LEAST].values.tolist() if AT_LEAST in here else nothing
    numbers = [
        (here[c.name].sel(phase=c.phase) if c.phase else here[c.name]).values.tolist() for c in columns
    ]  # fmt: skip
    text = {name: ds[name].values.tolist() for name in ("board", "board_type", "reason", "message", "remedy")}
    status, flags = words(here["status"]).tolist(), flag_names(here["flags"]).tolist()
    observable = here["observable_pct"].values.tolist()
    regions = _region_values(ds, primary)
    rows = []
    for i, board in enumerate(text["board"]):
        own = judged[board]
        row = Row(
            index=i,
            board=board,
            board_type=text["board_type"][i],
            verdict=verdict_of(own) if own else "",
            why=tuple(f"{v.variable}: {v.why}" for v in own if v.verdict == "fail"),
            failed=frozenset(v.variable for v in own if v.verdict == "fail"),
            status=status[i],
            flags=tuple(f for f in flags[i].split() if f not in common),
            reason=text["reason"][i],
            message=text["message"][i],
            remedy=text["remedy"][i],
            observable=observable[i],
            value=value[i],
            at_least=at_least[i],
            numbers=tuple(column[i] for column in numbers),
            regions=regions[i],
        )
        rows.append(row)
    return sorted(rows, key=_badness)


def _badness(row: Row) -> tuple[Any, ...]:
    rank = 0 if row.verdict == "fail" else 1 if row.status in _TROUBLE else 2
    return rank, row.value if math.isfinite(row.value) else math.inf, row.board, row.index


def _region_values(ds: xr.Dataset, primary: str) -> list[tuple[tuple[str, str, float], ...]]:
    """Per board: (region, status, reduction) of every region but the whole."""
    names = [r for r in ds["region"].values.tolist() if r != WHOLE]
    if not names or not primary:
        return [()] * ds.sizes["board"]
    part = ds.sel(region=names)
    status, values = words(part["status"]).tolist(), part[primary].transpose("board", "region").values.tolist()
    return [
        tuple((n, s, v) for n, s, v in zip(names, status[i], values[i], strict=True) if s != "no_region")
        for i in range(ds.sizes["board"])
    ]


def _headline(rows: list[Row], verdicts: tuple[Verdict, ...]) -> dict[str, Any]:
    """Did the lot pass: a word, its tone and the sentence behind it."""
    failed = [row for row in rows if row.verdict == "fail"]
    lot_failed = [v for v in verdicts if not v.board and v.verdict == "fail"]
    missing = [row for row in rows if row.status in ("refused", "unseen")]
    judged = [row for row in rows if row.verdict in ("pass", "fail")]
    says = []
    if failed:
        says.append(f"{_boards(len(failed))} of {len(judged)} judged {'misses' if len(failed) == 1 else 'miss'} a limit.")
    says += [f"The lot's {v.of} {v.variable} misses its limit: {v.why}." for v in lot_failed]
    if judged and not failed and not lot_failed:
        says.append(f"Every judged board meets its limits ({len(judged)} of {len(rows)}).")
    if missing:
        says.append(f"{_boards(len(missing))} {'has' if len(missing) == 1 else 'have'} no number.")
    if failed or lot_failed:
        word, tone = "Failed", "bad"
    elif not verdicts:
        word, tone = "Not judged", "open"
        says.insert(0, "The workflow sets no limits.")
    elif not judged:
        word, tone = "Not judged", "open"
        says.insert(0, "No board has a number that a limit could judge.")
    else:
        word, tone = ("Passed so far", "open") if missing else ("Passed", "good")
    return {"word": word, "tone": tone, "says": " ".join(says), "needs": sum(row.needs for row in rows)}


def _boards(count: int) -> str:
    return f"{count} board{'' if count == 1 else 's'}"


def _groups(rows: list[Row]) -> list[Group]:
    """What needs somebody, by what it needs."""
    found = []
    if failed := tuple(row for row in rows if row.verdict == "fail"):
        found.append(Group("miss a limit", "clean again, or look at the pictures below", failed))
    rises = tuple(row for row in rows if row.status == "increase" and row.verdict != "fail")
    if rises:
        found.append(Group("have more residue after than before", "check that before and after are not swapped", rises))
    refused = defaultdict(list)
    for row in rows:
        if row.status == "refused" and row.verdict != "fail":
            refused[row.reason, row.remedy].append(row)
    by_size = sorted(refused.items(), key=lambda item: (-len(item[1]), item[0]))
    found += [Group(f"refused: {reason}", remedy, tuple(members)) for (reason, remedy), members in by_size]
    if unseen := tuple(row for row in rows if row.status == "unseen" and row.verdict != "fail"):
        found.append(Group("cannot be seen", "photograph again without glare", unseen))
    return found


def _lot_numbers(summary: xr.Dataset, primary: str, region: str, kind: str) -> dict[str, Any]:
    """The lot's numbers of one region and board type, over the first lot of the summary."""
    here = summary.isel(lot=0).sel(region=region, board_type=kind)
    found: dict[str, Any] = {str(n): int(here[n]) for n in here.data_vars if str(n).split("_")[0] == "n"}
    for label in ("pooled", "mean", "median", "p05", "p25", "p75", "p95"):
        name = f"{primary}_{label}"
        found[label] = float(here[name]) if name in here and not here[name].dims else math.nan
    base = f"{primary.removesuffix('_reduction_pct')}_pooled"
    for phase in ("before", "after"):
        found[phase] = float(here[base].sel(phase=phase)) if base in here and here[base].ndim == 1 else math.nan
    return found


def _parts(summary: xr.Dataset, primary: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(board type, region, numbers): all types together only where that says something else."""
    if not summary.sizes["lot"]:
        return []
    kinds = summary["board_type"].values.tolist()
    found = [
        (kind, region, _lot_numbers(summary, primary, region, kind))
        for kind in (kinds[1:] if len(kinds) == 2 else kinds)  # noqa: PLR2004  (all) and the only one
        for region in summary["region"].values.tolist()
    ]
    return [part for part in found if part[2]["n"]]


def _pictured(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.status != "refused"]


def _within_budget(rows: list[Row], pictures: Mapping[str, bytes | Path]) -> list[Row]:
    """The worst boards that have a picture, as far as the file may grow."""
    found, total = [], 0
    for row in _pictured(rows):
        given = pictures.get(row.board)
        if given is None or (isinstance(given, Path) and not given.is_file()):
            continue
        total += given.stat().st_size if isinstance(given, Path) else len(given)
        if len(found) == PICTURES or total > _PICTURE_BYTES:
            break
        found.append(row)
    return found


def _picture(ds: xr.Dataset, pictures: Mapping[str, bytes | Path], board: str) -> str:
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
        row = found.setdefault(v.variable, {"min": v.min, "max": v.max, "pass": 0, "fail": 0, "not_judged": 0, "lot": []})
        if v.board:
            row[v.verdict] += 1
        else:
            row["lot"].append(v)
    return [{"variable": name, **row} for name, row in found.items()]
