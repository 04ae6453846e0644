"""The speed benchmark, tiny: every script runs, says the same, and a missed limit is missed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import imagecodecs
import numpy as np
import pytest
import zarr

from benchmarks import plot, speed, watch
from benchmarks.ours import main as ours
from benchmarks.peers import dask_image, floors, opencv, scikit_image, workload
from benchmarks.pictures import lay_out
from benchmarks.ways import WAYS
from residue_batch import store

SMALL = 0.3  # MP


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speed")


@pytest.fixture(scope="module")
def found(folder: Path) -> dict:
    """Every script once on two boards of 0.3 MP, but those that start a cluster of ours."""
    arguments = ["--boards", "1", "--megapixels", str(SMALL), "--repeat", "1", "--rounds", "1"]
    arguments += ["--folder", str(folder), "--json", str(folder / "found.json"), "--only"]
    arguments += ["floor_", "scikit_image", "dask_image", "opencv", "workload_inline", "flux_inline", "flux_pool_2"]
    speed.main(arguments)
    return json.loads((folder / "found.json").read_text())


def test_every_script_runs_and_the_libraries_agree(found: dict) -> None:
    assert found["lacking"] == {}
    names = {way.name for way in WAYS if way.name.startswith(("floor_", "scikit_image", "dask_image", "opencv"))}
    assert found["ways"].keys() == names | {"workload_inline", "flux_inline", "flux_pool_2"}
    for name in (
        "scikit_image_pool",
        "dask_image",
        "dask_image_cluster",
        "opencv",
        "opencv_coarse",
        "opencv_pool",
        "workload_inline",
    ):
        # a lone pixel at the level is 0.01 points of such a small picture
        assert found["agreement"][name] < 0.1, name
    assert found["agreement"]["opencv_coarse"] != found["agreement"]["opencv"]
    for way in found["ways"].values():
        assert 0 < way["first_s"] < way["wall_s"]
        assert 20 < way["process_mb"] <= way["tree_mb"]
        assert math.isfinite(way["mp_s"] * way["mp_cpu_s"])


def test_the_table_has_a_line_for_every_way_and_limit(found: dict) -> None:
    shown = speed.table(found | {"lacking": {"plantcv": "No module named 'plantcv'"}}, speed.judged(found))
    for way in found["ways"].values():
        assert way["label"] in shown
    assert "PlantCV script, not mask-aware" in shown
    assert "No module named 'plantcv'" in shown
    assert "flux_of_floor" in shown


def test_the_plot_has_a_bar_for_every_way(found: dict, folder: Path) -> None:
    plot.main([str(folder / "found.json"), str(folder / "plot.svg")])
    root = ElementTree.parse(folder / "plot.svg").getroot()
    labels = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    bars = [element for element in root.iter("{http://www.w3.org/2000/svg}path") if element.get("stroke-width")]
    assert len(bars) == len(found["ways"])
    assert {way["label"] for way in found["ways"].values()} <= set(labels)


def test_every_way_has_a_name_of_its_own_and_every_limit_a_ratio(found: dict) -> None:
    assert len({way.name for way in WAYS}) == len({way.label for way in WAYS}) == len(WAYS)
    named = [line.split(",")[0] for line in speed.LIMITS.read_text().splitlines()[1:]]
    assert set(named) == set(speed.ratios(found))
    # what was not run is not judged
    judged = {one["name"] for one in speed.judged(found)}
    assert {"workload_of_floor", "workload_over_opencv", "workload_points_off", "flux_of_floor", "worker_mb"} <= judged
    assert not judged & {"workload_png_of_floor", "two_workers_over_one"}


def test_a_limit_that_is_missed_ends_the_benchmark_with_1(
    found: dict, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "measure", lambda *_: found)
    limits = tmp_path / "limits.csv"
    monkeypatch.setattr(speed, "LIMITS", limits)
    monkeypatch.setattr(speed.judged, "__defaults__", (limits,))
    head, row = "name,at_least,at_most,target,what\n", "worker_mb,,{most},{target},memory\n"
    for most, target, code, said in ((1, 1, 1, "MISSED"), (9e9, 1, 0, "below its target"), (9e9, 9e9, 0, "worker_mb")):
        limits.write_text(head + row.format(most=most, target=target))
        assert speed.main(["--folder", str(folder)]) == code
        assert said in capsys.readouterr().out


def test_a_way_that_fails_is_said_and_ends_the_benchmark_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--boards", "1", "--megapixels", str(SMALL), "--repeat", "1", "--rounds", "1", "--folder", str(tmp_path)]
    # this interpreter has no PlantCV, and that is no failure
    assert speed.main([*given, "--only", "plantcv"]) == 0
    assert "not measured: ModuleNotFoundError: No module named 'plantcv'" in capsys.readouterr().out
    place = lay_out(tmp_path, 1, SMALL, "jpg", 2)
    (place / "pairs.json").write_text("[]")
    assert speed.main([*given, "--only", "floor_none_jpg"]) == 1
    assert "floors measured 0 boards of 2" in capsys.readouterr().out


def test_png_and_tiff_hold_the_pixels_of_the_jpeg(tmp_path: Path) -> None:
    pixels = [
        floors.decode(workload.read_pairs(lay_out(tmp_path, 1, SMALL, form, 2) / "pairs.json")[1].after)
        for form in ("jpg", "png", "tif")
    ]
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] == pixels[2]).all()


def test_a_floor_decodes_into_memory_that_is_there_and_keeps_what_it_frees(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[str] = []
    rooms: list[np.ndarray | None] = []
    decoder = floors.DECODERS[".jpg"]
    monkeypatch.setattr(floors, "set_up_process", lambda: called.append("set up"))
    monkeypatch.setitem(floors.DECODERS, ".jpg", lambda data, out: rooms.append(out) or decoder(data, out=out))
    place = lay_out(folder, 1, SMALL, "jpg", 3)
    monkeypatch.setattr(sys, "argv", ["floors", str(place / "pairs.json"), str(tmp_path)])
    floors.main()
    assert len(json.loads(capsys.readouterr().out)["moments"]) == 3
    assert called == ["set up"]
    assert rooms[0] is None
    assert len(rooms) == 6
    assert all(np.shares_memory(room, rooms[1]) for room in rooms[1:])


def test_otsu_of_opencv_counts_the_largest_value_and_nothing_that_is_not_valid() -> None:
    signal = np.repeat(np.array([0, 0.3, 1, 9], np.float32), [90, 10, 50, 7])[None]
    valid = np.where(signal < 9, 255, 0).astype(np.uint8)
    level = scikit_image.threshold_otsu(signal[signal < 9], nbins=workload.BINS)
    assert 0.3 < level < 1
    assert opencv.otsu(signal, valid) == pytest.approx(level, abs=1e-6)


def test_the_scripts_see_the_same_glare(tmp_path: Path) -> None:
    picture = np.full((110, 120, 3), 90, np.uint8)
    picture[[0, 30, 31], [3, 40, 119]] = 255
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(picture))
    seen = [opencv.signal_of(str(path), opencv.smoothed)[2] > 0]
    seen += [np.asarray(script.signal_of(str(path))[2]) for script in (scikit_image, dask_image)]
    assert np.count_nonzero(~seen[0]) == 6 * 9 + 11 * 11 + 11 * 6
    assert (seen[0] == seen[1]).all()
    assert (seen[0] == seen[2]).all()
    assert dask_image.PART % workload.SHARD == 0


def test_a_process_that_a_script_starts_writes_with_one_thread() -> None:
    asked = "import zarr; print(zarr.config.get('threading.max_workers'), zarr.config.get('async.concurrency'))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_both_floors_write_sound_stores_of_the_same_planes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores: set[str] = set()
    write_tile = store.write_tile

    def noted(path: Path, kept: object, box: object, part: dict) -> object:
        scores.update(str(plane.dtype) for key, plane in part.items() if key.plane == "score")
        return write_tile(path, kept, box, part)

    monkeypatch.setattr(store, "write_tile", noted)
    (pair, *_) = workload.read_pairs(lay_out(folder, 1, SMALL, "jpg", 3) / "pairs.json")
    planes = opencv.measure(pair)
    for write, path in ((floors.into_zarr, tmp_path / "a.zarr"), (floors.into_store, tmp_path / "b.zarr")):
        write(planes)(path)
    assert (zarr.open_group(tmp_path / "a.zarr")["mask"][0] == planes.mask[0]).all()
    assert store.verify(tmp_path / "b.zarr") == []
    assert (zarr.open_group(tmp_path / "b.zarr")["labels/mask/0"][1] == planes.mask[1]).all()
    # codes, as the workload of ours hands them over
    assert scores == {"uint8"}


def test_speed_counts_once_a_run_has_settled() -> None:
    """When each worker has done a board, and a third of all are done."""
    samples = [watch.Sample(float(at), 2.0 * at, 100_000_000 + at, 60_000_000) for at in range(11)]
    # two workers: imports until 3 s, then a board each second
    moments = [2.5, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert watch.rates(moments, samples, 2) == {
        "board_s": 1.0, "board_cpu_s": 2.0, "first_s": 2.5, "tree_mb": 100.00001, "process_mb": 60.0,
    }  # fmt: skip
    assert watch.rates([0.5, *moments[1:]], samples, 1)["board_s"] == 1.0
    assert watch.rates([1.0, 3.0], samples, 1)["board_s"] == 2.0
    assert watch.rates([3.0], samples, 1)["board_s"] == 3.0


def test_what_a_way_wrote_is_emptied_and_a_photograph_that_it_linked_is_not(tmp_path: Path) -> None:
    out, photograph = tmp_path / "out", tmp_path / "a.jpg"
    (out / "deep").mkdir(parents=True)
    photograph.write_bytes(b"light")
    (out / "hard.jpg").hardlink_to(photograph)
    (out / "soft.jpg").symlink_to(photograph)
    (out / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (out / "deep" / "written").write_bytes(b"planes")
    speed.emptied(out)
    assert photograph.read_bytes() == b"light"
    assert (out / "deep" / "written").read_bytes() == b""


def test_a_burst_of_other_work_does_not_count() -> None:
    samples = [watch.Sample(float(at), float(at), 0, 0) for at in range(40)]
    alone = [*range(1, 10), *range(15, 20)]
    assert watch.rates(alone, samples, 1)["board_s"] == 1.0
    pairs = [moment + late for moment in range(1, 12, 2) for late in (0.0, 0.2)]
    assert watch.rates(pairs, samples, 2)["board_s"] == 1.0


def test_the_bare_pool_measures_what_the_run_measures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lot = lay_out(folder, 1, SMALL, "jpg", 3) / "flux_residue.yaml"
    ours([str(lot), "flux_residue", str(tmp_path), "--workers", "0"])
    told = json.loads(capsys.readouterr().out)
    assert len(told["moments"]) == len(told["boards"]) == 3
    # three names of one pair of photographs
    assert len({json.dumps(numbers) for numbers in told["boards"].values()}) == 1
    assert all(np.isfinite(numbers["load_reduction_pct"]) for numbers in told["boards"].values())
