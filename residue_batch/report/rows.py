"""What a report says about each board and about the lot, as plain values."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from residue_batch.results import WHOLE, flag_names, reductions, words
from residue_batch.statistics import Verdict, verdict_of
from residue_batch.variables import AT_LEAST

if TYPE_CHECKING:
    import xarray as xr

_MORE_COLUMNS = 3
_LABELS = ("mean", "median", "p05", "p25", "p75", "p95")
_OTHERS = 3
"""So many other boards say how boards of a lot are cleaned."""
_TROUBLE = ("refused", "unseen", "increase")


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
    exchanged: bool
    reason: str
    message: str
    remedy: str
    observable: float
    value: float
    at_least: float
    low: float
    high: float
    shares: tuple[tuple[str, float], ...]
    numbers: tuple[float, ...]
    regions: tuple[tuple[str, str, float], ...]

    @property
    def needs(self) -> bool:
        """Whether somebody has to look at this board."""
        return self.verdict == "fail" or self.status in _TROUBLE or self.exchanged

    @property
    def turned_round(self) -> float:
        """The reduction, per cent, if the two phases were exchanged."""
        return 100 - 100 / (1 - self.value / 100) if self.value < 100 else math.nan


@dataclass(frozen=True)
class Group:
    """Boards that need the same thing."""

    what: str
    remedy: str
    rows: tuple[Row, ...]


def primary_of(ds: xr.Dataset) -> str:
    """The reduction the report is about; "" where nothing is reducible."""
    found = reductions(ds)
    return str(ds.attrs["primary_variable"] or (found[0] if found else ""))


def columns_of(ds: xr.Dataset, primary: str, verdicts: tuple[Verdict, ...]) -> tuple[Column, ...]:
    """Before, after and reduction of the primary number; then what is judged; then other reductions."""
    found: list[Column] = []
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


def common_flags(ds: xr.Dataset) -> frozenset[str]:
    """Flags that every measured board carries: said once, not on each row."""
    names = flag_names(ds["flags"].sel(region=WHOLE))
    sets = [set(n.split()) for n, o in zip(names, words(ds["outcome"]), strict=True) if o == "measured"]
    return frozenset(set.intersection(*sets)) if sets else frozenset()


def rows_of(
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
    ends = [here[f"{primary}_{end}"].values.tolist() if primary else nothing for end in ("low", "high")]
    shares = _shares(here, primary, count)
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
            exchanged="phases_may_be_exchanged" in flags[i].split(),
            reason=text["reason"][i],
            message=text["message"][i],
            remedy=text["remedy"][i],
            observable=observable[i],
            value=value[i],
            at_least=at_least[i],
            low=ends[0][i],
            high=ends[1][i],
            shares=shares[i],
            numbers=tuple(column[i] for column in numbers),
            regions=regions[i],
        )
        rows.append(row)
    return sorted(rows, key=_badness)


def _badness(row: Row) -> tuple[Any, ...]:
    rank = 0 if row.verdict == "fail" else 1 if row.status in _TROUBLE else 2
    return rank, row.value if math.isfinite(row.value) else math.inf, row.board, row.index


def _shares(here: xr.Dataset, primary: str, count: int) -> list[tuple[tuple[str, float], ...]]:
    """Per board: (source, per cent of the variance), the largest first; nothing without an interval."""
    name = f"{primary}_share"
    if not primary or name not in here:
        return [()] * count
    sources = here["source"].values.tolist()
    return [
        tuple(sorted(((s, v) for s, v in zip(sources, row, strict=True) if v >= 0.5), key=lambda part: -part[1]))
        for row in here[name].transpose("board", "source").values.tolist()
    ]


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


def headline_of(rows: list[Row], verdicts: tuple[Verdict, ...], limits: list[dict[str, Any]]) -> dict[str, Any]:
    """Did the lot pass: a word, its tone and the sentence behind it."""
    failed = [row for row in rows if row.verdict == "fail"]
    lot_failed = [v for v in verdicts if not v.board and v.verdict == "fail"]
    missing = [row for row in rows if row.status in ("refused", "unseen")]
    judged = [row for row in rows if row.verdict in ("pass", "fail")]
    says = []
    if failed:
        says.append(
            f"{_boards(len(failed))} of {len(judged)} judged {'misses' if len(failed) == 1 else 'miss'} a limit."
        )
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
    if len(limits) == 1:
        says.append(f"The limit: {limits[0]['variable']} {limits[0]['must']}.")
    return {"word": word, "tone": tone, "says": " ".join(says), "needs": sum(row.needs for row in rows)}


def _boards(count: int) -> str:
    return f"{count} board{'' if count == 1 else 's'}"


def groups_of(rows: list[Row]) -> list[Group]:
    """What needs somebody, by what it needs."""
    found: list[Group] = []
    like_others = tuple(row for row in rows if row.exchanged and row.status == "increase" and _like_others(row, rows))
    if like_others:
        text = "with more residue after than before, and read the other way round reduced as the other boards are"
        found.append(Group(text, "before and after are most likely exchanged: look at both photographs", like_others))
    clocked = tuple(row for row in rows if row.exchanged and row.status != "increase" and row.verdict != "fail")
    if clocked:
        remedy = "check the file names of the two phases, or the camera's clock"
        found.append(Group("whose after-shot was taken first, by the camera's clock", remedy, clocked))
    if rises := tuple(row for row in rows if row.status == "increase" and row not in like_others):
        text = "with more residue after than before"
        found.append(Group(text, "check that before and after are not swapped, then the cleaner", rises))
    if failed := tuple(row for row in rows if row.verdict == "fail" and row.status != "increase"):
        found.append(Group("beyond a limit", "look at the pictures below, then clean again", failed))
    refused = defaultdict(list)
    for row in rows:
        if row.status == "refused" and row.verdict != "fail":
            refused[row.reason, row.remedy].append(row)
    by_size = sorted(refused.items(), key=lambda item: (-len(item[1]), item[0]))
    found += [Group(f"refused: {reason}", remedy, tuple(members)) for (reason, remedy), members in by_size]
    if unseen := tuple(row for row in rows if row.status == "unseen" and row.verdict != "fail"):
        found.append(Group("where nothing can be seen", "photograph again without glare", unseen))
    return found


def _like_others(row: Row, rows: list[Row]) -> bool:
    """Whether the board, its phases exchanged, would lie among the other boards of its type."""
    others = [r.value for r in rows if r.board_type == row.board_type and r.status != "increase" and r.value > 0]
    return len(others) >= _OTHERS and min(others) <= row.turned_round <= max(others)


def lot_numbers(summary: xr.Dataset, primary: str, region: str, kind: str) -> dict[str, Any]:
    """The lot's numbers of one region and board type, over the first lot of the summary."""
    here = summary.isel(lot=0).sel(region=region, board_type=kind)
    found: dict[str, Any] = {str(n): int(here[n]) for n in here.data_vars if str(n).split("_")[0] == "n"}
    for label in ("pooled", "pooled_low", "pooled_high", "pooled_sampling_low", "pooled_sampling_high", *_LABELS):
        name = f"{primary}_{label}"
        found[label] = float(here[name]) if name in here and not here[name].dims else math.nan
    numbers = here.get(f"{primary}_n")
    found["numbers"] = found["n"] if numbers is None or numbers.dims else int(numbers)
    base = f"{primary.removesuffix('_reduction_pct')}_pooled"
    for phase in ("before", "after"):
        found[phase] = float(here[base].sel(phase=phase)) if base in here and here[base].ndim == 1 else math.nan
    return found


def parts_of(summary: xr.Dataset, primary: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(board type, region, numbers): all types together only where that says something else."""
    if not summary.sizes["lot"]:
        return []
    kinds = summary["board_type"].values.tolist()
    found = [
        (kind, region, lot_numbers(summary, primary, region, kind))
        for kind in (kinds[1:] if len(kinds) == 2 else kinds)  # "(all)" and the only one
        for region in summary["region"].values.tolist()
    ]
    return [part for part in found if part[2]["n"]]


def pictured(rows: list[Row]) -> list[Row]:
    """Rows of boards that were measured, the worst first."""
    return [row for row in rows if row.status != "refused"]
