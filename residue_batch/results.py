"""From the records of a run to its tables: an xarray dataset, Zarr and CSV.

Everything here is derived: it can be rebuilt from the records at any time,
and the same records give the same bytes.
"""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from residue_batch.budget import SOURCES
from residue_batch.canonical import canonical
from residue_batch.intervals import COMPONENTS
from residue_batch.measure import Output
from residue_batch.outcome import FLAGS, MEASURED, REFUSED, STATUSES, load_measure
from residue_batch.program import PHASES, Measured, Program
from residue_batch.variables import INTERVALS, RESERVED, clashes, described, interval_name, variables_of

NOT_CLAIMED = (
    "Visible, apparent residue only, as process-control evidence: nothing is said about ionic cleanliness, about what "
    "lies under components, about mass, or about conformity to any standard."
)
NO_REGION = "no_region"
OUTCOMES = (MEASURED, REFUSED)
REGION_STATUSES = (*STATUSES, NO_REGION)
CHANNELS = ("red", "green", "blue")
WHOLE = "whole"

TEXTS = {
    "reason": "why the board has no number",
    "message": "what was found",
    "remedy": "what can be done",
}
QUALITY = {
    "registration_inliers": ("inliers", "1", "feature matches that agree with the registration"),
    "registration_matches": ("matches", "1", "feature matches that were tried"),
    "registration_windows": ("windows", "1", "full-resolution windows of the refinement"),
    "registration_correlation": ("correlation", "1", "correlation of the registered shot with the frame"),
    "registration_residual_px": ("residual_px", "pixel", "residual of the registration, in frame pixels"),
    "registration_scale": ("scale", "1", "shot pixels per frame pixel"),
    "registration_rotation_deg": ("rotation_deg", "degree", "rotation of the board in the shot, counter-clockwise"),
    "registration_displacement_px": ("displacement_px", "pixel", "largest displacement of a corner of the frame"),
    "registration_perspective": ("perspective", "1", "largest relative change of scale across the frame"),
    "shot_blur_px": ("blur_px", "pixel", "blur of the shot against the frame, sigma in frame pixels"),
    "shot_saturated_pct": ("saturated_pct", "%", "share of the board that is burnt out in the shot"),
    "light_film": ("film", "1", "opacity of an even film, as the light match sees it"),
    "light_residual": ("light_residual", "1", "residual of the light match, in opacity"),
    "light_error": ("light_error", "1", "standard deviation of the load by the light match, in opacity"),
    "light_share": ("light_share", "1", "share of the sampled pixels that the light match rests on"),
}
_BOARD, _SHOT, _REGION = ("board",), ("board", "phase"), ("board", "region")
NOT_ESTIMATED = "not estimated"
_COMMENTS = (
    "what is not known of this number: light, registration and noise, white, hidden area, film in both shots",
    "how much another board of the same process could differ: paired bootstrap over blocks of 256 px",
)
# crc32c because a flipped bit inside a zstd frame reads as a plausible number
_COMPRESSORS = [{"name": "zstd", "configuration": {"level": 3, "checksum": False}}, {"name": "crc32c"}]

Record = Mapping[str, Any]
Floats = NDArray[np.float64]


