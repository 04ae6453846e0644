"""The statistics of a lot, and its boards against the limits of the workflow.

A board that had too little residue before (`before_below_lod`) has no
reduction: it is counted, never averaged. A board after which less is left than
a blank shows (`after_below_lob`) says "at least": percentiles take it as censored
(`censored`), sums and the mean with its computed, signed number, which errs to
either side. An increase stays negative: clipping it would flatter the
lot. The number of a lot is the *pooled* reduction, the ratio of what all
boards carried after and before; the plain mean of the boards' reductions
stands beside it under the name mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from residue_batch.results import NO_REGION, REGION_STATUSES, WHOLE, flag_names, reductions, slices, words
from residue_batch.statistics.censored import percentile
from residue_batch.statistics.pooled import Boards, measurement, sampling
from residue_batch.variables import AT_LEAST

ALL_TYPES = "(all)"
PERCENTILES = {"p05": 5, "p25": 25, "median": 50, "p75": 75, "p95": 95}
_COUNTED = {
    "n_measured": ("measured", "boards measured without a reservation of status"),
    "n_refused": ("refused", "boards without a number"),
    "n_unseen": ("unseen", "boards where nothing can be seen of it"),
    "n_before_below_lod": ("before_below_lod", "boards with nothing to remove"),
    "n_increase": ("increase", "boards with more residue after than before"),
    "n_censored": ("after_below_lob", "boards with less left than a blank shows"),
}
_GROUP = ("lot", "board_type", "region")

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Judgement = Literal["pass", "fail", "not_judged"]
Judged = Literal["board", "pooled", "median"]
Subject = tuple[str, str, str, str, Judged]


def lot_summary(ds: xr.Dataset) -> xr.Dataset:
    """Counts, percentiles, pooled reduction and mean per lot, board type and region.

    ``board_type`` begins with ``(all)``. Pixels of two board types differ in
    size, so the pooled numbers of ``(all)`` are NaN when there are several.
    """
    lots, kinds = sorted(set(ds["lot"].values.tolist())), sorted(set(ds["board_type"].values.tolist()))
    groups = [(lot, kind) for lot in lots for kind in (ALL_TYPES, *kinds)]
    members = {g: _members(ds, *g) for g in groups}
    single = {lot: len(set(ds["board_type"].values[ds["lot"].values == lot].tolist())) == 1 for lot in lots}
    poolable = [kind != ALL_TYPES or single[lot] for lot, kind in groups]
    shape = (len(lots), 1 + len(kinds), ds.sizes["region"])

    def collect(variable: xr.DataArray, number: Callable[[Floats, Bools, int], float], pooled: bool) -> Any:
        """One number per group and region, and per value of the variable's other dimensions."""
        others = [d for d in variable.dims if d not in ("board", "region")]
        cube = np.asarray(variable.transpose("board", "region", *others).values)
        found = np.full((len(groups), *cube.shape[1:]), math.nan)
        for g, group in enumerate(groups):
            if pooled and not poolable[g]:
                continue
            for place in np.ndindex(*cube.shape[1:]):
                found[(g, *place)] = number(cube[(slice(None), *place)], members[group], place[0])
        return (*_GROUP, *others), found.reshape(*shape, *cube.shape[2:])

    data = _counts(ds, list(members.values()), shape)
    for name in reductions(ds):
        variable, about = ds[name], str(ds[name].attrs["long_name"])

        def attrs(text: str, about: str = about) -> dict[str, Any]:
            return {"long_name": f"{text} of the boards' {about}", "units": "%"}

        dims, counted = collect(variable, lambda v, m, _: float(np.isfinite(v[m]).sum()), pooled=False)
        data[f"{name}_n"] = (dims, counted.astype(np.int64), {"long_name": f"boards with a {about}", "units": "1"})
        data |= _percentiles(ds, name, collect, attrs)
        dims, found = collect(variable, _mean, pooled=False)
        data[f"{name}_mean"] = (dims, found, attrs("plain mean"))
        data |= _pooled(ds, name, collect)
    coords = {
        "lot": np.array(lots, object),
        "board_type": np.array([ALL_TYPES, *kinds], object),
        **{str(d): ds[d] for d in ds.dims if d not in ("board", "channel") and d in ds.coords},
    }
    return xr.Dataset(data, coords, {"Conventions": "CF-1.11", "title": "Statistics of the lot"})


def _members(ds: xr.Dataset, lot: str, kind: str) -> Bools:
    here = ds["lot"].values == lot
    return np.asarray(here if kind == ALL_TYPES else here & (ds["board_type"].values == kind), np.bool_)


