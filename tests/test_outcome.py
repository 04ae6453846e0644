"""From a merged tally to a record: gates refuse with their reason, statuses have a fixed order."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small
from hypothesis import given
from hypothesis import strategies as st
from small import FLUX, SmallLot

from residue_batch.board import Board, Match, opened
from residue_batch.canonical import canonical
from residue_batch.config import Gates
from residue_batch.errors import Refusal, ResidueError
from residue_batch.gates import gate_light, gate_match
from residue_batch.geometry import Transform
from residue_batch.matching.light import same_light
from residue_batch.matching.registration import Registration
from residue_batch.outcome import FLAGS, STATUSES, conclude, refused
from residue_batch.records import line_of, record_of
from residue_batch.tally import ONE, Tally, count

GATES = Gates()
SOUND = Registration(Transform(), 500, 900, 60, 0.9, 0.2, 1.0, 0.5, 3.0, 0.001)


@pytest.mark.parametrize(
    ("change", "reason", "said"),
    [
        ({"rotation_deg": 180.0}, "rotated", "turned by 180 degrees"),
        ({"rotation_deg": -90.0}, "rotated", "turned by -90 degrees"),
        ({"rotation_deg": 20.1}, "rotated", "gate 20"),
        ({"scale": 0.79}, "scale", "0.79 times"),
        ({"scale": 1.26}, "scale", "1.26 times"),
        ({"inliers": 29}, "registration", "29 matching features (gate 30)"),
        ({"correlation": 0.49}, "registration", "correlation 0.49 (gate 0.5)"),
        ({"residual_px": 2.1}, "registration", "residual 2.10 px (gate 2)"),
        ({"correlation": math.nan}, "registration", "correlation"),
        ({"residual_px": math.nan}, "registration", "residual"),
        ({"rotation_deg": math.nan}, "rotated", "turned"),
        ({"scale": math.nan}, "scale", "times"),
    ],
)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_match_outside_a_gate_is_refused_by_its_name(
    change: dict[str, Any], reason: str, said: str, phase: str
) -> None:
    with pytest.raises(Refusal) as caught:
        gate_match(GATES, phase, replace(SOUND, **change))
    assert caught.value.reason == reason
    assert said in caught.value.message
    assert phase in caught.value.message
    assert caught.value.remedy


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"rotation_deg": -20.0},
        {"scale": 0.8},
        {"scale": 1.25},
        {"inliers": 30},
        {"correlation": 0.5},
        {"residual_px": 2.0},
    ],
)
def test_a_match_on_its_gate_passes(change: dict[str, Any]) -> None:
    gate_match(GATES, "before", replace(SOUND, **change))


def test_the_frame_itself_needs_no_gate() -> None:
    gate_match(GATES, "before", None)


def test_a_wider_gate_lets_more_pass() -> None:
    gate_match(GATES.model_copy(update={"max_rotation_deg": 180.0}), "after", replace(SOUND, rotation_deg=180.0))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"samples": 0, "share": 0.0, "residual": math.nan}, "light"),
        ({"gain": (1.0, math.nan, 1.0)}, "light"),
        ({"gain": (1.0, math.inf, 1.0)}, "over_exposed"),
        ({"gain": (0.01, 0.02, 0.03)}, "under_exposed"),
        ({"samples": 100, "residual": 9.0}, "light"),
    ],
)
def test_a_light_that_was_not_found_passes_no_gate(change: dict[str, Any], reason: str) -> None:
    own = same_light((360, 480), 3)
    gate_light(GATES, "after", own)
    with pytest.raises(Refusal) as caught:
        gate_light(GATES, "after", replace(own, **change))
    assert caught.value.reason == reason


# two shots that cannot be compared -------------------------------------------------------


def test_the_same_photo_twice_is_refused(board: Board) -> None:
    part = {"before": ("aa", (9, 9, 3)), "after": ("aa", (9, 9, 3))}
    with pytest.raises(Refusal, match="same photograph") as caught:
        opened(board, part)
    assert caught.value.reason == "same_photo"


def test_grey_and_colour_are_refused(board: Board) -> None:
    with pytest.raises(Refusal) as caught:
        opened(board, {"before": ("aa", (9, 9, 3)), "after": ("bb", (9, 9, 1))})
    assert caught.value.reason == "colour"


def test_two_sizes_are_fine(board: Board) -> None:
    assert opened(board, {"before": ("aa", (9, 9, 3)), "after": ("bb", (8, 12, 3))}).shapes["after"] == (8, 12, 3)


# statuses --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board(lot: SmallLot) -> Board:
    # statuses are what is tested here; that a far larger load means exchanged phases is the gates' own matter
    setting = small.setting(lot.board_type)
    kind = setting.board_type.model_copy(update={"gates": Gates(max_increase_pct=1e12)})
    board = small.board(replace(setting, board_type=kind), lot.shot(0, "before"), lot.shot(0, "after"))
    part = {"before": ("b" * 64, (360, 480, 3)), "after": ("a" * 64, (360, 480, 3))}
    match = Match(SOUND, same_light((360, 480), 3))
    return replace(opened(board, part), matches={"before": match, "after": match})


SCENE = SimpleNamespace(regions=("whole", "lower"), white_assumed=False)
PIXELS = 100_000


def a_tally(board: Board, before: float, after: float, seen: float = 0.9, lower: float = 0.9) -> Tally:
    """The tally of even opacities in both regions, as tiles would have made it."""
    tally: Tally = {"tiles": count(1)}
    program = board.setting.program
    for index, share in enumerate((seen, lower)):
        pixels = int(PIXELS * share)
        tally |= {f"pixels/{index}": count(PIXELS), f"observable/{index}": count(pixels)}
        for measured in program.measures:
            for phase, keys, _ in measured.inputs:
                where = np.zeros((1, PIXELS), bool)
                where[0, :pixels] = True
                value = np.float32(before if phase == "before" else after)
                kinds = {k: program.nodes[k].kind for k in keys}
                planes = [np.full((1, PIXELS), value, np.float32) if kinds[k] == "scalar" else ~where for k in keys]
                if pixels:
                    part = measured.measure(*planes, where=where, at=None, frame=None)
                    tally |= {f"{measured.key}/{phase}/{index}/{name}": v for name, v in part.items()}
    return tally


def record(board: Board, *loads: float, **given: float) -> dict[str, Any]:
    return conclude(board, SCENE, a_tally(board, *loads, **given), 1)


@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        (0.1, 0.02, "measured"),
        (0.1, 0.1, "measured"),
        (0.0009, 0.0002, "before_below_lod"),
        (0.0, 0.0, "before_below_lod"),
        (-0.001, 0.0, "before_below_lod"),
        (0.0, 0.2, "increase"),
        (0.1, 0.0004, "after_below_lob"),
        (0.1, -0.0004, "after_below_lob"),
        (0.1, 0.12, "increase"),
    ],
)
def test_a_region_ends_in_one_status(board: Board, before: float, after: float, status: str) -> None:
    found = record(board, before, after)
    assert found["status"] == [status] * 2
    reduction = found["values"]["load_reduction_pct"][0]
    if before < 1e-3:
        assert reduction is None, "there was nothing to reduce"
        assert found["values"]["area_reduction_pct"][0] == [None, None]
        assert found["values"]["area_main_reduction_pct"][0] is None
        assert found["values"]["load"][0][0] is not None, "the loads themselves stay"
    else:
        assert reduction == pytest.approx(100 * (1 - after / before), abs=0.3)
        assert (reduction < 0) == (after > before)
    bound = found["values"]["load_reduction_at_least_pct"][0]
    if status == "after_below_lob":
        assert bound == pytest.approx(100 * (1 - 1e-3 / before), abs=0.1)
        assert bound <= reduction
    else:
        assert bound is None


def test_a_region_that_nobody_sees_has_no_number(board: Board) -> None:
    found = record(board, 0.1, 0.02, lower=0.0)
    assert found["status"] == ["measured", "unseen"]
    assert found["observable_pct"] == [90.0, 0.0]
    assert found["values"]["load"][0][1] is None
    assert found["values"]["load_reduction_pct"][1] is None


@pytest.mark.parametrize(("seen", "number"), [(0.30, True), (0.29, False), (0.0, False)])
def test_a_board_that_is_hardly_seen_has_no_number(board: Board, seen: float, number: bool) -> None:
    if number:
        assert record(board, 0.1, 0.02, seen=seen)["outcome"] == "measured"
        return
    with pytest.raises(Refusal, match="can be seen in both shots") as caught:
        record(board, 0.1, 0.02, seen=seen)
    assert caught.value.reason == "low_observable"


@pytest.mark.parametrize("tiles", [0, 2])
def test_a_missing_tile_never_publishes_a_number(board: Board, tiles: int) -> None:
    with pytest.raises(ResidueError, match="1 of .* tiles"):
        conclude(board, SCENE, a_tally(board, 0.1, 0.02), tiles)
    with pytest.raises(ResidueError, match="0 of 1 tiles"):
        conclude(board, SCENE, {}, 1)


def test_flags_say_what_to_think_of_it(board: Board) -> None:
    found = record(board, 0.1, 0.02)
    assert found["flags"][0] == ["few_blocks", "not_estimated"]
    assumed = SimpleNamespace(regions=SCENE.regions, white_assumed=True)
    light = replace(same_light((360, 480), 3), film_confounded=True)
    filmed = replace(board, matches={p: replace(m, light=light) for p, m in board.matches.items()})
    flags = conclude(filmed, assumed, a_tally(board, 0.1, 0.02), 1)["flags"][0]
    assert flags == ["white_assumed", "film_confounded", "few_blocks", "not_estimated"]


@pytest.mark.parametrize(
    ("before", "after", "clock", "flagged"),
    [
        (0.05, 0.07, "", True),
        (0.05, 0.07, "forward", False),  # the camera itself says which came first: the board got worse
        (0.05, 0.03, "", False),
        (0.05, 0.03, "reversed", True),  # a board that got worse would look like this, its phases exchanged
        (0.05, 0.0502, "reversed", True),
    ],
)
def test_phases_that_may_be_exchanged_are_named_and_never_refused_for_it(
    board: Board, before: float, after: float, clock: str, *, flagged: bool
) -> None:
    found = conclude(board, SCENE, a_tally(board, before, after), 1, clock)
    assert found["outcome"] == "measured"
    assert [("phases_may_be_exchanged" in flags) for flags in found["flags"]] == [flagged] * 2
    assert bool(found["message"]) == bool(found["remedy"]) == flagged
    assert ("clock" in found["message"]) == (clock == "reversed")
    assert found["reason"] == ""


def test_a_record_is_plain_json_that_does_not_depend_on_order(board: Board) -> None:
    found = record(board, 0.1, 0.02)
    assert json.loads(canonical(found)) == found
    assert record_of(line_of(found)) == found
    backwards = dict(reversed(a_tally(board, 0.1, 0.02).items()))
    assert canonical(conclude(board, SCENE, backwards, 1)) == canonical(found)


def test_a_record_says_what_it_rests_on(board: Board) -> None:
    found = record(board, 0.1, 0.02)
    assert found["key"] == board.key
    assert found["shots"]["after"] == {"sha256": "a" * 64, "shape": [360, 480, 3]}
    assert found["observable_px"] == [90_000, 90_000]
    assert found["match"]["before"]["inliers"] == 500
    assert "transform" not in found["match"]["before"]
    assert set(found["values"]) >= {"load", "area", "load_reduction_pct"}
    assert not any(key in canonical(found) for key in ("time", "host", "attempt", "/"))


def test_a_refused_record_has_the_same_head(board: Board) -> None:
    found = refused("B", "L1", "small", "k", Refusal("rotated", "turned", "turn it"))
    assert found.keys() < record(board, 0.1, 0.02).keys()
    assert found["outcome"] == "refused"


def test_without_a_load_there_is_still_a_status(lot: SmallLot, board: Board) -> None:
    text = FLUX.replace("  load: {measure: load, of: opacity}\n", "")
    other = replace(board, setting=small.setting(lot.board_type, text))
    assert record(other, 0.0, 0.2)["status"] == ["measured", "measured"]
    assert record(other, 0.1, 0.2, lower=0.0)["status"] == ["measured", "unseen"]


def with_measures(lot: SmallLot, board: Board, more: str) -> Board:
    return with_text(lot, board, FLUX.rstrip() + "\n" + more)


def with_text(lot: SmallLot, board: Board, text: str) -> Board:
    return replace(board, setting=replace(board.setting, program=small.setting(lot.board_type, text).program))


def test_an_area_of_one_photograph_is_measured_like_any(lot: SmallLot, board: Board) -> None:
    found = record(with_measures(lot, board, "  left: {measure: area, of: opacity.after}\n"), 0.1, 0.02)
    assert found["status"] == ["measured"] * 2
    assert np.shape(found["values"]["left_main"]) == (2,)


def test_a_load_of_the_whole_board_decides_the_status_of_no_other_region(lot: SmallLot, board: Board) -> None:
    text = FLUX.replace("of: opacity}", "of: opacity, by: whole}")
    other = with_text(lot, board, text)
    assert record(other, 0.1, 0.2)["status"] == ["increase", "measured"]
    assert record(other, 0.1, 0.02, lower=0.0)["status"] == ["measured", "unseen"]
    assert record(other, 0.0, 0.0)["values"]["load_reduction_pct"] == [None]


def test_only_reductions_are_withheld_whatever_a_measure_is_called(lot: SmallLot, board: Board) -> None:
    other = with_measures(lot, board, "  post_reduction_check: {measure: load, of: opacity}\n")
    found = record(other, 0.0009, 0.0002)["values"]
    assert found["load_reduction_pct"] == found["post_reduction_check_reduction_pct"] == [None, None]
    assert found["post_reduction_check"] == found["load"]
    assert None not in [*found["load"][0], *found["load"][1]]


def test_without_a_clean_reference_an_increase_has_no_percentage(board: Board) -> None:
    kind, program = board.setting.board_type, replace(board.setting.program, reference="pair")
    setting = replace(board.setting, board_type=kind.model_copy(update={"reference": "pair"}), program=program)
    found = conclude(replace(board, setting=setting), SCENE, a_tally(board, 0.05, 0.08), 1)
    assert found["status"][0] == "increase"
    assert found["values"]["load_reduction_pct"][0] is None
    assert found["values"]["load"][1][0] == pytest.approx(0.08, abs=1e-3)
    kept = conclude(board, SCENE, a_tally(board, 0.05, 0.08), 1)
    assert kept["values"]["load_reduction_pct"][0] == pytest.approx(-60, abs=1)


@given(st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_every_pair_of_loads_has_a_known_status_and_a_number_only_where_it_means_something(
    board_of_loads: Any, before: float, after: float
) -> None:
    found = board_of_loads(round(before * ONE) / ONE, round(after * ONE) / ONE)
    assert found["status"][0] in STATUSES
    assert set(found["flags"][0]) <= set(FLAGS)
    reduction = found["values"]["load_reduction_pct"][0]
    assert (reduction is None) == (round(before * ONE) / ONE < 1e-3)
    assert (found["status"][0] == "increase") == (round(after * ONE) - round(before * ONE) > 1e-3 * ONE)
    assert reduction is None or math.isfinite(reduction)


@pytest.fixture(scope="module")
def board_of_loads(board: Board) -> Any:
    """A record from two loads, by the sums alone."""
    tally = a_tally(board, 0.5, 0.25)

    def make(before: float, after: float) -> dict[str, Any]:
        changed = dict(tally)
        for phase, load in (("before", before), ("after", after)):
            for index in (0, 1):
                name = next(n for n in tally if n.startswith(f"load/{phase}/{index}/") and n.endswith("sum"))
                changed[name] = count(round(load * ONE) * int(PIXELS * 0.9))
        return conclude(board, SCENE, changed, 1)

    return make
