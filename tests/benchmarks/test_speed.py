"""The speed benchmark, tiny: every script runs, says the same, and a missed limit is missed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
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
from benchmarks.ways import WAYS, Way
from residue_batch import store

SMALL = 0.3  # MP
NAMES = [way.name for way in WAYS]
SVG = "{http://www.w3.org/2000/svg}"


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


def measured(monkeypatch: pytest.MonkeyPatch, folder: Path, run: Callable[[Way, int], None], only=None) -> dict:
    """What three turns would find, were each run to end at once with the same numbers, or as ``run`` has it."""
    turns = dict.fromkeys(NAMES, 0)
    numbers = dict.fromkeys(speed.KEPT, 1.0) | {"boards": {"B000": {"area_reduction_pct": 1.0}}}

    def ended(_folder: Path, way: Way, *_given: object) -> dict:
        turns[way.name] += 1
        run(way, turns[way.name])
        return numbers

    monkeypatch.setattr(speed, "_run", ended)
    return speed.measure(folder, speed._chosen(only, rounds=1))


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
        assert way["cores"] == way["board_cpu_s"] / way["board_s"] > 0.1
        for run in way["runs"]:
            assert len(run["boards_s"]) == len(run["boards_cpu_s"]) == way["boards"]
            assert run["boards_s"][0] == pytest.approx(run["first_s"])
            assert 0.1 < run["copied_gb_s"] < 1000
        assert 20 < way["process_mb"] <= way["tree_mb"]
        assert math.isfinite(way["mp_s"] * way["mp_cpu_s"])


def test_the_table_has_a_line_for_every_way_and_limit(found: dict) -> None:
    shown = speed.table(found | {"lacking": {"plantcv": "No module named 'plantcv'"}}, speed.judged(found))
    for way in found["ways"].values():
        assert way["label"] in shown
    assert "PlantCV script, not mask-aware" in shown
    assert "No module named 'plantcv'" in shown
    assert "flux_of_floor" in shown
    assert "memory copied at " in shown
    assert f"; {len(speed.judged(found))} of {len(speed.ratios(found))} limits judged" in shown


def test_the_plot_has_a_bar_for_every_way(found: dict, folder: Path) -> None:
    plot.main([str(folder / "found.json"), str(folder / "plot.svg")])
    root = ElementTree.parse(folder / "plot.svg").getroot()
    labels = [element.text for element in root.iter(f"{SVG}text")]
    bars = [element for element in root.iter(f"{SVG}path") if element.get("stroke-width")]
    assert len(bars) == len(found["ways"])
    assert {way["label"] for way in found["ways"].values()} <= set(labels)


def test_the_plot_has_a_whisker_from_the_slowest_turn_to_the_fastest_and_an_axis_for_both() -> None:
    way = {"label": "a", "work": "floor", "mp_cpu_s": 10.0, "spread": [5.0, 20.0]}
    (whisker,) = ElementTree.fromstring(plot.svg({"megapixels": 12, "ways": {"a": way}})).iter(f"{SVG}line")
    ends = [float(whisker.attrib[end]) for end in ("x1", "x2")]
    # on an axis of 1 to 100
    shares = [(end - plot.LEFT) / plot.WIDE for end in ends]
    assert shares == pytest.approx([math.log10(5) / 2, math.log10(20) / 2], abs=1e-3)


def test_ways_of_one_speed_can_be_plotted_and_none_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    way = {"label": "a", "work": "floor", "mp_cpu_s": 10.0, "spread": [10.0, 10.0]}
    assert plot.svg({"megapixels": 12, "ways": {"a": way, "b": way}}).count("<line") == 2
    for text, said in (('{"ways": {}}', "holds no way"), ("{}", "holds no way"), ("", "is no JSON")):
        (tmp_path / "found.json").write_text(text)
        with pytest.raises(SystemExit):
            plot.main([str(tmp_path / "found.json"), str(tmp_path / "plot.svg")])
        assert f"found.json {said}" in capsys.readouterr().err


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


def test_odd_turns_run_backwards_and_what_feeds_no_limit_runs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    found = measured(monkeypatch, tmp_path, lambda way, _: order.append(way.name))
    once = {"opencv_pool", "scikit_image_pool", "dask_image_cluster", "plantcv", "plantcv_runner"}
    often = [name for name in NAMES if name not in once]
    assert order == [*NAMES, *often[::-1], *often]
    assert {name for name, way in found["ways"].items() if len(way["runs"]) == 1} == once
    # no limit is held against what was measured once
    full = speed.ratios(found)
    for name in once:
        del found["ways"][name], found["agreement"][name]
    assert speed.ratios(found) == full


def test_the_slow_reference_covers_every_photograph() -> None:
    assert next(way for way in WAYS if way.name == "scikit_image").boards >= speed.measure.__defaults__[0]
    assert NAMES[NAMES.index("opencv") + 1] == "opencv_coarse"


def test_a_floor_that_fails_in_a_later_turn_takes_nothing_else_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(way: Way, turn: int) -> None:
        if way.name == "floor_zarr_jpg" and turn == 2:
            raise watch.FailedError("the disk is full")

    found = measured(monkeypatch, tmp_path, run, ["floor_", "workload_inline"])
    assert speed.floors_of(found["ways"], "jpg") == [1.0]
    assert "not measured: the disk is full" in speed.table(found, speed.judged(found))


def test_what_was_measured_is_written_before_it_is_judged(
    found: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "measure", lambda *_: found)
    monkeypatch.setattr(speed, "judged", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        speed.main(["--folder", str(tmp_path), "--json", str(tmp_path / "found.json")])
    assert json.loads((tmp_path / "found.json").read_text())["ways"] == found["ways"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--only", "opencv", "typo"], "no way begins with 'typo'; there are floor_none_jpg, floor_zarr_jpg, "),
        (["--rounds", "0"], "must be 1 or more"),
        (["--boards", "0"], "must be 1 or more"),
        (["--repeat", "-1"], "must be 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_a_usage_error(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        speed.main(given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_python_that_is_not_there_is_said_and_nothing_else_is_lost(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--boards", "1", "--megapixels", str(SMALL), "--repeat", "1", "--rounds", "1", "--folder", str(folder)]
    assert speed.main([*given, "--only", "floor_none_jpg", "plantcv", "--plantcv", "/nowhere/python"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not measured: /nowhere/python: No such file or directory") == 2
    assert "floor: decode  " in shown


def test_a_way_that_says_nothing_of_its_boards_has_failed() -> None:
    with pytest.raises(watch.FailedError, match="this does not say what it measured, but 'Namespaces are one"):
        watch.watched("this", boards=1)
    for said in ("", "3", "{}", "[1]", '{"boards": {}}', '{"boards": {}, "moments": 3}'):
        with pytest.raises(watch.FailedError):
            watch._told("a", said)


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
        "boards_s": [2.5, 0.5, 1.0, 1.0, 1.0, 1.0], "boards_cpu_s": [5.0, 1.0, 2.0, 2.0, 2.0, 2.0],
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