def _counts(ds: xr.Dataset, members: list[Bools], shape: tuple[int, ...]) -> dict[str, Any]:
    status, flags = ds["status"].values, flag_names(ds["flags"])
    indicative = np.vectorize(lambda names: "indicative" in names.split(), otypes=[bool])(flags)
    where = {
        "n": (status != REGION_STATUSES.index(NO_REGION), "boards"),
        **{name: (status == REGION_STATUSES.index(word), text) for name, (word, text) in _COUNTED.items()},
        "n_indicative": (indicative, "boards whose clean colour is guessed from their own two shots"),
    }
    return {
        name: (
            _GROUP,
            np.array([mask[m].sum(axis=0) for m in members], np.int64).reshape(shape),
            {"long_name": text, "units": "1"},
        )
        for name, (mask, text) in where.items()
    }


def _percentiles(ds: xr.Dataset, name: str, collect: Callable[..., Any], attrs: Callable[..., Any]) -> dict[str, Any]:
    """Percentiles over boards; of the primary reduction some boards only say "at least"."""
    variable, bound = ds[name], None
    if AT_LEAST in ds and name == ds.attrs["primary_variable"]:
        bound = np.asarray(ds[AT_LEAST].transpose("board", "region").values)
        variable = variable.where(~np.isfinite(bound), bound)
    data: dict[str, Any] = {}
    for label, percent in PERCENTILES.items():
        text = "median" if percent == 50 else f"{percent}th percentile"
        dims, found = collect(variable, _percentile(percent, bound), pooled=False)
        data[f"{name}_{label}"] = (dims, found, attrs(text))
        if bound is not None:
            dims, found = collect(variable, _percentile(percent, bound, said=True), pooled=False)
            about = {"long_name": f"whether the {text} is a lower bound, for the boards that only say at least"}
            data[f"{name}_{label}_at_least"] = (dims, (found == 1).astype(np.int8), about)
    return data


def _percentile(percent: int, bound: Floats | None = None, *, said: bool = False) -> Callable[..., float]:
    """The percentile of the members with a number, or (``said``) whether it is a lower bound."""

    def number(values: Floats, members: Bools, region: int) -> float:
        here = members & np.isfinite(values)
        censored = np.isfinite(bound[here, region]) if bound is not None else np.zeros(int(here.sum()), np.bool_)
        found = percentile(values[here], censored, percent)
        return float(found.at_least) if said else found.value

    return number


def _mean(values: Floats, members: Bools, _: int) -> float:
    here = [v for v in values[members].tolist() if math.isfinite(v)]
    # exactly rounded, so the order of the boards does not matter
    return math.fsum(here) / len(here) if here else math.nan


def _pooled(ds: xr.Dataset, name: str, collect: Callable[..., Any]) -> dict[str, Any]:
    """The pooled reduction, of the boards that have one; the pooled numbers before and after, of all."""
    base = ds[str(ds[name].attrs["reduction_of"])]
    if "pooled_over" not in base.attrs:
        return {}
    area = ds[str(base.attrs["pooled_over"])].values
    # boards without a reduction would dilute both sums of the ratio
    used = base.where(np.isfinite(ds[name]))

    def mean(values: Floats, members: Bools, region: int) -> float:
        weights = area[:, region]
        sound = members & np.isfinite(values) & np.isfinite(weights)
        total = math.fsum(weights[sound])
        return math.fsum(values[sound] * weights[sound]) / total if total else math.nan

    data = _pooled_intervals(ds, name, used, area, collect) if f"{base.name}_uncertainty" in ds else {}
    dims, everywhere = collect(base, mean, pooled=True)
    dims, found = collect(used, mean, pooled=True)
    phase = dims.index("phase")
    before, after = found.take(0, phase), found.take(1, phase)
    with np.errstate(invalid="ignore", divide="ignore"):
        reduction = np.where(before > 0, 100 * (1 - after / before), math.nan)
    text = base.attrs["long_name"]
    rest = tuple(d for d in dims if d != "phase")
    return data | {
        f"{base.name}_pooled": (dims, everywhere, {"long_name": f"{text}, over the area of all boards", "units": "1"}),
        f"{name}_pooled": (rest, reduction, {"long_name": f"pooled reduction of {text}", "units": "%"}),
    }


