"""Boards that are compared as taken: no registration, no light, one pixel grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label
from small import SmallLot, read_image, setting, workflow, write_image

from residue_batch import api
from residue_batch.board import Board, PhotoFile, every_plane, plan_board, sources_of
from residue_batch.canonical import canonical
from residue_batch.config import load_board_type, load_workflow
from residue_batch.engine.graph import run_graph
from residue_batch.engine.inline import identify, run_inline
from residue_batch.errors import ConfigError
from residue_batch.geometry import Box
from residue_batch.lazy import lazy_record, match_pair
from residue_batch.prepare import setting_of
from residue_batch.program import Key

TYPE = "schema: 1\nboard_type: bench\nreference: none\n"
AREA = "units: fraction\noutline: {box: [0.1, 0.1, 0.8, 0.8]}\nregions: {left: {box: [0.1, 0.1, 0.4, 0.8]}}\n"


def in_colour(path: Path) -> np.ndarray:
    return np.ascontiguousarray(read_image(path)[:, :, ::-1])


@pytest.fixture(scope="module")
def pair(lot: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two shots that a fixed camera could have taken: grains on one picture, fewer of them after cleaning."""
    folder, rng = tmp_path_factory.mktemp("fixed"), np.random.default_rng(5)
    clean = (read_image(lot.shot(0, "before")) * 0.7).astype(np.uint8)
    grains = ndimage.gaussian_filter(rng.random(clean.shape[:2]), 2.5)
    paths = []
    for phase, share in (("before", 97), ("after", 99.3)):
        strength = np.clip((grains - np.percentile(grains, share)) * 60, 0, 1)[..., None]
        noise = rng.normal(0, 2, clean.shape)
        shot = np.clip(clean * (1 - strength) + 235 * strength + noise, 0, 255).astype(np.uint8)
        shot[150:160, 200:230] = 255
        paths.append(write_image(folder / f"b_{phase}.png", shot))
    return paths[0], paths[1]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("type") / "bench.yaml"
    path.write_text(TYPE + AREA)
    return path


def opened(board_type: Path, pair: tuple[Path, Path], tile: int = 1024) -> Board:
    made = setting_of(load_board_type(str(board_type)), load_workflow("bright_particles"), tile)
    files = (PhotoFile(str(path)) for path in pair)
    return identify(Board("b", "L", made, dict(zip(("before", "after"), files, strict=True))))[0]


def smoothed(plane: np.ndarray, where: np.ndarray, sigma: float) -> np.ndarray:
    weight = ndimage.gaussian_filter(where.astype(float), sigma, mode="constant")
    found = ndimage.gaussian_filter(np.where(where, plane, 0.0), sigma, mode="constant")
    return np.asarray(found / np.maximum(weight, 1e-30))


def by_scikit_image(pair: tuple[Path, Path], outline: np.ndarray) -> dict[str, list[float]]:
    """The workflow bright_particles in float64 at full resolution, as one would write it with scikit-image."""
    y, x = np.mgrid[-5:6, -5:6]
    local, clear = [], []
    for path in pair:
        score = in_colour(path).min(axis=2) / 255
        clear.append(~ndimage.binary_dilation(score > 250.5 / 255, y * y + x * x <= 25))
        local.append(smoothed(score, clear[-1], 2) - smoothed(score, clear[-1], 25))
    level = threshold_otsu(local[0][clear[0]], nbins=1024)
    seen = outline & clear[0] & clear[1]
    numbers: dict[str, list[float]] = {"grains": [], "grains_load": []}
    for plane in local:
        mask = ndimage.binary_erosion(plane > level, np.ones((3, 3)), border_value=1)
        labels = label(ndimage.binary_dilation(mask, np.ones((3, 3))), connectivity=2)
        large = np.bincount(labels.ravel()) >= 16
        large[0] = False
        found = large[labels] & seen
        numbers["grains"].append(found.sum() / seen.sum())
        numbers["grains_load"].append(plane[found].sum() / seen.sum())
    return numbers


def test_numbers_are_those_of_a_script_in_scikit_image(bench: Path, pair: tuple[Path, Path]) -> None:
    board = run_inline(plan_board(opened(bench, pair)), opened(bench, pair))
    assert board.record is not None
    values = board.record["values"]
    height, width = read_image(pair[0]).shape[:2]
    outline = np.zeros((height, width), bool)
    outline[round(0.1 * height) : round(0.9 * height), round(0.1 * width) : round(0.9 * width)] = True
    for name, (before, after) in by_scikit_image(pair, outline).items():
        assert before > 0.01
        assert values[name][0][0] == pytest.approx(before, rel=1e-3)
        assert values[f"{name}_reduction_pct"][0] == pytest.approx(100 * (1 - after / before), abs=0.05)


@pytest.mark.parametrize("tile", [64, 192, 320, 2048])
def test_tiles_do_not_change_a_number(tile: int, bench: Path, pair: tuple[Path, Path]) -> None:
    whole, tiled = (opened(bench, pair, size) for size in (1024, tile))
    assert canonical(run_inline(plan_board(tiled), tiled).record) == canonical(
        run_inline(plan_board(whole), whole).record
    )


