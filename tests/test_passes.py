"""Steps that are run in one go give what they give one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import small

from residue_batch.board import plan_board, sources_of
from residue_batch.engine.inline import identify, run_inline
from residue_batch.geometry import Box, tiles
from residue_batch.passes import fused
from residue_batch.program import Key
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
    assert board.setting.passes[-1] == fused(visit) != visit
    for tile in (Box.whole(sources.scene.shape), *list(tiles(sources.scene.shape, 150))[:3]):
        apart, together = (walk(one, sources, tile, board.fits) for one in (visit, fused(visit)))
        for key in (Key("detail", "before"), Key("detail", "after")):
            np.testing.assert_array_equal(together[key], apart[key])
            assert np.abs(apart[key]).max() > 0.01
