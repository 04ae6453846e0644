"""What a run came to: its state, the statistics of the lot, its boards, the verdict."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch.cli.show import complain, load, number, out, plural, ranged, say, table
from residue_batch.variables import AT_LEAST

if TYPE_CHECKING:
    import xarray as xr

SHOWN = 20
"""Boards in the table; the rest is in boards.csv and in the report."""


def summary_of(dataset: xr.Dataset, folder: Path) -> dict[str, Any]:
    """run.json, the statistics per lot and the boards' rows, as plain values."""
    from residue_batch import api, results
    from residue_batch.statistics.lot import lot_summary

    state: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    verdicts = api.verdicts(folder, dataset)
    primary = str(dataset.attrs.get("primary_variable", ""))
    return {
        **state,
        "folder": str(folder),
        "report": str(folder / "report.html"),
        "primary_variable": primary,
        "lots": _lots(lot_summary(dataset)),
        "verdicts": verdicts,
        "boards": _boards(dataset, primary, results.words, results.flag_names),
    }


def _lots(statistics: xr.Dataset) -> list[dict[str, Any]]:
    """One row per lot, board type and region; numbers with further dimensions become lists."""
    rows = []
    for lot in statistics["lot"].values.tolist():
        for kind in statistics["board_type"].values.tolist():
            for region in statistics["region"].values.tolist():
                here = statistics.sel(lot=lot, board_type=kind, region=region)
                numbers = {str(name): here[name].values.tolist() for name in here.data_vars}
                rows.append({"lot": lot, "board_type": kind, "region": region, **numbers})
    return rows


def _boards(dataset: xr.Dataset, primary: str, words: Any, flag_names: Any) -> list[dict[str, Any]]:
    whole = dataset.sel(region="whole")
    outcome, status, flags = words(dataset["outcome"]), words(whole["status"]), flag_names(whole["flags"])
    base = str(dataset[primary].attrs["reduction_of"]) if primary else ""
    rows = []
    for i, board in enumerate(dataset["board"].values.tolist()):
        row = {"board": board, "lot": str(dataset["lot"].values[i]), "outcome": outcome[i], "status": status[i]}
        row |= {name: str(dataset[name].values[i]) for name in ("reason", "message", "remedy")}
        row |= {"flags": str(flags[i]).split(), "observable_pct": float(whole["observable_pct"].values[i])}
        if primary:
            row[f"{base}_before"], row[f"{base}_after"] = (float(v) for v in whole[base].values[i])
            row[primary] = float(whole[primary].values[i])
            for name in (f"{primary}_low", f"{primary}_high", AT_LEAST):
                row[name] = float(whole[name].values[i]) if name in whole else math.nan
        rows.append(row)
    return rows


def show_summary(summary: dict[str, Any]) -> None:
    """The lot's numbers and verdict, refused boards with their remedies, and where everything is."""
    primary = summary["primary_variable"]
    counts = summary["counts"]
    out(f"lot {summary['lot']}, workflow {summary['workflow']}: {plural(counts['boards'], 'board')}, "
        f"{counts['measured']} measured, {counts['refused']} refused", "bold")  # fmt: skip
    for row in summary["lots"] if primary else ():
        if row["region"] == "whole" and row["board_type"] != "(all)":
            pooled = row.get(f"{primary}_pooled", math.nan)
            median, low, high = (row[f"{primary}_{k}"] for k in ("median", "p05", "p95"))
            if math.isnan(median):
                out(f"{primary} of {row['board_type']}: no board has one")
                continue
            ends = (row.get(f"{primary}_pooled_{end}", math.nan) for end in ("low", "high"))
            out(f"{primary} of {row['board_type']}: pooled {ranged(pooled, *ends)}, median {number(median)} "
                f"(5 % of boards below {number(low)}, 5 % above {number(high)})")  # fmt: skip
    _table(summary["boards"], primary)
    _verdict(summary["verdicts"])
    out(f"tables: {summary['folder']}")
    out(f"report: {summary['report']}")


def _table(boards: list[dict[str, Any]], primary: str) -> None:
    base = primary.removesuffix("_reduction_pct")

    def worst_first(row: dict[str, Any]) -> tuple[bool, float]:
        value = row.get(primary, math.nan)
        return not math.isnan(value), value

    ordered = sorted(boards, key=worst_first)
    rows = [
        [
            row["board"],
            load(row.get(f"{base}_before")),
            load(row.get(f"{base}_after")),
            _reduction(row, primary),
            row["status"],
            ": ".join(filter(None, (row["reason"], row["message"]))),
        ]
        for row in ordered[:SHOWN]
    ]
    table(["board", ">before", ">after", ">reduction", "status", "reason"], rows)
    if len(boards) > SHOWN:
        out(f"the {SHOWN} worst of {len(boards)} boards; the others are in boards.csv")
    for remedy in dict.fromkeys(row["remedy"] for row in boards if row["remedy"]):
        names = [row["board"] for row in boards if row["remedy"] == remedy]
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        say(f"{', '.join(names[:5])}{more}: {remedy}")


def _reduction(row: dict[str, Any], primary: str) -> str:
    """The reduction of a board with its interval, or the least that it is."""
    least = row.get(AT_LEAST, math.nan)
    if math.isfinite(least):
        return f"at least {number(least, 1, ' %')}"
    return ranged(*(row.get(name, math.nan) for name in (primary, f"{primary}_low", f"{primary}_high")))


def _verdict(verdicts: list[Any]) -> None:
    if not verdicts:
        return
    from residue_batch.statistics.lot import verdict_of

    judged = verdict_of(verdicts)
    failed = [v for v in verdicts if v.verdict == "fail"]
    if judged == "fail":
        lots = [v for v in failed if not v.board]
        boards = dict.fromkeys(v.board for v in failed if v.board)
        for v in lots:
            complain(f"lot {v.lot}: {v.of} {v.variable}: {v.why}")
        if boards:
            complain(f"{plural(len(boards), 'board')} missed a limit: {', '.join(list(boards)[:10])}")
    out(f"verdict: {judged.replace('_', ' ')}", "bold red" if judged == "fail" else "bold green")
