"""A program as it is run, steps in one go and planes left from pass to pass, gives what it gives as it is written."""

from __future__ import annotations

import numpy as np
import pytest
import small

from residue_batch import stages
from residue_batch.board import Board, plan_board, sources_of
from residue_batch.engine.inline import identify, measure_boards, run_inline
from residue_batch.geometry import Box, tiles
from residue_batch.passes import fused, left_by, relayed
from residue_batch.program import Key
from residue_batch.shelf import Shelf, shelf, shelves
from residue_batch.stages import Plan
from residue_batch.tile import walk

DETAIL = """
schema: 1
workflow: detail
planes:
  opacity: {step: unmix}
  film: {step: background, of: opacity, cell: 16 px, sigma: 40 px}
  detail: {step: difference, of: [opacity, film]}
measures:
  load: {measure: load, of: detail}
"""
FUSED = {Key("film", phase) for phase in ("before", "after")}


def names(visit: object) -> set[Key]:
    return {node.key for node in visit.nodes}  # type: ignore[attr-defined]


def test_a_background_that_is_only_taken_off_is_no_plane_of_its_own() -> None:
    last = small.program(DETAIL).passes[-1]
    assert names(last) >= FUSED
    assert names(last) - names(fused(last)) == FUSED
    freed = [key for frees in fused(last).frees for key in frees]
    assert sorted(freed) == sorted(key for frees in last.frees for key in frees if key not in FUSED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("measures:", "keep: [film]\nmeasures:"),
        ("measures:", "measures:\n  haze: {measure: load, of: film}"),
        ("measures:", "  twice: {step: difference, of: [detail, film]}\nmeasures:\n  rest: {measure: load, of: twice}"),
        ("[opacity, film]", "[film, opacity]"),
    ],
)
def test_a_background_that_something_else_reads_stays(old: str, new: str) -> None:
    last = small.program(DETAIL.replace(old, new)).passes[-1]
    assert fused(last) == last


def test_what_is_fused_has_the_same_bits(lot: small.SmallLot) -> None:
    setting = small.setting(lot.board_type, DETAIL)
    board, _ = identify(small.board(setting, lot.shot(0, "before"), lot.shot(1, "after")))
    plan = plan_board(board)
    first = Plan(plan.stages[:-1], plan.shape, plan.tile, plan.input_pixels, plan.peak_bytes)
    board = run_inline(first, board)
    sources, visit = sources_of(board), board.setting.program.passes[-1]
    assert board.setting.relays[False][-1].alone == fused(visit) != visit
    for tile in (Box.whole(sources.scene.shape), *list(tiles(sources.scene.shape, 150))[:3]):
        apart, together = (walk(one, sources, tile, board.fits) for one in (visit, fused(visit)))
        for key in (Key("detail", "before"), Key("detail", "after")):
            np.testing.assert_array_equal(together[key], apart[key])
            assert np.abs(apart[key]).max() > 0.01


GRAINS = """
schema: 1
workflow: grains
planes:
  score: {step: whiteness, of: raw}
  burnt: {step: threshold, of: score, level: 0.9}
  glare: {step: dilate, of: burnt, radius: 5 px}
  clear: {step: not, of: glare}
  smooth: {step: gaussian, of: score, where: clear, sigma: 2 px}
  ground: {step: background, of: score, where: clear, cell: 8 px, sigma: 25 px}
  local: {step: difference, of: [smooth, ground]}
  bright: {step: otsu, of: local, where: clear, fit_on: before}
  compact: {step: open, of: bright, radius: 1 px, shape: square}
exclude: [glare]
measures:
  grains: {measure: cover, of: [compact, local]}
"""
GLARE = {Key("glare", "before"), Key("glare", "after")}


def test_a_pass_leaves_what_neighbourhoods_went_into_and_no_more() -> None:
    first, second, last = relayed(small.program(GRAINS).passes, codes=False)
    # not 'clear', which is made of it pixel by pixel, nor 'score', which is soon made
    assert set(first.leaves) == GLARE
    assert set(second.leaves) == {Key("glare", "before"), Key("local", "before")}
    assert set(last.finds) == {*GLARE, Key("local", "before")}
    assert last.leaves == first.finds == ()
    assert left_by((first, second, last)) == 1 + 1 + 4
    made, left_out = names(last.rest), names(last.whole) - names(last.rest)
    assert Key("smooth", "after") in made
    assert {Key("smooth", "before"), Key("burnt", "before"), Key("burnt", "after"), *GLARE} <= left_out


def test_code_values_of_a_byte_are_left_too() -> None:
    first, second, last = relayed(small.program(GRAINS).passes, codes=True)
    scores = {Key("score", "before"), Key("score", "after")}
    assert set(first.leaves) == GLARE | scores
    assert set(last.finds) == {*GLARE, Key("local", "before"), Key("score", "after")}
    assert not (names(second.rest) | names(last.rest)) & scores
    assert left_by((first, second, last)) == 1 + 1 + 4 + 1 + 1


