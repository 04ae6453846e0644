"""The two intervals: deterministic, the same on every tile, around their estimate, as wide as what is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from small import FLUX, SmallLot

from residue_batch import kernels
from residue_batch.board import plan_board, sources_of
from residue_batch.budget import (
    CALM,
    GLINT,
    SOURCES,
    Budget,
    clean_noise,
    difference_interval,
    glare_errors,
    hidden_error,
    local_error,
    reduction_interval,
    zero_error,
)
from residue_batch.engine.inline import identify, run_inline
from residue_batch.evidence import BLOCK, blocks_of, evidence_tile, levels_of, width_of
from residue_batch.geometry import Box
from residue_batch.intervals import COMPONENTS
from residue_batch.outcome import Record
from residue_batch.sampling import ENDS, FEWEST, block_covariance, ends, sampling_interval, stream
from residue_batch.tally import ONE, merge_all
from residue_batch.tile import walk
from residue_batch.variables import INTERVALS

loads = st.floats(0.01, 0.5)
errors = st.floats(1e-5, 5e-3)


def measured(lot: SmallLot, before: Path, after: Path, kind: Path | None = None, **given: Any) -> Record:
    setting = small.setting(kind or lot.board_type, given.pop("text", FLUX), **given)
    board = identify(small.board(setting, before, after))[0]
    record = run_inline(plan_board(board), board).record
    assert record is not None
    return record


@pytest.fixture(scope="module")
def record(lot: SmallLot) -> Record:
    return measured(lot, lot.shot(0, "before"), lot.shot(0, "after"))


# one board -------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [64, 192, 448])
def test_intervals_are_the_same_on_every_tile(lot: SmallLot, record: Record, tile: int) -> None:
    again = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), tile=tile)
    assert again == record


def test_every_reduction_of_load_and_area_has_both_intervals_around_it(record: Record) -> None:
    values = record["values"]
    for name in ("load_reduction_pct", "area_reduction_pct", "area_main_reduction_pct"):
        low, high = (np.array(values[f"{name}_{end}"], float) for end in INTERVALS[:2])
        assert (low <= np.array(values[name])).all()
        assert (np.array(values[name]) <= high).all()
        narrow, wide = (np.array(values[f"{name}_{end}"], float) for end in INTERVALS[2:])
        assert ((narrow <= wide) | np.isnan(narrow)).all()
    assert not any("not_estimated" in flags for flags in record["flags"])
    assert values["area_main_reduction_pct_low"][0] == values["area_reduction_pct_low"][0][0]


def test_the_shares_of_the_sources_are_the_whole(record: Record) -> None:
    for shares in record["values"]["load_reduction_pct_share"]:
        assert len(shares) == len(SOURCES)
        assert sum(shares) == pytest.approx(100)
        assert shares[SOURCES.index("film")] == 0, "a clean reference sees film"


def test_a_record_says_how_much_the_light_leaves_open(record: Record) -> None:
    for phase in ("before", "after"):
        assert 1e-5 < record["match"][phase]["light_error"] < 2e-2


def test_the_absolute_change_stands_beside_the_reduction(record: Record) -> None:
    values = record["values"]
    before, after = values["load"]
    assert values["load_change"] == pytest.approx([a - b for b, a in zip(before, after, strict=True)])
    for low, change, high in zip(*(values[f"load_change{end}"] for end in ("_low", "", "_high")), strict=True):
        assert low < change < high


def test_best_and_worst_hold_the_reduction_of_what_both_shots_show(record: Record) -> None:
    values = record["values"]
    for best, worst in zip(values["load_reduction_best_pct"], values["load_reduction_worst_pct"], strict=True):
        assert best >= worst
    assert values["load_reduction_best_pct"][0] == pytest.approx(values["load_reduction_pct"][0], abs=3.0)
    for unseen, seen in zip(values["unseen_pct"], record["observable_pct"], strict=True):
        assert 0 <= unseen <= 100 - seen + 1e-9


def test_glare_of_one_shot_hides_as_much_of_the_load_as_the_bounds_are_apart(lot: SmallLot, tmp_path: Path) -> None:
    """A highlight is laid over a corner of the board, where a board type of its own has metal."""
    covered = {}
    for phase in ("before", "after"):
        image = small.read_image(lot.shot(0, phase))
        image[60:160, 60:220] = 255
        covered[phase] = small.write_image(tmp_path / f"{phase}.png", image)
    text = small.FLUX.replace("above: 0.94", "above: 0.94, metal_above: 0")
    setting = small.setting(lot.board_type, text)
    shots = {phase: lot.shot(0, phase) for phase in ("before", "after")}

    def under(**other: Path) -> tuple[dict[str, float], float]:
        board = small.board(setting, *({**shots, **other}.values()))
        values = run_inline(plan_board(board), board).record["values"]
        found = dict(zip(shots, (row[0] for row in values["load_under_glare_pct"]), strict=True))
        return found, values["load_reduction_best_pct"][0] - values["load_reduction_worst_pct"][0]

    bare, _ = under()
    for hidden, other in (("after", "before"), ("before", "after")):
        found, apart = under(**{hidden: covered[hidden]})
        assert found[other] > bare[other] + 3
        assert found[hidden] < bare[hidden] + 1
        assert apart == pytest.approx(found["before"], abs=1e-6)


def test_a_load_that_cannot_be_detected_has_no_share_under_glare(lot: SmallLot, tmp_path: Path) -> None:
    golden = lot.folder / lot.truth.golden
    image = small.read_image(golden)
    image[60:120, 60:200] = 255
    covered = small.write_image(tmp_path / "after.png", image)
    kind = small.write_type(tmp_path / "t.yaml", lot.truth, extra="gates: {refuse_copies: false}", golden=str(golden))
    text = small.FLUX.replace("above: 0.94", "above: 0.94, metal_above: 0")
    board = small.board(small.setting(kind, text), golden, covered)
    record = run_inline(plan_board(board), board).record
    assert record["status"][0] == "before_below_lod"
    assert record["values"]["load_under_glare_pct"][0][0] is None


def test_without_a_clean_reference_the_interval_is_honestly_wide(lot: SmallLot, tmp_path: Path) -> None:
    kind = small.write_type(tmp_path / "t.yaml", lot.truth, "pair", golden=str(lot.folder / lot.truth.golden))
    values = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), kind)["values"]
    reduction = values["load_reduction_pct"][0]
    assert reduction - values["load_reduction_pct_low"][0] > 15
    assert values["load_reduction_pct_high"][0] - reduction > 5
    assert values["load_reduction_pct_share"][0][SOURCES.index("film")] > 50


def test_the_same_photograph_in_other_bytes_reads_nothing_within_its_interval(lot: SmallLot, tmp_path: Path) -> None:
    twin = small.write_image(tmp_path / "twin.tif", small.read_image(lot.shot(0, "before")))
    gate, golden = "gates: {refuse_copies: false}", str(lot.folder / lot.truth.golden)
    kind = small.write_type(tmp_path / "t.yaml", lot.truth, "golden", gate, golden)
    values = measured(lot, lot.shot(0, "before"), twin, kind)["values"]
    assert values["load_reduction_pct_low"][0] <= 0 <= values["load_reduction_pct_high"][0]
    assert values["load_change_low"][0] <= 0 <= values["load_change_high"][0]
    assert values["load_reduction_pct"][0] == 0


def test_a_workflow_without_a_load_says_that_nothing_was_estimated(lot: SmallLot) -> None:
    text = FLUX.replace("  load: {measure: load, of: opacity}\n", "")
    found = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), text=text)
    assert all("not_estimated" in flags for flags in found["flags"])
    assert "area_reduction_pct_low" not in found["values"]


# the budget ------------------------------------------------------------------------------


def test_metal_that_was_cleaned_like_the_rest_is_no_lamp_and_metal_that_was_not_is_one() -> None:
    """Sums of opacity over 100 samples of metal and 900 beside it."""
    alike = glare_errors(np.array([100, 2000, 200]), np.array([1000, 20000, 2000]))
    assert alike == pytest.approx((0.0, 0.0), abs=1e-12)
    lamp = glare_errors(np.array([100, 2000, 1200]), np.array([1000, 20000, 3000]))
    assert lamp[0] == 0
    # 1000 steps of opacity over 1000 samples too much
    assert lamp[1] == pytest.approx(GLINT * 1000 / 1000 / ONE, rel=0.05)
    assert glare_errors(np.array([0, 0, 0]), np.array([1000, 20000, 2000])) == (0.0, 0.0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60))
def test_the_ends_of_an_interval_are_percentiles_to_the_bit(values: list[float]) -> None:
    assert ends(np.array(values)) == tuple(np.percentile(np.array(values), ENDS).tolist())


def sums(pixels: int, negative: int, noise: float) -> dict[str, np.ndarray]:
    squares = round(negative * (noise * ONE) ** 2)
    return {k: np.array(v) for k, v in (("pixels", pixels), ("negative", negative), ("negative_squares", squares))}


def test_the_few_pixels_below_zero_of_a_covered_region_are_not_its_noise() -> None:
    whole, other = sums(10_000, 900, 0.03), sums(10_000, 4000, 0.02)
    assert clean_noise(sums(1000, 300, 0.05), [whole, other]) == pytest.approx(0.05, rel=1e-4)
    # half a per cent of outliers: noise as on the whole board ...
    assert clean_noise(sums(1000, 5, 0.26), [whole, other]) == pytest.approx(0.03, rel=1e-4)
    # ... unless they are many and far off; never more than they say themselves
    assert clean_noise(sums(1000, 40, 0.2), [whole, other]) == pytest.approx(0.2 * math.sqrt(0.08), rel=1e-4)
    assert clean_noise(sums(1000, 5, 0.01), [whole, other]) == pytest.approx(0.01, rel=1e-3)
    # a board that is covered all over has the noise of its other shot
    covered = sums(10_000, 20, 0.26)
    assert clean_noise(covered, [covered, other]) == pytest.approx(0.02, rel=1e-4)
    assert clean_noise(covered, [covered, covered]) == CALM
    assert clean_noise(sums(1000, 0, 0.0), [covered, covered]) == CALM


def a_budget(before: float, after: float, **given: Any) -> Budget:
    start = dict.fromkeys(("light", "belief", "registration", "glare", "white"), (0.0, 0.0))
    return Budget(**{"before": before, "after": after, "white_error": 0.1, "hidden": 0.0, **start, **given})


@settings(deadline=None, max_examples=40)
@given(before=loads, share=st.floats(0.0, 1.2), light=errors, factor=st.floats(0.1, 10))
def test_an_interval_scales_with_loads_and_errors_alike(
    before: float, share: float, light: float, factor: float
) -> None:
    """A reduction is a ratio: twice the residue with twice the error is the same interval."""
    found = []
    for scale in (1.0, factor):
        own = a_budget(scale * before, scale * before * share, light=(scale * light, scale * light))
        found.append(reduction_interval(*own.draws(stream("a" * 64)), 100 * (1 - share)))
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=1e-6)
    assert found[0][0] <= 100 * (1 - share) <= found[0][1]


def test_a_normal_error_of_the_after_shot_gives_its_own_interval() -> None:
    own = a_budget(0.1, 0.02, light=(0.0, 1e-3))
    low, high = reduction_interval(*own.draws(stream("b" * 64)), 80.0)
    assert (low, high) == pytest.approx((80 - 1.96, 80 + 1.96), abs=0.15)
    assert difference_interval(*own.draws(stream("b" * 64))) == pytest.approx(
        (-0.08 - 0.00196, -0.08 + 0.00196), abs=2e-4
    )


@given(before=loads, share=st.floats(0.0, 1.0))
def test_the_colour_of_residue_cancels_where_both_phases_hang_on_it_alike(before: float, share: float) -> None:
    own = a_budget(before, before * share, white=(before, before * share), white_error=0.2)
    low, high = reduction_interval(*own.draws(stream("c" * 64)), 100 * (1 - share))
    assert high - low < 1e-6


def test_what_both_shots_believe_cancels_in_a_null_pair() -> None:
    own = a_budget(0.05, 0.05, belief=(2e-3, 2e-3))
    low, high = reduction_interval(*own.draws(stream("d" * 64)), 0.0)
    assert high - low < 1e-6
    assert own.shares["light"] != own.shares["light"] or own.shares["light"] == 0  # nothing is left to share


def test_film_in_both_shots_only_ever_lowers_the_reduction() -> None:
    before, after = a_budget(0.1, 0.01, film=0.02).draws(stream("e" * 64))
    assert (100 * (1 - after / before) <= 90 + 1e-9).all()


def test_a_number_around_zero_has_no_interval_of_its_reduction() -> None:
    draws = a_budget(1e-4, 1e-4, light=(1e-3, 1e-3)).draws(stream("f" * 64))
    assert all(math.isnan(end) for end in reduction_interval(*draws, 0.0))


@given(noise=st.floats(1e-3, 0.1), pixels=st.integers(1, 10**8))
def test_noise_averages_with_the_root_of_the_area(noise: float, pixels: int) -> None:
    assert local_error(noise, 4 * pixels) == pytest.approx(local_error(noise, pixels) / 2)
    assert local_error(math.nan, pixels) == 0
    assert hidden_error(0.1, (80.0, 90.0), 0.0) == 0


# sampling --------------------------------------------------------------------------------


def blocks(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    before = random.gamma(2.0, 0.05, count)
    after = before * random.uniform(0.0, 0.3, count)
    return np.full(count, 1024), (before * 1024 * 16384).astype(np.int64), (after * 1024 * 16384).astype(np.int64)


def test_sampling_is_deterministic_by_the_key_and_narrows_with_more_blocks() -> None:
    _, before, after = blocks(40)
    first, again = (sampling_interval(before[None], after[None], stream("ab" * 32, 1)) for _ in range(2))
    assert first == again
    assert first != sampling_interval(before[None], after[None], stream("cd" * 32, 1))
    _, more_before, more_after = blocks(640)
    wide, narrow = first[0], sampling_interval(more_before[None], more_after[None], stream("ab" * 32, 1))[0]
    assert (narrow[1] - narrow[0]) < 0.5 * (wide[1] - wide[0])


def test_sampling_intervals_hold_what_the_process_does() -> None:
    truth, held = 100 * (1 - 0.15), 0
    for seed in range(60):
        _, before, after = blocks(60, seed)
        low, high = sampling_interval(before[None], after[None], stream("ab" * 32, seed))[0]
        held += low <= truth <= high
    assert held >= 0.87 * 60


def test_few_blocks_give_no_sampling_interval() -> None:
    _, before, after = blocks(FEWEST - 1)
    assert all(math.isnan(end) for end in sampling_interval(before[None], after[None], stream("ab" * 32))[0])
    assert all(math.isnan(v) for v in block_covariance(*blocks(FEWEST - 1)))


def test_the_covariance_of_blocks_is_that_of_drawing_them_again() -> None:
    pixels, before, after = blocks(80)
    random = np.random.default_rng(3)
    drawn = random.multinomial(80, np.full(80, 1 / 80), size=4000)
    means = [drawn @ values / (drawn @ pixels) for values in (before, after)]
    found = block_covariance(pixels, before, after)
    expected = np.cov(*means)
    assert found == pytest.approx((expected[0, 0], expected[0, 1], expected[1, 1]), rel=0.12)


# evidence --------------------------------------------------------------------------------


def test_leverages_are_the_derivatives_of_opacity() -> None:
    random = np.random.default_rng(1)
    board, white = random.uniform(0.02, 0.4, (3, 50)).astype(np.float32), np.array([[0.7], [0.72], [0.69]])
    opacity, place = random.integers(0, 14000, 50) / ONE, random.uniform(-1, 1, (5, 50))
    image = board + opacity * (white - board)

    def leverage(opacity: float, board: np.ndarray, x: float, y: float) -> np.ndarray:
        sample = (np.ones(1, np.uint32), np.zeros(1, np.int32), np.array([x]), np.array([y]), board[:, None].copy())
        loads, none = np.full((2, 1), opacity * ONE, np.int32), np.zeros(0, np.float32)
        fine = 1e9
        sums = kernels.evidence(
            *sample, white.ravel(), loads, np.zeros((0, 1), np.float32), none, none, 1, 1, ONE, fine, 1
        )
        return np.asarray(sums[3][0, 0] / fine)

    def unmixed(image: np.ndarray, white: np.ndarray) -> np.ndarray:
        span = white - board
        return np.asarray(((image - board) * span).sum(0) / (span * span).sum(0))

    # the terms of a place are x, y, x^2, xy, y^2
    x, y = place[:2]
    place = np.stack([x, y, x * x, x * y, y * y])
    found, small_step = np.stack([leverage(*sample) for sample in zip(opacity, board.T, x, y, strict=True)], 1), 1e-6
    for channel in range(3):
        scale = np.ones((3, 1))
        scale[channel] += small_step
        by_gain = (unmixed(image / scale, white) - opacity) / small_step
        assert -found[channel] == pytest.approx(by_gain, abs=1e-4)
        by_white = (unmixed(image, white * scale) - opacity) / small_step
        assert -found[8 + channel] == pytest.approx(by_white, abs=1e-4)
    for term in range(5):
        by_field = (unmixed(image / np.exp(small_step * place[term]), white) - opacity) / small_step
        assert -found[3 + term] == pytest.approx(by_field, abs=1e-4)


def test_evidence_counts_every_eighth_observable_pixel_once(lot: SmallLot) -> None:
    board = run_to_match(lot)
    sources = sources_of(board)
    visit = board.setting.program.passes[-1]
    height, width = sources.scene.shape
    cut = [Box(0, 0, 101, 203), Box(0, 203, 101, width), Box(101, 0, height, 203), Box(101, 203, height, width)]
    parts = [evidence_tile(sources, box, walk(visit, sources, box, {})) for box in cut]
    merged = merge_all(parts)
    whole = evidence_tile(sources, Box.whole((height, width)), walk(visit, sources, Box.whole((height, width)), {}))
    assert merged.keys() == whole.keys()
    for name, value in whole.items():
        assert np.array_equal(merged[name], value), name
    blocks_found = whole["evidence/blocks/0"]
    down, across = blocks_of((height, width))
    assert blocks_found.shape[1] == down * across
    assert -(-height // BLOCK) == down
    levels = list(levels_of(board.setting.program))
    assert blocks_found.shape[0] == 3 + 2 * len(levels)
    assert [width_of(tau) for _, tau in levels] == pytest.approx([0.005, 0.02])


def run_to_match(lot: SmallLot) -> Any:
    """A board after its match stage."""
    board = identify(small.board(small.setting(lot.board_type), lot.shot(0, "before"), lot.shot(0, "after")))[0]
    for stage in plan_board(board).stages[:2]:
        part: Any = {}
        for item in stage.items:
            part = stage.merge(part, stage.function(board, item))
        board = stage.then(board, part)
    return board


def test_components_name_what_a_lot_needs(record: Record) -> None:
    for row in record["values"]["load_uncertainty"]:
        found = dict(zip(COMPONENTS, row, strict=True))
        assert found["measurement_before"] > 0
        assert found["measurement_covariance"] ** 2 <= found["measurement_before"] * found["measurement_after"] * (
            1 + 1e-9
        )


def test_a_board_that_is_known_worse_has_wider_limits(lot: SmallLot) -> None:
    light = run_to_match(lot).matches["after"].light
    assert zero_error(replace(light, clean_share=0.0)) > zero_error(replace(light, clean_share=0.9)) > 0
    assert zero_error(replace(light, samples=0)) == 0
