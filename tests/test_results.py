"""Results: nothing lost, nothing invented, the same bytes every time."""

from __future__ import annotations

import csv
import io
import math
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import made_up
import numpy as np
import pytest
import xarray as xr
from made_up import measured, turned_away

from residue_batch import results, tables
from residue_batch.statistics import lot_summary
from residue_batch.variables import clashes, described, variables_of

RECORDS = [
    measured("0007"),
    turned_away("0003"),
    measured("0001", regions=["whole"], board_type="panel B", gain=[1.1]),
    measured("0002", status=["measured", "before_below_lod"], loads=[(0.1, 0.02), (0.0, 0.0)]),
]


def made(records: list[dict] = RECORDS, **attrs: object) -> xr.Dataset:
    return results.dataset(records, made_up.program(), attrs)


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_boards_are_sorted_and_refused_ones_are_rows_of_nan() -> None:
    ds = made()
    assert ds["board"].values.tolist() == ["0001", "0002", "0003", "0007"]
    refused = ds.sel(board="0003")
    assert results.words(refused["outcome"]) == "refused"
    assert refused["reason"] == "registration"
    assert np.isnan(refused["load"]).all()
    assert np.isnan(refused["light_gain"]).all()
    assert results.words(ds["status"]).tolist() == [
        ["measured", "no_region"],
        ["measured", "before_below_lod"],
        ["refused", "refused"],
        ["measured", "measured"],
    ]


def test_values_arrive_where_they_belong() -> None:
    board = made().sel(board="0007")
    assert board["load"].sel(phase="after", region="chips") == 0.01
    assert board["load"].dims == ("phase", "region")
    assert board["area"].sel(phase="before", region="whole", tau=0.05) == pytest.approx(0.3)
    assert board["load_reduction_pct"].sel(region="whole") == 90
    assert board["registration_inliers"].sel(phase="before") >= 200
    assert board["light_gain"].sel(phase="after", channel="green") == 0.99
    assert board["shot_sha256"].sel(phase="after") == "a" * 64
    assert np.isnan(board["load_reduction_pct_sampling_high"]).all()
    assert made()["load_reduction_pct_low"].attrs["comment"] == "not estimated"


def test_a_measure_of_the_whole_board_is_nan_in_other_regions() -> None:
    mean = made().sel(board="0007")["shine_mean"]
    assert mean.sel(phase="before").values.tolist()[0] == 0.2
    assert math.isnan(mean.sel(phase="before", region="chips"))


def test_the_gain_of_a_grey_shot_stands_for_every_channel() -> None:
    assert made().sel(board="0001")["light_gain"].sel(phase="before").values.tolist() == [1.1, 1.1, 1.1]


def test_flags_are_masks_with_meanings() -> None:
    ds = made([measured("a", flags=[["indicative", "not_estimated"], []])])
    assert results.flag_names(ds["flags"]).tolist() == [["indicative not_estimated", ""]]
    assert len(ds["flags"].attrs["flag_masks"]) == len(ds["flags"].attrs["flag_meanings"].split())


def test_the_censored_bound_is_a_variable_where_a_board_has_one() -> None:
    assert "load_reduction_at_least_pct" not in made()
    ds = made([measured("a", values={"load_reduction_at_least_pct": [99.0, None]})])
    assert ds["load_reduction_at_least_pct"].sel(board="a", region="whole") == 99


def test_measures_that_disagree_about_tau_get_a_dimension_each() -> None:
    text = made_up.WORKFLOW + "\n"
    text = text.replace("  shine:", "  wide: {measure: area, of: opacity, tau: [0.3], main: 0.3}\n  shine:")
    other = made_up.program(text)
    values = {"wide": [[[0.1], [0.1]]] * 2, "wide_reduction_pct": [[0.0], [0.0]]}
    ds = results.dataset([measured("a", values=values)], other, {})
    assert ds["area"].dims[-1] == "area_tau"
    assert ds["wide"].dims[-1] == "wide_tau"
    assert ds["wide_tau"].values.tolist() == [0.3]


def test_a_measure_may_not_take_a_name_of_the_results() -> None:
    program = made_up.program()
    taken = replace(program, measures=(replace(program.measures[0], key="lot"),))
    with pytest.raises(ValueError, match="lot"):
        results.dataset([], taken, {})


def test_no_name_of_the_results_is_free_for_a_measure() -> None:
    """Whatever a run may say beside its measures, a measure of that name is a mistake."""
    program = made_up.program()
    own = variables_of(program.measures)
    values = {name: None for name, *_ in described("load")} | {"load_reduction_pct_share": None}
    ds = results.dataset([measured("a", values=values | {"load_uncertainty": None})], program, {})
    for name in {*ds.variables} - own.keys():
        other = replace(program.measures[0], key=str(name))
        assert name in {found for _, found, _ in clashes((*program.measures, other))}, name


def test_a_lot_without_boards_is_a_dataset() -> None:
    ds = made([])
    assert ds.sizes["board"] == 0
    assert tables.boards_csv(ds).count("\n") == 1


def test_a_store_has_the_same_bytes_whatever_the_order_of_the_records(tmp_path: Path) -> None:
    for name, records in (("a.zarr", RECORDS), ("b.zarr", RECORDS[::-1])):
        ds = made(records, versions={"numpy": "2"})
        results.write_zarr(ds, tmp_path / name, lot_summary(ds))
    files = [
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("a.zarr", "b.zarr")
    ]
    assert files[0] == files[1]