def test_a_mask_that_only_a_fit_looks_at_is_made_for_the_fit_alone() -> None:
    *_, fitting, last = small.program(GRAINS).passes
    bright = next(node for node in last.nodes if node.key == Key("bright", "before"))
    assert bright.where == Key("clear", "before") in {node.key for node in fitting.nodes}
    assert bright.needs == (Key("local", "before"),)
    alone = relayed(small.program(GRAINS).passes, codes=False)[-1]
    assert Key("clear", "before") not in names(alone.rest)


def test_one_pass_leaves_nothing() -> None:
    (only,) = relayed(small.program(small.FLUX).passes, codes=True)
    assert only.alone == only.whole == only.rest
    assert (only.finds, only.leaves, only.nbytes) == ((), (), 0)


@pytest.fixture(scope="module", params=[GRAINS, small.FITTED, small.EVERY_STEP], ids=["grains", "fitted", "every step"])
def fitted_board(request: pytest.FixtureRequest, lot: small.SmallLot) -> Board:
    board, _ = identify(
        small.board(small.setting(lot.board_type, request.param), lot.shot(0, "before"), lot.shot(1, "after"))
    )
    plan = plan_board(board)
    return run_inline(Plan(plan.stages[:-1], plan.shape, plan.tile, plan.input_pixels, plan.peak_bytes), board)


@pytest.mark.parametrize("size", [97, 150, 1000])
@pytest.mark.parametrize("codes", [False, True])
def test_what_is_left_stands_for_what_is_made_again_bit_for_bit(fitted_board: Board, size: int, codes: bool) -> None:
    sources, passes = sources_of(fitted_board), fitted_board.setting.relays[codes]
    assert sources.codes
    assert passes[-1].finds
    for tile in list(tiles(sources.scene.shape, size))[:6]:
        left: Shelf = {}
        for one in passes:
            visit = one.visit(left)
            assert visit == one.rest
            found = walk(visit, sources, tile, fitted_board.fits, left, one.leaves)
            expected = walk(one.alone, sources, tile, fitted_board.fits)
            assert expected.keys() <= found.keys()
            for key, plane in expected.items():
                np.testing.assert_array_equal(found[key], plane, str(key))
        again = walk(passes[-1].visit({}), sources, tile, fitted_board.fits, {}, ())
        assert all(np.array_equal(again[key], plane) for key, plane in expected.items())


@pytest.mark.parametrize("room", [0, 90_000, 1 << 30])
def test_a_board_has_the_same_record_with_any_room_for_what_is_left(
    lot: small.SmallLot, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    setting = small.setting(lot.board_type, GRAINS, tile=128)
    board = small.board(setting, lot.shot(0, "before"), lot.shot(1, "after"))
    identified, _ = identify(board)
    expected = run_inline(plan_board(identified), identified).record
    monkeypatch.setattr(stages, "ROOMY_BYTES", plan_board(identified).peak_bytes - plan_board(identified).room + room)
    assert (plan_board(identified).room > 0) == (room > 0)
    (done,) = measure_boards([(board, frozenset())])
    assert done.failure == ""
    assert done.record == expected is not None


def test_a_shelf_is_there_inside_and_its_last_pass_empties_it() -> None:
    tile, other = Box(0, 0, 4, 4), Box(0, 4, 4, 8)
    assert shelf(tile, 10, last=False) is None
    with shelves(9):
        assert shelf(tile, 10, last=False) is None
    with shelves(1000):
        here = shelf(tile, 10, last=False)
        assert here == {}
        here[Key("glare")] = tile, np.ones(tile.shape, np.bool_)
        assert shelf(tile, 10, last=False) is here
        assert shelf(other, 10, last=True) == {}
        assert shelf(tile, 10, last=True) is here
        assert shelf(tile, 10, last=False) == {}


def test_small_tiles_at_the_edge_do_not_make_large_ones_look_small() -> None:
    large, other, edge = Box(0, 0, 10, 10), Box(0, 10, 10, 20), Box(0, 20, 10, 22)
    with shelves(210):
        for tile in (large, other):
            shelf(tile, tile.pixels, last=False)[Key("x")] = (tile, np.ones(1))
        refused = shelf(edge, edge.pixels, last=False)
        assert refused == {}
        assert shelf(edge, edge.pixels, last=False) is not refused, "nothing is left for it"
    with shelves(220):
        for tile in (large, other, edge):
            here = shelf(tile, tile.pixels, last=False)
            assert shelf(tile, tile.pixels, last=False) is here


def test_a_tile_for_which_there_is_no_room_leaves_nothing() -> None:
    with shelves(1001):
        first, second, third = (shelf(Box(0, 4 * i, 4, 4 * i + 4), 500, last=False) for i in range(3))
        for place, one in enumerate((first, second, third)):
            assert one == {}
            one[Key("glare")] = Box(0, 0, 1, 1), np.ones((1, 1), np.bool_)
            assert bool(shelf(Box(0, 4 * place, 4, 4 * place + 4), 500, last=False)) == (place < 2)
