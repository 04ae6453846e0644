"""Limits from clean boards: right on a good booth, refused with a reason on boards that are no blanks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import small
import yaml

import residue_batch as rb
from residue_batch.config import load_board_type
from residue_batch.errors import UsageError
from residue_batch.outcome import PAIR_LOD
from residue_batch.trust import detection
from residue_batch.trust.reading import Reading


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> small.SmallLot:
    """Four clean boards, each photographed twice."""
    return small.make_lot(tmp_path_factory.mktemp("clean"), boards=4, kinds=("blank",))


def limits(lot, tmp_path, **given):
    return rb.blanks(lot.lot, workflow=lot.workflow, workers=0, out=tmp_path / "runs", **given)


def test_the_limits_of_clean_boards_can_be_pasted_into_the_board_type(clean, tmp_path):
    (found,) = limits(clean, tmp_path)
    assert (found.board_type, found.boards, found.readings) == ("small", 4, 8)
    assert (found.problem, found.method) == ("", "normal")
    assert 0 < found.lob < found.lod < 0.01
    text = clean.board_type.read_text() + found.yaml + "\n"
    (clean.folder / "pasted.yaml").write_text(text)
    pasted = load_board_type(str(clean.folder / "pasted.yaml")).detection
    assert (pasted.lob, pasted.lod) == (found.lob, found.lod)
    assert yaml.safe_load(found.yaml)["detection"] == {"lob": found.lob, "lod": found.lod}


def test_with_its_own_limits_every_blank_of_the_booth_is_below_detection(clean, tmp_path):
    (found,) = limits(clean, tmp_path)
    sets = [f"board_type.detection.lob={found.lob:.9f}", f"board_type.detection.lod={found.lod:.9f}"]
    again = rb.run(clean.lot, clean.workflow, workers=0, out=tmp_path / "again", sets=sets)
    assert (again["load"].sel(region="whole") < found.lod).all()


def test_low_samples_say_how_readings_scatter(clean, tmp_path_factory, tmp_path):
    low = small.make_lot(tmp_path_factory.mktemp("low"), boards=3, kinds=("null",), lot="L2")
    low.lot.write_text(low.lot.read_text().replace("lot: L1", "lot: low").replace("{lot}", "L2"))
    (found,) = limits(clean, tmp_path, low=[low.lot])
    (alone,) = limits(clean, tmp_path)
    assert (found.low_boards, alone.low_boards) == (3, 0)
    assert found.lob == alone.lob
    assert found.low_sd == pytest.approx(found.low_sd)
    assert found.lod != alone.lod


def test_an_uncleaned_board_among_the_blanks_is_named_and_refused(tmp_path_factory, tmp_path):
    lot = small.make_lot(tmp_path_factory.mktemp("soiled"), boards=4, kinds=("blank", "blank", "blank", "null"))
    (found,) = limits(lot, tmp_path)
    assert (found.lob, found.lod, found.yaml) == (None, None, "")
    assert "not clean: B004" in found.problem
    assert "clean them again" in found.remedy


def test_boards_that_were_refused_are_listed_and_too_few_are_said(tmp_path_factory, tmp_path):
    lot = small.make_lot(tmp_path_factory.mktemp("few"), boards=3, kinds=("blank", "blank", "truncated"))
    (found,) = limits(lot, tmp_path)
    assert "too few blanks: 2 of 3" in found.problem
    assert [one.board for one in found.no_number] == ["B003"]
    assert found.lod is None


def test_no_lot_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="name a lot"):
        rb.blanks([])


# what is judged, without a camera -----------------------------------------------------


def reading(board: str, before: float | None, after: float | None) -> Reading:
    outcome = "refused" if before is None else "measured"
    return Reading(board, "small", outcome, "", "", "", "measured", before, after, None, None, None)


def judged(lot, pairs, low=(), **changes):
    board_type = load_board_type(str(lot.board_type))
    clean = [reading(f"B{i}", *pair) for i, pair in enumerate(pairs)]
    little = [reading(f"L{i}", *pair) for i, pair in enumerate(low)]
    return detection._judged(board_type.model_copy(update=changes), clean, little)


def test_a_faintly_soiled_board_is_told_from_scatter_because_both_its_shots_agree(lot):
    good = [(1e-4, 2e-4), (2e-4, 1e-4), (0.0, 1e-4), (1e-4, 0.0), (2e-4, 2e-4)]
    found = judged(lot, [*good, (4e-3, 4.1e-3)])
    assert "not clean: B5 read far above the other blanks" in found.problem
    # one bad shot is scatter: it raises the limit, and no board is accused
    scattered = judged(lot, [*good, (1e-4, 4e-3)])
    assert scattered.problem == ""
    assert scattered.lod > 5 * judged(lot, good).lod


def test_a_golden_shot_that_is_dirtier_than_the_blanks_is_found(lot):
    assert "cleaner than the clean reference" in judged(lot, [(-0.03, -0.031)] * 4).problem
    slightly = judged(lot, [(-4e-4, -4.1e-4), (-4.2e-4, -4e-4), (-3.9e-4, -4e-4)])
    assert slightly.lob == 0
    assert any("faint haze" in note for note in slightly.notes)


def test_twenty_readings_make_a_percentile_and_limits_are_rounded_up(lot):
    found = judged(lot, [(i * 1e-5, i * 1e-5 + 5e-6) for i in range(10)])
    assert found.method == "percentile"
    assert found.notes == ()
    # readings up to 9.5e-5, of which the second largest is 9.0e-5
    assert found.lob == pytest.approx(9.25e-5, rel=0.01)
    assert found.lob >= 9.25e-5
    assert "e-" not in found.yaml


def test_limits_below_what_pair_mode_can_see_are_said_to_have_no_effect(lot):
    found = judged(lot, [(1e-4, 2e-4)] * 4, reference="pair")
    assert any(f"{PAIR_LOD:g}" in note for note in found.notes)


def test_low_samples_of_another_type_are_an_error(clean, monkeypatch, tmp_path):
    real = detection.measure

    def other(lot, workflow, **given):
        readings, types = real(lot, workflow, **given)
        return (
            ([replace(r, board_type="other") for r in readings], types)
            if Path(lot).name == "low.yaml"
            else (readings, types)
        )

    monkeypatch.setattr(detection, "measure", other)
    (clean.folder / "low.yaml").write_text(clean.lot.read_text())
    with pytest.raises(UsageError, match="low samples of other and no blanks"):
        limits(clean, tmp_path, low=[clean.folder / "low.yaml"])
