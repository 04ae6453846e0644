"""A plan is printed and costed before anything is measured."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from small import EVERY_STEP, FITTED, FLUX, SmallLot

from residue_batch import board as boards
from residue_batch import stages
from residue_batch.geometry import Box
from residue_batch.program import PHASES
from residue_batch.stages import TASK_SECONDS, Plan, make_plan, scene_bytes, working_bytes


def plan(text: str = FLUX, shape: tuple[int, int] = (3000, 4000), tile: int = 1024, reference: str = "golden") -> Plan:
    pixels = shape[0] * shape[1]
    return make_plan(small.program(text, reference), shape, 3, 6 * pixels, 2 * pixels, tile, True, 0, boards)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (FLUX, ["open", "match", "measure"]),
        (FITTED, ["open", "match", "fit 1", "measure"]),
        (EVERY_STEP, ["open", "match", "fit 1", "fit 2", "fit 3", "measure"]),
    ],
)
def test_the_stages_follow_from_the_passes(text: str, names: list[str]) -> None:
    made = plan(text)
    assert [stage.name for stage in made.stages] == names
    assert made.tiles == 12
    for stage in made.stages:
        if stage.name.startswith("fit"):
            number = int(stage.name.split()[1]) - 1
            assert stage.items == tuple((number, box) for box in made.stages[-1].items)


def test_the_tiles_of_a_plan_cover_the_frame() -> None:
    made = plan(shape=(3000, 4000), tile=704)
    assert sum(box.pixels for box in made.stages[-1].items) == 3000 * 4000
    assert Box(2816, 3520, 3000, 4000) in made.stages[-1].items


@given(st.integers(1, 6000), st.integers(1, 6000), st.integers(1, 40))
def test_no_task_is_shorter_than_its_overhead_is_worth(height: int, width: int, size: int) -> None:
    made = plan(shape=(height, width), tile=64 * size)
    for stage in made.stages:
        assert stage.batch * stage.seconds >= TASK_SECONDS * 0.999
        assert (stage.batch - 1) * stage.seconds < TASK_SECONDS
    assert made.tasks <= sum(len(stage.items) for stage in made.stages)
    assert made.tasks >= len(made.stages)


def test_the_cost_grows_with_the_work() -> None:
    assert plan(FITTED).seconds > plan(FLUX).seconds
    assert 3 < plan(shape=(6000, 8000)).seconds / plan(shape=(3000, 4000)).seconds < 4
    assert plan(shape=(6000, 8000)).peak_bytes > plan(shape=(3000, 4000)).peak_bytes
    assert plan(tile=2048).peak_bytes > plan(tile=512).peak_bytes
    assert plan(EVERY_STEP).peak_bytes > plan(FLUX).peak_bytes


def test_twelve_megapixels_fit_a_small_worker() -> None:
    assert plan().peak_bytes < 450e6


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([64, 512, 1024]))
def test_the_memory_of_a_tile_does_not_exceed_that_of_the_frame(height: int, width: int, tile: int) -> None:
    program = small.program(EVERY_STEP)
    whole = working_bytes(program, (height, width), 1 << 20, True)
    assert 0 < working_bytes(program, (height, width), tile, True) <= whole
    kinds = [small.program(FLUX, reference) for reference in ("golden", "pair")]
    assert scene_bytes(kinds[0], (height, width), 3) < scene_bytes(kinds[1], (height, width), 3)


def test_code_values_of_8_bit_take_a_byte_where_floats_take_four() -> None:
    text = "schema: 1\nworkflow: w\nplanes:\n  s: {step: whiteness, of: raw}\nmeasures:\n  s: {measure: load, of: s}\n"
    program, shape = small.program(text, "none"), (3000, 4000)
    saved = working_bytes(program, shape, 1024, False) - working_bytes(program, shape, 1024, True)
    assert saved == len(PHASES) * 3 * 1024**2


def test_a_plan_is_a_value_that_prints() -> None:
    made = plan()
    assert pickle.loads(pickle.dumps(made)) == made
    assert hash(made) == hash(plan())
    lines = str(made).splitlines()
    assert lines[0].startswith("frame 4000 x 3000 px, tile 1024 px, 12 tiles, about ")
    assert [line.split()[0] for line in lines[1:]] == ["open", "match", "measure"]


def test_a_board_is_planned_from_headers(lot: SmallLot) -> None:
    board = small.board(small.setting(lot.board_type, tile=128), lot.shot(0, "before"), lot.shot(0, "after"))
    made = boards.plan_board(board)
    assert made.shape == small.SHAPE
    assert made.tiles == 12
    assert made.input_pixels == 2 * small.SHAPE[0] * small.SHAPE[1]
    own = replace(board, setting=replace(board.setting, frame=None))
    assert boards.plan_board(own).shape == small.SHAPE


def test_planes_are_left_up_to_a_limit_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    program, shape = small.program(FITTED), (3000, 4000)

    def planned(left: int) -> Plan:
        return make_plan(program, shape, 3, 72_000_000, 24_000_000, 1024, True, left, boards)

    needed = planned(0).peak_bytes
    assert planned(0).room == 0
    monkeypatch.setattr(stages, "ROOMY_BYTES", needed + 30_000_000)
    assert (planned(2).room, planned(2).peak_bytes) == (24_000_000, needed + 24_000_000)
    assert (planned(10).room, planned(10).peak_bytes) == (30_000_000, needed + 30_000_000)
    assert planned(2).least_bytes == planned(10).least_bytes == needed
    monkeypatch.setattr(stages, "ROOMY_BYTES", needed - 1)
    assert (planned(10).room, planned(10).peak_bytes) == (0, needed)