def dataset(records: Sequence[Record], program: Program, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Every board of a run, measured or refused, as one labelled dataset.

    Parameters
    ----------
    records
        As ``outcome.conclude`` and ``outcome.refused`` make them, in any order.
    program
        Says which variables there are, with their dimensions and units.
    attrs
        What else describes the run: versions, hashes. Nested values become JSON text.

    Raises
    ------
    ValueError
        If a measure would take the name of a variable that every run has.
    """
    if taken := sorted({name for _, name, _ in clashes(program.measures)}):
        raise ValueError(f"these names belong to the results themselves: {', '.join(taken)}; rename the measure")
    rows = sorted(records, key=lambda r: (r["board"], r["key"]))
    regions_of = _regions_of(rows)
    regions = list(dict.fromkeys(r for names in regions_of.values() for r in names)) or [WHOLE]
    table = _Rows(rows, {name: index for index, name in enumerate(regions)}, regions_of)
    dims = _extra_dims(program.measures)
    numbers = _numbers(table, program, dims)
    data = {**_outcomes(table), **numbers, **_uncertainties(table, program), **_qualities(table)}
    coords: dict[str, Any] = {
        "board": (_BOARD, _text(r["board"] for r in rows), {"long_name": "serial number"}),
        "phase": (("phase",), _text(PHASES), {"long_name": "before or after cleaning"}),
        "region": (("region",), _text(regions), {"long_name": "area of the board"}),
        "channel": (("channel",), _text(CHANNELS), {"long_name": "colour channel"}),
        "lot": (_BOARD, _text(r["lot"] for r in rows), {"long_name": "production lot"}),
        "board_type": (_BOARD, _text(r["board_type"] for r in rows), {"long_name": "board type"}),
        **{
            dim: ((dim,), _text(values) if isinstance(values[0], str) else np.array(values), _about(dim, "1"))
            for dim, values in dims.values()
        },
        "source": (("source",), _text(SOURCES), {"long_name": "what makes a number uncertain"}),
        "component": (("component",), _text(COMPONENTS), {"long_name": "variances and derivatives of a pair of loads"}),
    }
    ds = xr.Dataset(data, coords)
    # a store forgets the order of its variables; tables need it
    ds.attrs = {**_attributes(program, attrs), "variables": " ".join(numbers)}
    return ds


class _Rows(NamedTuple):
    """The records, sorted, and where each region stands."""

    records: list[Record]
    at: dict[str, int]
    regions_of: dict[str, list[str]]

    def full(self, value: Any, dtype: Any, *shape: int) -> NDArray[Any]:
        return np.full((len(self.records), *shape), value, dtype)

    def measured(self) -> Iterator[tuple[int, Record]]:
        return ((i, r) for i, r in enumerate(self.records) if r["outcome"] == MEASURED)

    def has(self, variable: str) -> bool:
        """Whether any board has this variable."""
        return any(variable in record.get("values", ()) for record in self.records)

    def places(self, names: Sequence[str]) -> list[int]:
        return [self.at[name] for name in names]


def _regions_of(rows: Sequence[Record]) -> dict[str, list[str]]:
    """The regions of each board type, as far as measured boards tell; `whole` first."""
    found: dict[str, dict[str, None]] = {kind: {WHOLE: None} for kind in sorted({r["board_type"] for r in rows})}
    for row in rows:
        found[row["board_type"]].update(dict.fromkeys(row.get("regions", ())))
    return {kind: list(names) for kind, names in found.items()}


def _extra_dims(measures: Iterable[Measured]) -> dict[tuple[str, str], tuple[str, tuple[Any, ...]]]:
    """(measure, parameter) -> name and values of the dimension; measures that disagree get one each."""
    wanted = {
        (m.key, output.dim): tuple(dict(m.measure.parameters)[output.dim])
        for m in measures
        for output in m.outputs
        if output.dim
    }
    found = {}
    for (key, dim), values in wanted.items():
        shared = all(other == values for (_, name), other in wanted.items() if name == dim)
        found[key, dim] = (dim if shared and dim not in RESERVED else f"{key}_{dim}", values)
    return found


def _outcomes(table: _Rows) -> dict[str, Any]:
    """Whether each board has numbers, and how each region ended."""
    count = len(table.at)
    outcome = np.array([OUTCOMES.index(r["outcome"]) for r in table.records], np.int8)
    status = table.full(REGION_STATUSES.index(NO_REGION), np.int8, count)
    flags = table.full(0, np.int16, count)
    observable = {name: table.full(math.nan, np.float64, count) for name in ("observable_pct", "observable_px")}
    for i, record in enumerate(table.records):
        if record["outcome"] != MEASURED:
            status[i, table.places(table.regions_of[record["board_type"]])] = REGION_STATUSES.index(REFUSED)
            continue
        places = table.places(record["regions"])
        status[i, places] = [REGION_STATUSES.index(name) for name in record["status"]]
        flags[i, places] = [sum(1 << FLAGS.index(name) for name in names) for names in record["flags"]]
        for name, values in observable.items():
            values[i, places] = record[name]
    masks = np.array([1 << bit for bit in range(len(FLAGS))], np.int16)
    texts = {name: (_BOARD, _text(r[name] for r in table.records), _about(text)) for name, text in TEXTS.items()}
    return {
        "outcome": (_BOARD, outcome, _coded("whether the board has numbers", OUTCOMES)),
        **texts,
        "status": (_REGION, status, _coded("how the region ended", REGION_STATUSES)),
        "flags": (_REGION, flags, {**_about("reservations"), "flag_masks": masks, "flag_meanings": " ".join(FLAGS)}),
        "observable_pct": (
            _REGION,
            observable["observable_pct"],
            _about("share of the region's part of the outline that both shots show", "%"),
        ),
        "observable_px": (_REGION, observable["observable_px"], _about("observable frame pixels", "1")),
    }


def _numbers(table: _Rows, program: Program, dims: Mapping[tuple[str, str], tuple[str, Any]]) -> dict[str, Any]:
    """Every variable of the program; the intervals of each reduction stand behind it."""
    found = {}
    for name, (measured, output, reduction) in variables_of(program.measures).items():
        extra = [dims[measured.key, output.dim]] if output.dim else []
        phased = bool(measured.phases[0]) and not reduction
        dimensions = (*(_SHOT if phased else _BOARD), "region", *(dim for dim, _ in extra))
        shape = (*((len(PHASES),) if phased else ()), len(table.at), *(len(v) for _, v in extra))
        values = _filled(table, name, shape, phased)
        if not reduction:
            found[name] = (dimensions, values, _of_output(measured, output))
            continue
        text = f"reduction of {output.long_name}"
        regions = {} if measured.by_region else {"regions": WHOLE}
        ancillary = [f"{name}_{kind}" for kind in INTERVALS]
        base = {"reduction_of": measured.variable(output), "ancillary_variables": " ".join(ancillary)}
        found[name] = (dimensions, values, {**_about(text, "%"), **base, **regions})
        for kind in INTERVALS:
            own = f"{name}_{kind}"
            about = {**_about(f"{text}, {interval_name(kind)}", "%"), "comment": _COMMENTS[kind.startswith("sampling")]}
            if not table.has(own):
                about["comment"] = NOT_ESTIMATED
            found[own] = (dimensions, _filled(table, own, shape, phased), {**about, **regions})
    primary = load_measure(program)
    for name, phased, text, units in described(primary.key) if primary else ():
        if table.has(name):
            shape = (len(PHASES), len(table.at)) if phased else (len(table.at),)
            values = _filled(table, name, shape, phased)
            found[name] = ((*(_SHOT if phased else _BOARD), "region"), values, _about(text, units))
    return found


def _uncertainties(table: _Rows, program: Program) -> dict[str, Any]:
    """What stands behind the measurement interval of the primary load: by source, and for lots."""
    primary = load_measure(program)
    key = primary.key if primary else "load"
    texts = {
        f"{key}_reduction_pct_share": ("source", SOURCES, "share of the variance of the reduction", "%"),
        f"{key}_uncertainty": ("component", COMPONENTS, f"errors of {key}, for the statistics of lots", "1"),
    }
    return {
        name: ((*_REGION, dim), _filled(table, name, (len(table.at), len(members)), phased=False), _about(text, units))
        for name, (dim, members, text, units) in texts.items()
        if table.has(name)
    }


def _filled(table: _Rows, name: str, shape: tuple[int, ...], phased: bool) -> Floats:
    values = table.full(math.nan, np.float64, *shape)
    for i, record in table.measured():
        given = record["values"].get(name)
        if given is None:
            continue
        numbers = np.array(given, np.float64)  # null becomes NaN
        places = table.places(record["regions"][: numbers.shape[1 if phased else 0]])
        if phased:
            values[i][:, places] = numbers
        else:
            values[i][places] = numbers
    return values


def _of_output(measured: Measured, output: Output) -> dict[str, Any]:
    about = _about(output.long_name, output.unit)
    # a share or mean of observable pixels can be pooled over boards by their area; a count cannot
    if output.unit == "1" and output.reducible and measured.inputs[0][2].plane == "observable":
        about["pooled_over"] = "observable_px"
    if not measured.by_region:
        about["regions"] = WHOLE
    if output.name == "main":
        about["comment"] = f"tau = {dict(measured.measure.parameters).get('main')}"
    return about


def _qualities(table: _Rows) -> dict[str, Any]:
    """How well each shot was registered and its light matched."""
    numbers = {name: table.full(math.nan, np.float64, len(PHASES)) for name in QUALITY}
    gain = table.full(math.nan, np.float64, len(PHASES), len(CHANNELS))
    hashes = table.full("", object, len(PHASES))
    for i, record in table.measured():
        for p, phase in enumerate(PHASES):
            quality = record["match"][phase]
            for name, (key, _, _) in QUALITY.items():
                numbers[name][i, p] = np.float64(quality.get(key))  # None becomes NaN
            gain[i, p] = np.array(quality["gain"], np.float64)  # the one gain of a grey shot stands for all channels
            hashes[i, p] = record["shots"][phase]["sha256"]
    about = _about("shot / reference, at the centre of the frame", "1")
    return {
        **{name: (_SHOT, values, _about(QUALITY[name][2], QUALITY[name][1])) for name, values in numbers.items()},
        "light_gain": ((*_SHOT, "channel"), gain, about),
        "shot_sha256": (_SHOT, hashes, _about("sha256 of the photograph's file")),
    }


def _attributes(program: Program, attrs: Mapping[str, Any]) -> dict[str, Any]:
    primary = load_measure(program)
    name = f"{primary.key}_reduction_pct" if primary and primary.phases == PHASES else ""
    plain = {k: v if isinstance(v, str | int | float) else canonical(v) for k, v in attrs.items()}
    own = {"Conventions": "CF-1.11", "title": "Residue before and after cleaning", "comment": NOT_CLAIMED}
    return {**own, "workflow": program.name, "primary_variable": name, **plain}


def _about(long_name: str, units: str = "") -> dict[str, Any]:
    return {"long_name": long_name, **({"units": units} if units else {})}


def _coded(long_name: str, meanings: Sequence[str]) -> dict[str, Any]:
    values = np.arange(len(meanings), dtype=np.int8)
    return {**_about(long_name), "flag_values": values, "flag_meanings": " ".join(meanings)}


def _text(values: Iterable[str]) -> NDArray[Any]:
    """Variable-length strings: Zarr has no fixed-width ones of its own."""
    return np.array(list(values), object)


# reading the codes back ---------------------------------------------------------


def words(variable: xr.DataArray) -> NDArray[Any]:
    """The words behind integer codes with ``flag_values``: outcome and status."""
    meanings = np.array(variable.attrs["flag_meanings"].split(), object)
    return meanings[np.asarray(variable.values, np.intp)]


def flag_names(variable: xr.DataArray) -> NDArray[Any]:
    """The words behind integer codes with ``flag_masks``, joined by spaces."""
    meanings = variable.attrs["flag_meanings"].split()
    masks = [int(mask) for mask in variable.attrs["flag_masks"]]
    codes = np.asarray(variable.values, np.int64)
    known = {int(c): " ".join(w for w, m in zip(meanings, masks, strict=True) if c & m) for c in np.unique(codes)}
    return np.array([known[int(c)] for c in codes.ravel()], object).reshape(codes.shape)


def reductions(ds: xr.Dataset) -> list[str]:
    """The variables that are reductions, without their intervals."""
    return [name for name in ds.attrs["variables"].split() if "reduction_of" in ds[name].attrs]


def slices(variable: xr.DataArray) -> list[tuple[str, xr.DataArray]]:
    """A variable cut along its extra dimension: ``[tau=0.05]`` and the part; itself if it has none."""
    extra = [str(d) for d in variable.dims if d not in ("board", "phase", "region")]
    if not extra:
        return [("", variable)]
    values = variable[extra[0]].values
    return [(f"[{extra[0]}={plain(v)}]", variable.isel({extra[0]: i})) for i, v in enumerate(values)]


# files --------------------------------------------------------------------------


def write_zarr(ds: xr.Dataset, path: Path, statistics: xr.Dataset | None = None) -> None:
    """Replace a Zarr store in one step; ``statistics`` goes into its group of that name.

    ``xr.open_zarr(path)`` reads it where this package is not installed.
    """
    path = Path(path)
    partial, old = (path.with_name(f".{path.name}.{end}") for end in ("partial", "old"))
    for left_over in (partial, old):
        shutil.rmtree(left_over, ignore_errors=True)
    with warnings.catch_warnings():
        # every reader we know understands consolidated metadata, and one request instead of eighty matters
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        if statistics is not None:
            # the group first: metadata is consolidated once, when everything is there
            _to_zarr(statistics, partial, group="statistics", consolidated=False)
        _to_zarr(ds, partial, mode="a", consolidated=True)
    if path.exists():
        path.rename(old)
    partial.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _to_zarr(ds: xr.Dataset, path: Path, **options: Any) -> None:
    encoding = {str(name): {"compressors": _COMPRESSORS} for name in ds.variables}
    ds.drop_encoding().to_zarr(path, zarr_format=3, encoding=encoding, **options)


def plain(number: Any) -> str:
    """A number as text, 12 significant digits."""
    return f"{number:.12g}" if isinstance(number, float | np.floating) else str(number)
