"""A program as dask arrays is the tile program, bit for bit; dask-image and plain definitions say the same."""

from __future__ import annotations

import doctest
from dataclasses import replace
from functools import reduce
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from dask.callbacks import Callback
from dask_image import ndmeasure
from scipy import ndimage

from residue_batch import board as boards
from residue_batch import lazy, photo, synthetic
from residue_batch.engine.inline import run_inline
from residue_batch.errors import UsageError
from residue_batch.geometry import Box
from residue_batch.program import Key
from residue_batch.step import STEPS, full_scale
from residue_batch.tally import ONE, merge_all

SHAPE = (600, 800)
CHUNKS = (230, 297)  # 297 leaves 6 px of the height, less than a halo

EVERY_STEP = """
schema: 1
workflow: every step
planes:
  opacity: {step: unmix}
  glare: {step: glare, of: raw, above: 0.8, grow: 3 px, metal_above: 0.05}
  visible: {step: contrast, at_least: 0.8}
  brightness: {step: luma, of: raw}
  lit: {step: luma, of: image}
  blue: {step: channel, of: image, name: blue}
  pale: {step: whiteness, of: raw}
  lightness: {step: lab, of: raw, which: L}
  redness: {step: lab, of: image, which: a}
  base: {step: lab, of: reference, which: b}
  dull: {step: not, of: glare}
  smooth: {step: gaussian, of: opacity, where: dull, sigma: 2.3 px}
  small: {step: gaussian, of: base, sigma: 1 px}
  haze: {step: background, of: smooth, cell: 16 px, sigma: 40 px}
  local: {step: difference, of: [opacity, haze]}
  spots: {step: threshold, of: local, level: 0.06}
  rest: {step: background, of: local, where: spots, cell: 7 px, sigma: 9 px}
  wide: {step: dilate, of: spots, radius: 3.7 px}
  core: {step: erode, of: wide, radius: 2 px, shape: square}
  flakes: {step: open, of: spots, radius: 1.5 px}
  patches: {step: close, of: spots, radius: 5 px}
  both: {step: and, of: [patches, visible, dull]}
  either: {step: or, of: [flakes, glare]}
  change: {step: difference, of: [smooth.after, rest.before]}
  less: {step: threshold, of: change, level: -0.02}
  foreign: {step: moved, above: 0.02, size: 1 px, grow: 2 px}
  split: {step: otsu, of: local, where: dull, fit_on: before}
  grains: {step: area_opening, of: split, smallest: 6 px2}
exclude: [glare]
measures:
  load: {measure: load, of: opacity}
  change: {measure: load, of: [change, saturated.before], by: whole}
  area: {measure: area, of: rest}
  bright: {measure: intensity, of: lightness, where: both, high: 100}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("lazy")
    golden, board = synthetic.render_board(3, SHAPE), synthetic.render_board(3, SHAPE, unit=1)
    before = synthetic.plant_residue(board, 5)
    after = synthetic.clean_residue(board, before, 6, efficiency=0.8)
    synthetic.write_shot(path / "golden.png", synthetic.photograph(golden, None, 0, "fixed").pixels)
    synthetic.write_shot(path / "before.png", synthetic.photograph(board, before, 7, "easy").pixels)
    synthetic.write_shot(path / "after.png", synthetic.photograph(board, after, 8, "easy").pixels)
    head = f"schema: 1\nboard_type: small\noutline: {{polygon: {[list(map(float, p)) for p in golden.outline]}}}\n"
    regions = "regions:\n  left: {box: [60, 60, 300, 450]}\n  corner: {box: [700, 500, 30, 20]}\n"
    white = f"white: {{box: {[int(v) for v in golden.label]}}}\n"
    box = "units: fraction\noutline: {box: [0.06, 0.08, 0.88, 0.84]}\n"
    (path / "small.yaml").write_text(head + regions + white + "reference: golden\ngolden: golden.png\n")
    (path / "pair.yaml").write_text("schema: 1\nboard_type: any\nreference: pair\ntone: srgb\n" + box)
    (path / "every_step.yaml").write_text(EVERY_STEP)
    return path


@pytest.fixture(scope="module")
def board(folder):
    """Opened and matched; every plane is kept."""
    return pair_of(folder, folder / "every_step.yaml")


@pytest.fixture(scope="module")
def measured(board):
    return run_through(board)


@pytest.fixture(scope="module")
def planes(board):
    return dask.compute(lazy.lazy_planes(board, chunks=CHUNKS[1]))[0]


def pair_of(folder, workflow, board_type="small"):
    shots = folder / "before.png", folder / "after.png"
    return lazy.match_pair(folder / f"{board_type}.yaml", *shots, workflow, keep_all=True)


def run_through(board):
    """The board with its record and fits, by the tile program with small tiles."""
    board = replace(board, setting=replace(board.setting, tile=192))
    return run_inline(boards.plan_board(board), board)


def differences(board, measured, chunks):
    """Planes that differ from those of the tile program, and how many were compared."""
    lazily = dask.compute(lazy.lazy_planes(board, chunks=chunks))[0]
    bad, compared = [], set()
    for visit in measured.setting.program.passes:
        for key, plane in boards.every_plane(measured, visit, Box.whole(SHAPE)).items():
            compared.add(key)
            if plane.dtype != lazily[key].dtype or not np.array_equal(plane, lazily[key]):
                bad.append(str(key))
    assert compared == set(lazily)
    return bad


# the tile program --------------------------------------------------------------------


def test_the_workflow_of_these_tests_uses_every_shipped_step(board):
    used = {node.step.name for node in board.setting.program.nodes.values() if node.step}
    shipped = {name for name, step in STEPS.items() if step.function.__module__.startswith("residue_batch.")}
    assert shipped - used == set()


@pytest.mark.parametrize("chunks", CHUNKS)
def test_every_plane_is_that_of_the_tile_program_bit_for_bit(board, measured, chunks):
    assert len(board.setting.program.passes) == 3
    assert differences(board, measured, chunks) == []


@pytest.mark.parametrize("chunks", CHUNKS)
def test_measures_are_those_of_the_tile_program(board, measured, chunks):
    stage = boards.plan_board(measured).stages[-1]
    tiled = merge_all(stage.function(measured, item) for item in stage.items)
    tally, record = dask.compute(lazy.lazy_measures(board, chunks=chunks), lazy.lazy_record(board, chunks=chunks))
    assert tally.keys() == tiled.keys()
    assert [name for name in tally if name != "tiles" and not np.array_equal(tally[name], tiled[name])] == []
    assert {k: v for k, v in record.items() if k != "tiles"} == {
        k: v for k, v in measured.record.items() if k != "tiles"
    }


def test_a_shipped_workflow_of_two_passes(folder):
    board = pair_of(folder, Path(__file__).parent.parent / "workflows" / "film_and_crystals.yaml")
    assert len(board.setting.program.passes) == 2
    measured = run_through(board)
    assert differences(board, measured, CHUNKS[0]) == []
    assert lazy.lazy_record(board).compute()["values"] == measured.record["values"]


def test_grey_shots_of_16_bit_without_a_clean_reference(folder):
    rng = np.random.default_rng(4)
    for name in ("before", "after"):
        pixels = photo.read(folder / f"{name}.png").pixels.astype(np.uint16) * 257
        grey = np.minimum(pixels.mean(axis=2) + rng.integers(0, 99, SHAPE), 65535).astype(np.uint16)
        (folder / "grey").mkdir(exist_ok=True)
        synthetic.write_shot(folder / "grey" / f"{name}.png", grey)
    shots = folder / "grey" / "before.png", folder / "grey" / "after.png"
    board = lazy.match_pair(folder / "pair.yaml", *shots, folder / "every_step.yaml", keep_all=True)
    found = lazy.lazy_planes(board, chunks=CHUNKS[1])
    assert found[Key("raw", "after")].shape == (1, *SHAPE)
    assert found[Key("raw", "after")].dtype == np.uint16
    assert differences(board, run_through(board), CHUNKS[1]) == []


# other implementations ---------------------------------------------------------------


def _mixed(colour, weights):
    light = colour.astype(np.float64) / full_scale(colour)
    if colour.dtype.kind == "u":
        light = da.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    return (light * np.array(weights)[:, None, None]).sum(axis=0)


def _lab(colour, which, **_):
    rows = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    relative = (_mixed(colour, np.array(row) / sum(row)) for row in rows)
    x, y, z = (da.where(t > (6 / 29) ** 3, da.cbrt(t), t * 841 / 108 + 4 / 29) for t in relative)
    return {"L": 116 * y - 16, "a": 500 * (x - y), "b": 200 * (y - z)}[which]


def _span(reference, white):
    return white[:, None, None].astype(np.float64) - reference


def _unmix(image, reference, white, **_):
    span = _span(reference, white)
    norm = (span**2).sum(axis=0)
    opacity = ((image.astype(np.float64) - reference) * span).sum(axis=0) / da.maximum(norm, 1e-6)
    return da.where(norm < 1e-6, 0, opacity).clip(-4, 4)


def _contrast(reference, white, at_least, **_):
    return (_span(reference, white) ** 2).sum(axis=0) >= at_least**2 * (white.astype(np.float64) ** 2).sum()


def _area_opening(mask, smallest, connectivity, **_):
    def large(part):
        labels, _ = ndimage.label(part, np.ones((3, 3)) if connectivity == 8 else None)
        return (np.bincount(labels.ravel()) >= smallest)[labels] & part

    return da.map_overlap(large, mask, depth=int(smallest), boundary="none", dtype=bool)


DEFINITIONS = {
    "and": lambda *masks, **_: reduce(da.logical_and, masks),
    "or": lambda *masks, **_: reduce(da.logical_or, masks),
    "not": lambda mask, **_: da.logical_not(mask),
    "threshold": lambda plane, level, **_: plane > np.float32(level),
    "difference": lambda a, b, **_: a.astype(np.float64) - b,
    "whiteness": lambda colour, **_: colour.min(axis=0) / full_scale(colour),
    "channel": lambda colour, name, **_: colour[("red", "green", "blue").index(name)] / full_scale(colour),
    "luma": lambda colour, **_: _mixed(colour, (0.2126, 0.7152, 0.0722)),
    "lab": _lab,
    "unmix": _unmix,
    "contrast": _contrast,
    "area_opening": _area_opening,
}
"""Steps that dask-image does not have, in float64."""

CLOSE = {"lab": 1e-3, "gaussian": 1e-4, "background": 1e-4, "unmix": 1e-5}
"""Largest difference of a smooth plane, 1e-6 for other steps: L*a*b* spans 100, and is smoothed here too."""


def compared(board, planes, oracles, chunks):
    """Largest difference per step between kernels and oracles; planes whose masks differ."""
    # here, not on a cluster that another test has left open
    found = dask.compute(lazy.oracle_planes(board, chunks=chunks, oracles=oracles), scheduler="threads")[0]
    worst, unequal = {}, []
    for key, plane in found.items():
        name = board.setting.program.nodes[key].step.name
        if planes[key].dtype == bool:
            unequal += [str(key)] * (not np.array_equal(plane, planes[key]))
            assert 0 < planes[key].mean() < 1, f"{key} is all alike: it compares nothing"
        else:
            worst[name] = max(worst.get(name, 0.0), float(np.abs(plane - planes[key]).max()))
            assert planes[key].std() > 1e-3, f"{key} is flat: it compares nothing"
    return worst, unequal


@pytest.mark.parametrize("chunks", CHUNKS)
def test_dask_image_agrees_with_every_kernel_that_it_has(board, planes, chunks):
    worst, unequal = compared(board, planes, lazy.ORACLES, chunks)
    assert unequal == []
    assert worst.keys() == {"gaussian", "background"}
    assert {k: v for k, v in worst.items() if v >= CLOSE[k]} == {}


def test_definitions_agree_with_the_other_kernels(board, planes):
    worst, unequal = compared(board, planes, DEFINITIONS, CHUNKS[1])
    assert unequal == []
    assert {k: v for k, v in worst.items() if v >= CLOSE.get(k, 1e-6)} == {}
    assert STEPS.keys() >= DEFINITIONS.keys() | lazy.ORACLES.keys()


def test_dask_image_agrees_with_load(board, measured):
    lazily = lazy.lazy_planes(board, chunks=CHUNKS[0])
    seen = lazily[Key("observable")] & lazily[Key("outline")]
    means = [ndmeasure.mean(lazily[Key("opacity", p)].astype(np.float64), seen, 1) for p in ("before", "after")]
    loads = [load[0] for load in measured.record["values"]["load"]]
    assert np.allclose(dask.compute(*means), loads, rtol=0, atol=0.05 / ONE)


# notebooks ---------------------------------------------------------------------------


def test_the_notebook_of_the_docstring_runs(folder):
    given = {name: str(folder / f"{name}.png") for name in ("before", "after")}
    given["board_type"] = str(folder / "small.yaml")
    (example,) = (t for t in doctest.DocTestFinder().find(lazy, "lazy", extraglobs=given) if t.examples)
    assert doctest.DocTestRunner().run(example).failed == 0
    assert len(example.examples) > 5


def test_the_dataset_names_planes_phases_and_regions(board, planes):
    dataset = lazy.lazy_dataset(board, chunks=CHUNKS[1])
    assert isinstance(dataset, xr.Dataset)
    assert dataset.raw.dims == ("phase", "c", "y", "x")
    assert dataset.reference.dims == ("c", "y", "x")
    assert dataset.white.dims == ("c",)
    assert dataset.observable.dims == ("y", "x")
    assert list(dataset.region.values) == ["whole", "left", "corner"]
    assert dataset.smooth.attrs["step"] == "gaussian"
    after = dataset.opacity.sel(phase="after").compute()
    assert np.array_equal(after, planes[Key("opacity", "after")])
    assert int(dataset.regions.sel(region="corner").sum()) == 600


def test_only_the_chunks_one_looks_at_are_computed(board):
    ran = []
    dataset = lazy.lazy_dataset(board, chunks=100)
    with Callback(pretask=lambda key, *_: ran.append(key)):
        dataset.opacity.sel(phase="before")[:64, :64].compute(
            scheduler="synchronous"
        )  # whatever client another test left
    assert 0 < len(ran) < 60
    with Callback(pretask=lambda key, *_: ran.append(key)):
        dataset.opacity.sel(phase="before").compute(scheduler="synchronous")
    assert len(ran) > 200


def test_graphs_of_one_board_share_their_tasks(board):
    first, second = (lazy.lazy_planes(board, chunks=200)[Key("haze", "after")] for _ in range(2))
    assert first.name == second.name
    assert set(first.dask) == set(second.dask)


def test_chunks_are_never_smaller_than_a_halo():
    assert lazy._split(600, 113, 36) == (113, 113, 113, 113, 148)
    assert lazy._split(600, 5, 250) == (250, 350)
    assert lazy._split(9, 113, 12) == (9,)
    assert lazy._split(600, 200, 12) == (200, 200, 200)


def test_what_cannot_be_made_lazy_is_refused(board):
    with pytest.raises(UsageError, match="1 px or more"):
        lazy.lazy_planes(board, chunks=0)
    with pytest.raises(UsageError, match="not matched yet"):
        lazy.lazy_planes(replace(board, matches={}))
