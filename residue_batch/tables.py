"""The dataset of a run as one CSV table, safe to open in a spreadsheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import xarray as xr
from numpy.typing import NDArray

from residue_batch.program import PHASES
from residue_batch.results import NOT_ESTIMATED, QUALITY, TEXTS, WHOLE, flag_names, plain, slices, words

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_TABLED = {"board", "phase", "region"}


def boards_csv(ds: xr.Dataset) -> str:
    """One row per board, refusals too.

    Columns without a prefix are those of region `whole`; those of another
    region, without sweeps, stand behind its name (``chips.load_reduction_pct``).
    Empty: no number. Text that a spreadsheet would run as a formula begins with ``'``.
    """
    columns = dict(_columns(ds))
    lines = [",".join(map(_cell, columns))]
    lines += [",".join(map(_cell, row)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]
    return "\n".join(lines) + "\n"


def _columns(ds: xr.Dataset) -> Iterator[tuple[str, NDArray[Any]]]:
    for name in ("lot", "board", "board_type"):
        yield name, ds[name].values
    yield "outcome", words(ds["outcome"])
    for name in TEXTS:
        yield name, ds[name].values
    yield from _region_columns(ds, WHOLE, "")
    for region in ds["region"].values.tolist():
        if region != WHOLE:
            yield from _region_columns(ds, region, f"{region}.")
    for name in (*QUALITY, "shot_sha256"):
        yield from _phase_columns(ds[name], name)


def _region_columns(ds: xr.Dataset, region: str, prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    here = ds.sel(region=region)
    yield f"{prefix}status", words(here["status"])
    yield f"{prefix}flags", flag_names(here["flags"])
    for name in ("observable_pct", "observable_px", *ds.attrs["variables"].split()):
        if "_sampling_" in name and ds[name].attrs.get("comment") == NOT_ESTIMATED:
            continue
        if prefix and (ds[name].attrs.get("regions") == WHOLE or not set(ds[name].dims) <= _TABLED):
            continue
        for suffix, part in slices(here[name]):
            yield from _phase_columns(part, f"{prefix}{name}{suffix}")


def _phase_columns(variable: xr.DataArray, name: str) -> Iterator[tuple[str, NDArray[Any]]]:
    if "phase" not in variable.dims:
        yield name, variable.values
        return
    for phase in PHASES:
        yield f"{name}_{phase}", variable.sel(phase=phase).values


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return plain(value) if math.isfinite(value) else ""
    if not isinstance(value, str):
        return str(value)
    text = f"'{value}" if value.startswith(_FORMULA) else value
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