def _pooled_intervals(
    ds: xr.Dataset, name: str, used: xr.DataArray, area: Floats, collect: Callable[..., Any]
) -> dict[str, Any]:
    """Both 95 % intervals of the pooled reduction."""
    before, after = (np.asarray(used.sel(phase=p).transpose("board", "region").values) for p in ("before", "after"))
    errors = np.asarray(ds[f"{used.name}_uncertainty"].transpose("board", "region", "component").values)
    guessed = np.vectorize(lambda names: "indicative" in names.split(), otypes=[bool])(flag_names(ds["flags"]))
    reach = [
        np.where(guessed, np.abs(ds[f"{name}_{end}"].values - ds[name].values), 0.0) for end in ("low", "high")
    ]  # fmt: skip
    names = np.array(ds["board"].values.tolist(), object)
    data = {}
    for kind, words_ in (("", "measurement"), ("sampling_", "sampling")):
        for side, end in enumerate(("low", "high")):

            def number(values: Floats, members: Bools, region: int, kind: str = kind, side: int = side) -> float:
                sound = np.flatnonzero(members & np.isfinite(values) & np.isfinite(area[:, region]))
                sound = sound[np.argsort(names[sound], kind="stable")]  # the order of the boards does not matter
                columns = (area, before, after, errors, *reach)
                boards = Boards(*(column[sound, region] for column in columns))
                return (sampling(boards, name) if kind else measurement(boards))[side]

            dims, found = collect(ds[name], number, pooled=True)
            about = f"{'lower' if end == 'low' else 'upper'} end of the 95 % {words_} interval of the pooled reduction"
            data[f"{name}_pooled_{kind}{end}"] = (dims, found, {"long_name": about, "units": "%"})
    return data


# limits -------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """One number against one limit.

    ``board`` is "" for the lot, and ``of`` then says which number of the lot
    was judged (pooled or median). ``value`` is None where there is no number:
    such a row is never judged, and ``why`` says so.
    """

    lot: str
    board_type: str
    board: str
    variable: str
    of: Judged
    value: float | None
    min: float | None
    max: float | None
    verdict: Judgement
    why: str = ""


def judge(limits: Mapping[str, Any], ds: xr.Dataset) -> list[Verdict]:
    """Every board, then every board type of the lot, against the limits; on region `whole`.

    Parameters
    ----------
    limits
        Variable to something with ``min`` and ``max`` (attributes or keys).
        Variables with a phase are judged `after`; along an extra dimension
        such as tau every value is judged by itself.
    ds
        Of ``results.dataset``.
    """
    if not limits:
        return []
    here, summary = ds.sel(region=WHOLE), lot_summary(ds).sel(region=WHOLE)
    found: list[Verdict] = []
    for name, limit in limits.items():
        low, high = (limit.get(k) if isinstance(limit, Mapping) else getattr(limit, k) for k in ("min", "max"))
        found += _boards(here, name, low, high)
        found += _lots(here, summary, name, low, high)
    return found


def verdict_of(verdicts: Iterable[Verdict]) -> Judgement:
    """`fail` if anything failed, `pass` if anything passed, else `not_judged`."""
    found = {v.verdict for v in verdicts}
    return "fail" if "fail" in found else "pass" if "pass" in found else "not_judged"


def _boards(here: xr.Dataset, name: str, low: float | None, high: float | None) -> Iterator[Verdict]:
    status, reason = words(here["status"]).tolist(), here["reason"].values.tolist()
    keys = [here[n].values.tolist() for n in ("lot", "board_type", "board")]
    for suffix, part in _judged(here, name):
        for i, value in enumerate(part.values.tolist()):
            lot, kind, board = (column[i] for column in keys)
            missing = " ".join(filter(None, (status[i], reason[i]))) if status[i] != "measured" else "no number"
            yield _verdict((lot, kind, board, f"{name}{suffix}", "board"), value, low, high, missing)


def _lots(here: xr.Dataset, summary: xr.Dataset, name: str, low: float | None, high: float | None) -> Iterator[Verdict]:
    for lot, kind in sorted(set(zip(here["lot"].values.tolist(), here["board_type"].values.tolist(), strict=True))):
        members = _members(here, lot, kind)
        group = summary.sel(lot=lot, board_type=kind)
        pooled = f"{name}_pooled" in group
        for suffix, part in _judged(group, f"{name}_pooled") if pooled else _judged(here, name):
            value = float(part.values) if pooled else _percentile(50)(part.values, members, 0)
            of: Judged = "pooled" if pooled else "median"
            yield _verdict((lot, kind, "", f"{name}{suffix}", of), value, low, high, "no number")


def _judged(ds: xr.Dataset, name: str) -> list[tuple[str, xr.DataArray]]:
    variable = ds[name]
    return slices(variable.sel(phase="after") if "phase" in variable.dims else variable)


def _verdict(row: Subject, value: float, low: float | None, high: float | None, missing: str) -> Verdict:
    if not math.isfinite(value):
        return Verdict(*row, None, low, high, "not_judged", missing)
    if low is not None and value < low:
        return Verdict(*row, value, low, high, "fail", f"{value:.4g} is below {low:g}")
    if high is not None and value > high:
        return Verdict(*row, value, low, high, "fail", f"{value:.4g} is above {high:g}")
    return Verdict(*row, value, low, high, "pass")