def test_a_store_is_replaced_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "lot.zarr"
    results.write_zarr(made(), path)
    results.write_zarr(made(RECORDS[:1]), path)
    assert [p.name for p in tmp_path.iterdir()] == ["lot.zarr"]
    assert xr.open_zarr(path).sizes["board"] == 1


def test_writing_and_reading_warn_of_nothing_and_keep_everything(tmp_path: Path) -> None:
    ds = made()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results.write_zarr(ds, tmp_path / "lot.zarr", lot_summary(ds))
        again = xr.open_zarr(tmp_path / "lot.zarr").load()
        statistics = xr.open_zarr(tmp_path / "lot.zarr", group="statistics").load()
    assert set(again.variables) == set(ds.variables)
    for name, variable in ds.variables.items():
        same = np.array_equal(variable, again[name], equal_nan=variable.dtype.kind == "f")
        assert same, name
    assert tables.boards_csv(again) == tables.boards_csv(ds)
    assert statistics["n"].sel(lot="L1", board_type="(all)", region="whole") == 4


def test_a_store_opens_where_this_package_is_not_installed(tmp_path: Path) -> None:
    results.write_zarr(made(), tmp_path / "lot.zarr")
    code = (
        "import sys; sys.modules['residue_batch'] = None\n"
        "import xarray as xr; ds = xr.open_zarr('lot.zarr').load()\n"
        "print(float(ds.load_reduction_pct.sel(board='0007', region='whole')))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("90.0\n", "")


def test_csv_has_one_row_per_board_with_its_zeros_and_its_refusals() -> None:
    text = tables.boards_csv(made())
    assert "\r" not in text
    rows = rows_of(text)
    assert [r["board"] for r in rows] == ["0001", "0002", "0003", "0007"]
    assert (rows[2]["outcome"], rows[2]["reason"], rows[2]["load_reduction_pct"]) == ("refused", "registration", "")
    assert (rows[3]["load_before"], rows[3]["load_after"], rows[3]["load_reduction_pct"]) == ("0.1", "0.01", "90")
    assert rows[3]["area[tau=0.05]_before"] == "0.3"
    assert rows[1]["chips.status"] == "before_below_lod"
    assert rows[1]["chips.load_reduction_pct"] == ""


def test_csv_text_is_no_formula_and_numbers_stay_numbers() -> None:
    names = ["=1+1", "+a", "-a", "@a", "\ta", "\ra", 'quote " and, comma', "line\nbreak", "ümlaut"]
    below = measured("z", loads=[(0.1, 0.12), (0.1, 0.1)])
    text = tables.boards_csv(made([*(measured(n) for n in names), below]))
    rows = {r["board"]: r for r in rows_of(text)}
    assert set(rows) == {"z", *(f"'{n}" for n in names[:6]), *names[6:]}
    assert float(rows["z"]["load_reduction_pct"]) == pytest.approx(-20)


INTERVALS = {
    "load_reduction_pct_low": [88.0, None],
    "load_reduction_pct_high": [91.5, None],
    "load_reduction_pct_sampling_low": [85.0, None],
    "load_reduction_pct_sampling_high": [94.0, None],
    "load_change": [-0.09, -0.09],
    "load_change_low": [-0.1, -0.1],
    "load_change_high": [-0.08, -0.08],
    "load_reduction_pct_share": [[60.0, 20.0, 5.0, 5.0, 10.0, 0.0], [None] * 6],
    "load_uncertainty": [[1e-6, 0.0, 1e-6, 0.01, 0.001, 1e-5, 1e-6, 1e-6], [None] * 8],
}


def test_intervals_shares_and_the_change_arrive_where_they_belong() -> None:
    ds = made([measured("a", values=INTERVALS), measured("b")])
    board = ds.sel(board="a", region="whole")
    assert float(board["load_reduction_pct_low"]) == 88
    assert float(board["load_reduction_pct_sampling_high"]) == 94
    assert "registration" in ds["load_reduction_pct_low"].attrs["comment"]
    assert ds["area_reduction_pct_low"].attrs["comment"] == "not estimated"
    assert float(board["load_reduction_pct_share"].sel(source="light")) == 60
    assert float(board["load_uncertainty"].sel(component="white_before")) == 0.01
    assert np.isnan(ds["load_change"].sel(board="b")).all()
    row = rows_of(tables.boards_csv(ds))[0]
    assert (row["load_reduction_pct_low"], row["load_reduction_pct_high"]) == ("88", "91.5")
    assert row["load_change_high"] == "-0.08"
    assert "load_uncertainty" not in " ".join(row)


def test_a_lot_has_both_intervals_of_its_pooled_number_and_takes_bounds_as_bounds() -> None:
    bound = {**INTERVALS, "load_reduction_at_least_pct": [98.2, None], "load_reduction_pct": [99.5, 90.0]}
    boards = [measured(f"{n}", values=INTERVALS) for n in range(4)]
    boards += [measured("z", values=bound, loads=[(0.1, 0.0005), (0.1, 0.01)], status=["after_below_lob", "measured"])]
    here = lot_summary(made(boards)).sel(lot="L1", board_type="(all)", region="whole")
    pooled = float(here["load_reduction_pct_pooled"])
    for kind in ("", "sampling_"):
        low, high = (float(here[f"load_reduction_pct_pooled_{kind}{end}"]) for end in ("low", "high"))
        assert low < pooled < high
    assert float(here["load_reduction_pct_p95"]) == pytest.approx(90 + 0.8 * (98.2 - 90))
    assert int(here["load_reduction_pct_p95_at_least"]) == 1
    assert int(here["load_reduction_pct_median_at_least"]) == 0