def test_a_graph_and_dask_arrays_give_the_same_numbers(client: Client, bench: Path, pair: tuple[Path, Path]) -> None:
    board = opened(bench, pair, 192)
    record = run_inline(plan_board(board), board).record
    assert record is not None
    assert canonical(run_graph(client, plan_board(board), board).record) == canonical(record)
    lazily = lazy_record(match_pair(bench, *pair, "bright_particles"), chunks=170).compute()
    assert canonical(lazily["values"]) == canonical(record["values"])


def test_a_shot_is_read_as_it_is(bench: Path, pair: tuple[Path, Path]) -> None:
    board = opened(bench, pair)
    for stage in plan_board(board).stages[:2]:
        parts = [stage.function(board, item) for item in stage.items]
        board = stage.then(board, parts[0] | parts[1])
    sources = sources_of(board)
    raw = every_plane(board, board.setting.program.passes[0], Box(64, 64, 192, 256))[Key("raw", "before")]
    assert np.shares_memory(raw, sources.views["before"].pixels)
    np.testing.assert_array_equal(raw, np.moveaxis(in_colour(pair[0])[64:192, 64:256], -1, 0))
    assert all(match.registration is None and match.light is None for match in board.matches.values())


def test_results_say_what_was_not_estimated(bench: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    manifest = tmp_path / "lot.yaml"
    for path in pair:
        (tmp_path / "shots").mkdir(exist_ok=True)
        (tmp_path / "shots" / path.name).write_bytes(path.read_bytes())
    manifest.write_text(f"schema: 1\nlot: L\nboard_type: {bench}\npattern: 'shots/{{board}}_{{phase}}.png'\n")
    dataset = api.run(manifest, "bright_particles", out=tmp_path / "runs", workers=0)
    assert dataset.attrs["exit_code"] == 0
    assert np.isnan(dataset["light_gain"]).all()
    assert np.isnan(dataset["registration_correlation"]).all()
    assert np.isfinite(dataset["grains_reduction_pct"].sel(region=["whole", "left"])).all()
    page = (Path(dataset.attrs["folder"]) / "report.html").read_text()
    assert ">nan" not in page.lower()
    plan = api.plan(manifest, "bright_particles", out=tmp_path / "other")
    assert plan.passes == 3


def refusal(bench: Path, before: Path, after: Path) -> dict[str, Any]:
    return api.try_pair(bench, before, after, "bright_particles")


def test_shots_of_two_sizes_are_refused_with_a_remedy(bench: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    cut = write_image(tmp_path / "cut.png", read_image(pair[1])[:-8])
    record = refusal(bench, pair[0], cut)
    assert (record["outcome"], record["reason"]) == ("refused", "resolution")
    assert "pixel by pixel" in record["message"]
    assert "fixed camera" in record["remedy"]


def test_a_frame_gives_areas_in_pixels_and_its_size_to_all_shots(pair: tuple[Path, Path], tmp_path: Path) -> None:
    write_image(tmp_path / "frame.png", read_image(pair[0]))
    path = tmp_path / "framed.yaml"
    path.write_text(TYPE + "frame: frame.png\noutline: {box: [48, 36, 384, 288]}\n")
    assert refusal(path, *pair)["observable_px"][0] <= 384 * 288
    write_image(tmp_path / "frame.png", read_image(pair[0])[:, 10:])
    assert refusal(path, *pair)["reason"] == "resolution"


def test_what_only_a_reference_gives_is_a_mistake_with_a_remedy(bench: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match="does not exist on boards as taken"):
        api.try_pair(bench, *pair, "flux_residue")


@pytest.mark.parametrize(
    "line", ["golden: g.png", "built: refs/a", "white: {box: [0.1, 0.1, 0.2, 0.2]}", "flat_field: card.jpg"]
)
def test_keys_of_other_references_are_mistakes(line: str, tmp_path: Path) -> None:
    path = tmp_path / "type.yaml"
    path.write_text(TYPE + "units: fraction\n" + line + "\n")
    with pytest.raises(ConfigError, match="none"):
        load_board_type(str(path))


def test_a_workflow_with_a_load_has_statuses_and_no_interval(bench: Path, pair: tuple[Path, Path]) -> None:
    text = (
        "schema: 1\nworkflow: w\nplanes:\n  s: {step: whiteness, of: raw}\nmeasures:\n  load: {measure: load, of: s}\n"
    )
    made = replace(setting(bench, text), tile=128)
    board = identify(replace(opened(bench, pair), setting=made))[0]
    record = run_inline(plan_board(board), board).record
    assert record is not None
    assert record["flags"][0] == ["few_blocks", "not_estimated"]
    assert record["status"] == ["measured", "measured"]
    assert workflow(text).planes["s"].step == "whiteness"


def test_check_says_which_workflows_boards_as_taken_can_use() -> None:
    particles, flux = api.check(["bright_particles", "flux_residue"])
    assert particles.facts["references"] == ["golden", "pair", "none"]
    assert flux.facts["references"] == ["golden", "pair"]
