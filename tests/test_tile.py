"""Every plane on a tile is the plane of the whole frame there, bit for bit."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import small
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small import EVERY_STEP, FLUX, SHAPE, SmallLot

from residue_batch.board import Board, every_plane, plan_board, sources_of
from residue_batch.engine.inline import identify
from residue_batch.geometry import Box, tiles
from residue_batch.picture import scale_of
from residue_batch.program import PHASES, Key, Pass
from residue_batch.tally import merge_all
from residue_batch.tile import fit_tile, measure_tile, shown_plane, thumbnail_tile, walk

FRAME = Box.whole(SHAPE)


def fitted(board: Board) -> Board:
    """Through every stage but the last."""
    board, _ = identify(board)
    for stage in plan_board(board).stages[:-1]:
        board = stage.then(board, reduce(stage.merge, (stage.function(board, item) for item in stage.items)))
    return board


@pytest.fixture(scope="module", params=["golden", "pair"])
def board(request: pytest.FixtureRequest, lot: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Board:
    path = tmp_path_factory.mktemp("type") / "t.yaml"
    kind = small.write_type(path, lot.truth, request.param, golden=str(lot.folder / lot.truth.golden))
    return fitted(small.board(small.setting(kind, EVERY_STEP), lot.shot(0, "before"), lot.shot(1, "after")))


@pytest.fixture(scope="module")
def whole(board: Board) -> list[dict[Key, np.ndarray]]:
    """Every plane of every pass on the whole frame."""
    return [every_plane(board, visit, FRAME) for visit in board.setting.program.passes]


def same(part: np.ndarray, all_of_it: np.ndarray, tile: Box) -> bool:
    if part.ndim == 1:
        return np.array_equal(part, all_of_it)
    rows, columns = tile.within(FRAME)
    return (
        part.dtype == all_of_it.dtype
        and part.tobytes() == np.ascontiguousarray(all_of_it[..., rows, columns]).tobytes()
    )


def differing(board: Board, whole: list[dict[Key, np.ndarray]], tile: Box) -> list[str]:
    found = []
    for number, visit in enumerate(board.setting.program.passes):
        planes = every_plane(board, visit, tile)
        assert planes.keys() == whole[number].keys()
        found += [str(key) for key, plane in planes.items() if not same(plane, whole[number][key], tile)]
    return found


@pytest.mark.parametrize("size", [97, 128, 256])
def test_every_plane_of_every_step_is_the_same_in_a_tile(
    board: Board, whole: list[dict[Key, np.ndarray]], size: int
) -> None:
    grid = list(tiles(SHAPE, size))
    for tile in (grid[0], grid[1], grid[len(grid) // 2], grid[-1]):
        assert differing(board, whole, tile) == [], tile


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1), st.integers(1, 90), st.integers(1, 90))
def test_every_plane_is_the_same_on_any_box(
    board: Board, whole: list[dict[Key, np.ndarray]], top: int, left: int, height: int, width: int
) -> None:
    tile = Box(top, left, top + height, left + width).intersect(FRAME)
    assert differing(board, whole, tile) == []


def test_a_pass_returns_what_it_is_for_on_the_tile_exactly(board: Board) -> None:
    tile = Box(100, 100, 164, 190)
    program = board.setting.program
    for visit in program.passes:
        planes = walk(visit, sources_of(board), tile, board.fits)
        for key, plane in planes.items():
            assert plane.ndim == 1 or plane.shape[-2:] == tile.shape, key
    wanted = {k for m in program.measures for _, keys, where in m.inputs for k in (*keys, where)}
    assert wanted <= planes.keys()


def test_nothing_writes_into_the_sources(board: Board) -> None:
    sources = sources_of(board)
    before = [sources.scene.mask.copy(), *(view.pixels.copy() for view in sources.views.values())]
    walk(sources.program.passes[-1], sources, Box(0, 0, 120, 130), board.fits)
    after = [sources.scene.mask, *(view.pixels for view in sources.views.values())]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_tallies_of_tiles_add_up_to_that_of_the_whole(board: Board) -> None:
    sources = sources_of(board)
    visit = sources.program.passes[-1]

    def measured(tile: Box) -> dict[str, np.ndarray]:
        return measure_tile(sources, tile, walk(visit, sources, tile, board.fits))

    parts = merge_all(measured(tile) for tile in tiles(SHAPE, 150))
    one = measured(FRAME)
    assert int(parts.pop("tiles")) == 12
    one.pop("tiles")
    assert {k: v.tolist() for k, v in parts.items() if v.any()} == {k: v.tolist() for k, v in one.items() if v.any()}


def test_fits_of_tiles_add_up_to_that_of_the_whole(board: Board) -> None:
    sources = sources_of(board)
    for visit in sources.program.passes[:-1]:

        def fitted_on(tile: Box, visit: Pass = visit) -> dict[str, np.ndarray]:
            return fit_tile(sources, tile, visit.fits, walk(visit, sources, tile, board.fits))

        parts = merge_all(map(fitted_on, tiles(SHAPE, 150)))
        one = fitted_on(FRAME)
        assert parts.keys() == one.keys()
        assert all(np.array_equal(parts[k], one[k]) for k in one)
        assert {name.split("/")[0] for name in one} == {str(key) for key in visit.fits}


def test_a_tile_off_the_board_counts_nothing(board: Board) -> None:
    sources = sources_of(board)
    corner = Box(0, 0, 8, 8)
    tally = measure_tile(sources, corner, walk(sources.program.passes[-1], sources, corner, board.fits))
    assert set(tally) == {"tiles"}


def test_counted_pixels_are_those_of_the_masks(board: Board, whole: list[dict[Key, np.ndarray]]) -> None:
    sources = sources_of(board)
    tally = measure_tile(sources, FRAME, walk(sources.program.passes[-1], sources, FRAME, board.fits))
    observable = whole[-1][Key("observable")]
    bits = sources.scene.bits(FRAME)
    assert int(tally["pixels/0"]) == np.count_nonzero(bits & 1)
    assert int(tally["observable/0"]) == np.count_nonzero(observable)
    assert int(tally["observable/1"]) == np.count_nonzero(observable & (bits & 2 != 0))


def test_excluded_planes_are_not_observable(board: Board, whole: list[dict[Key, np.ndarray]]) -> None:
    planes = whole[-1]
    for phase in PHASES:
        assert not (planes[Key("observable")] & planes[Key("glare", phase)]).any()
        assert not (planes[Key("observable")] & ~planes[Key("valid", phase)]).any()
    assert planes[Key("observable")].any()


@pytest.mark.parametrize("size", [64, 128, 192])
def test_thumbnails_of_tiles_fit_together(board: Board, size: int) -> None:
    sources = sources_of(board)
    scale = scale_of(FRAME, size, 100)
    assert size % scale == 0
    visit = sources.program.passes[-1]
    tally = merge_all(
        thumbnail_tile(sources, tile, walk(visit, sources, tile, board.fits), scale) for tile in tiles(SHAPE, size)
    )
    names = {name.split("/")[1] for name in tally}
    assert names == {"raw.before", "raw.after", "shown.before", "shown.after", "hidden", "outline"}
    for name in names:
        area = sum(v.shape[0] * v.shape[1] for k, v in tally.items() if k.split("/")[1] == name)
        assert area == -(-SHAPE[0] // scale) * -(-SHAPE[1] // scale)


def test_a_report_shows_what_the_first_measure_reads() -> None:
    assert shown_plane(small.program(FLUX), "before") == Key("opacity", "before")
    bare = FLUX.replace("of: opacity, tau", "of: opacity.after, tau").replace("of: opacity}", "of: opacity.after}")
    assert shown_plane(small.program(bare), "before") is None


def test_a_shot_outside_the_frame_is_not_valid(lot: SmallLot, tmp_path: Path) -> None:
    image = small.read_image(lot.shot(0, "after"))
    cut = small.write_image(tmp_path / "cut.png", image[40:, 60:])
    board = fitted(small.board(small.setting(lot.board_type, FLUX), lot.shot(0, "before"), cut))
    planes = every_plane(board, board.setting.program.passes[-1], FRAME)
    valid = planes[Key("valid", "after")]
    assert not valid[:30].any()
    assert not valid[:, :50].any()
    assert valid[60:-20, 80:-20].all()
    assert not planes[Key("observable")][:30].any()


def test_transparent_pixels_are_not_valid(lot: SmallLot, tmp_path: Path) -> None:
    image = small.read_image(lot.shot(0, "after"))
    alpha = np.full((*image.shape[:2], 1), 255, np.uint8)
    alpha[200:240, 200:260] = 0
    seen = small.write_image(tmp_path / "alpha.png", np.concatenate([image, alpha], axis=2))
    board = fitted(small.board(small.setting(lot.board_type, FLUX), lot.shot(0, "before"), seen))
    visit = board.setting.program.passes[-1]
    valid = every_plane(board, visit, FRAME)[Key("valid", "after")]
    assert not valid[206:234, 206:254].any()
    assert valid[60:190, 60:400].all()
    for tile in tiles(SHAPE, 100):
        assert same(every_plane(board, visit, tile)[Key("valid", "after")], valid, tile)
