"""A board under uneven lamps, measured with the photograph of a card and without: all references, keys, files."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small
from distributed import Client
from PIL import Image
from small import FLUX, SmallLot

import residue_batch as rb
from residue_batch.artefacts import lay_out
from residue_batch.board import board_key, plan_board
from residue_batch.building import found_of
from residue_batch.canonical import canonical
from residue_batch.config import load_board_type, load_lot, scan
from residue_batch.engine.graph import run_graph
from residue_batch.engine.inline import identify, run_inline
from residue_batch.errors import ConfigError, Refusal
from residue_batch.outcome import Record
from residue_batch.prepare import cards_of, check_scene, prepare
from residue_batch.synthetic import photograph, render_board, write_shot

SHAPE = (720, 960)
BOTH = "flat_field: {before: card.png, after: card.png}"


@pytest.fixture(scope="module")
def lit(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """Three boards whose lamps stand close; `golden.png` in the same light, `even.png` in even light."""
    folder = tmp_path_factory.mktemp("lit")
    made = small.make_lot(folder, boards=3, shape=SHAPE, seed=7, uneven=0.5)
    write_shot(folder / "even.png", photograph(render_board(7, SHAPE), None, 7, "fixed").pixels)
    return made


def record(
    lot: SmallLot, name: str, extra: str, *, reference: str = "golden", golden: str = "", tile: int = 1024
) -> Record:
    """The first board, measured by a board type with these lines."""
    kind = small.write_type(lot.folder / f"{name}.yaml", lot.truth, reference, extra, golden)
    board = small.board(small.setting(kind, FLUX, tile), lot.shot(0, "before"), lot.shot(0, "after"))
    done = run_inline(plan_board(board), board).record
    assert done is not None
    return done


def errors(lot: SmallLot, record: Record) -> tuple[float, float]:
    """How far the loads, before and after, are from the truth."""
    truth = lot.truth.boards[0].whole
    before, after = (row[0] for row in record["values"]["load"])
    return abs(before - truth.load_before), abs(after - truth.load_after)


def test_uneven_light_against_an_even_golden_shot_is_measured_right_with_a_card_and_wrong_without(
    lit: SmallLot,
) -> None:
    with_card = record(lit, "even", BOTH, golden="even.png")
    without = record(lit, "even_bare", "", golden="even.png")
    assert max(errors(lit, with_card)) < 0.0025
    assert max(errors(lit, without)) > 0.01
    truth = lit.truth.boards[0].whole.reduction_pct
    assert with_card["values"]["load_reduction_pct"][0] == pytest.approx(truth, abs=3)
    assert abs(without["values"]["load_reduction_pct"][0] - truth) > 10


def test_one_card_for_all_is_divided_out_of_the_golden_shot_too(lit: SmallLot) -> None:
    all_of_them = record(lit, "all", "flat_field: card.png")
    named = record(lit, "named", "flat_field: {golden: card.png, before: card.png, after: card.png}")
    assert max(errors(lit, all_of_them)) < 0.002
    assert all_of_them["values"] == named["values"]
    shots_only = record(lit, "shots", BOTH)
    assert max(errors(lit, shots_only)) > 0.005, "the golden shot has the lamps in it"


@pytest.fixture(scope="module")
def moved(lit: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """The first board, which was photographed in even light after cleaning, and is clean there."""
    folder = tmp_path_factory.mktemp("moved") / "lot"
    shutil.copytree(lit.folder, folder)
    after = lit.truth.boards[0].after
    assert after is not None
    write_shot(folder / after, photograph(render_board(7, SHAPE, "green", 1), None, 3, "easy").pixels)
    return replace(lit, folder=folder)


def test_a_card_of_one_phase_is_for_that_phase(moved: SmallLot) -> None:
    found = record(moved, "one", "flat_field: {before: card.png}", golden="even.png")
    before, after = (row[0] for row in found["values"]["load"])
    assert before == pytest.approx(moved.truth.boards[0].whole.load_before, abs=0.0025)
    assert after == pytest.approx(0, abs=0.002)


def test_without_a_clean_reference_each_shot_has_its_own_card(moved: SmallLot) -> None:
    with_card = record(moved, "pair", "flat_field: {before: card.png}", reference="pair")
    without = record(moved, "pair_bare", "", reference="pair")
    assert with_card["values"]["load_reduction_pct"][0] == pytest.approx(100, abs=10)
    left, wrong = (one["values"]["load"][1][0] for one in (with_card, without))
    assert abs(left) < 0.006, "the board is clean"
    assert abs(wrong) > 0.01


@pytest.mark.parametrize("reference", ["golden", "pair"])
@pytest.mark.parametrize("tile", [64, 320])
def test_tiles_decide_nothing(lit: SmallLot, reference: str, tile: int) -> None:
    extra = "flat_field: card.png"
    whole = record(lit, f"whole_{reference}", extra, reference=reference)
    cut = record(lit, f"cut_{reference}", extra, reference=reference, tile=tile)
    assert canonical(cut) == canonical(whole)


def test_executors_decide_nothing(lit: SmallLot, client: Client) -> None:
    kind = small.write_type(lit.folder / "graph.yaml", lit.truth, extra="flat_field: card.png")
    board, _ = identify(small.board(small.setting(kind, FLUX, 192), lit.shot(0, "before"), lit.shot(0, "after")))
    assert canonical(run_graph(client, plan_board(board), board).record) == canonical(
        run_inline(plan_board(board), board).record
    )


def test_a_reference_built_from_uneven_shots_is_in_even_light(lit: SmallLot, tmp_path: Path) -> None:
    kind = load_board_type(str(small.write_type(lit.folder / "lot_type.yaml", lit.truth, "lot", BOTH)))
    boards = scan(load_lot(str(lit.lot))).usable
    frame = small.setting(lit.board_type).frame
    assert frame is not None
    found = {}
    for name, cards in (("card", cards_of(kind)), ("bare", None)):
        given: dict[str, Any] = {"cards": cards} if cards else {}
        (tmp_path / name).mkdir()
        done = run_inline(*lay_out(kind, frame, boards, tmp_path / name, 192, **given))
        found[name] = found_of(done)[0].astype(np.float64)
    clean = small.read_image(lit.folder / "even.png")[..., ::-1].astype(np.float64)
    x, y, width, height = 200, 150, 560, 420
    ratios = {
        n: (c[y : y + height, x : x + width] / 257 / np.maximum(clean[y : y + height, x : x + width], 20))
        for n, c in found.items()
    }
    spread = {
        n: float(np.std([np.median(cell) for row in np.array_split(r, 6) for cell in np.array_split(row, 6, 1)]))
        for n, r in ratios.items()
    }
    assert spread["card"] < spread["bare"] / 3


@pytest.mark.parametrize("orientation", [3, 6])
def test_files_that_the_camera_turned_upright_read_the_same(lit: SmallLot, tmp_path: Path, orientation: int) -> None:
    turned = {"before": lit.shot(0, "before"), "after": lit.shot(0, "after")}
    back = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_COUNTERCLOCKWISE}[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    for phase, path in turned.items():
        stored = cv2.rotate(small.read_image(path), back)
        turned[phase] = tmp_path / f"{phase}.png"
        Image.fromarray(stored[..., ::-1]).save(turned[phase], exif=exif)
    # the card was taken with the camera level: as the sensor saw it, it lies like the stored shots
    small.write_image(tmp_path / "card.png", cv2.rotate(small.read_image(lit.folder / "card.png"), back))
    kind = small.write_type(tmp_path / "t.yaml", lit.truth, extra=BOTH, golden=str(lit.folder / "even.png"))
    board = small.board(small.setting(kind), turned["before"], turned["after"])
    found = run_inline(plan_board(board), board).record
    straight = record(lit, "straight", BOTH, golden="even.png")
    assert found is not None
    assert found["values"]["load"] == pytest.approx(np.array(straight["values"]["load"]), abs=2e-5)


def test_sixteen_bit_shots_and_cards_are_measured_alike(tmp_path: Path) -> None:
    deep = small.make_lot(tmp_path, boards=1, shape=SHAPE, seed=7, uneven=0.5, format="png16")
    assert max(errors(deep, record(deep, "deep", "tone: srgb\nflat_field: card.png"))) < 0.002


def test_a_shot_of_another_size_than_its_card_is_refused(lit: SmallLot, tmp_path: Path) -> None:
    cut = small.write_image(tmp_path / "cut.png", small.read_image(lit.shot(0, "after"))[:-8])
    kind = small.write_type(lit.folder / "size.yaml", lit.truth, extra="flat_field: card.png")
    board = small.board(small.setting(kind), lit.shot(0, "before"), cut)
    with pytest.raises(Refusal, match="after shot has 960 x 712") as caught:
        run_inline(plan_board(board), board)
    assert caught.value.reason == "flat_field"


# what is said before a night ------------------------------------------------------------


@pytest.fixture
def own(lit: SmallLot, tmp_path: Path) -> SmallLot:
    """A copy, to be spoilt."""
    folder = tmp_path / "own"
    shutil.copytree(lit.folder, folder)
    return replace(
        lit, folder=folder, lot=folder / "lot.yaml", board_type=folder / "small.yaml", workflow=folder / "flux.yaml"
    )


def mistake(own: SmallLot) -> str:
    with pytest.raises(ConfigError) as caught:
        _look_at_all(own)
    return str(caught.value)


def _look_at_all(own: SmallLot) -> None:
    for setting in prepare(own.lot, own.workflow).settings.values():
        check_scene(setting)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("flat_field: golden.png", "golden.png is no even card"),
        ("flat_field: nowhere.png", "nowhere.png cannot be read"),
        ("flat_field: {before: golden.png}", "no even card"),
        ("flat_field: {befor: card.png}", "befor"),
        ("flat_field: 5", "a flat field is a photograph, or one for each kind of shot"),
        ("flat_field: small_card.png", "the golden shot has 960 x 720 pixels, its flat field 480 x 360"),
    ],
)
def test_a_wrong_card_is_a_mistake_of_the_board_type_with_its_line(own: SmallLot, key: str, said: str) -> None:
    small.write_image(own.folder / "small_card.png", cv2.resize(small.read_image(own.folder / "card.png"), (480, 360)))
    small.write_type(own.board_type, own.truth, extra=key)
    text = mistake(own)
    assert said in text
    assert "small.yaml:" in text


def test_a_card_for_a_golden_shot_that_is_not_there_is_a_mistake(own: SmallLot) -> None:
    small.write_type(own.board_type, own.truth, "pair", "flat_field: {golden: card.png}")
    assert "a flat field of the golden shot is given, but reference is pair" in mistake(own)


def test_the_card_of_a_lot_stands_above_that_of_the_board_type(own: SmallLot) -> None:
    small.write_type(own.board_type, own.truth, extra="flat_field: card.png")
    shutil.copy(own.folder / "card.png", own.folder / "week.png")
    (own.folder / "week.png").write_bytes((own.folder / "card.png").read_bytes() + b"\0")
    own.lot.write_text(own.lot.read_text() + "flat_field: week.png\n")
    (setting,) = prepare(own.lot, own.workflow).settings.values()
    golden, before, after = (Path(card.path).name if card else "" for card in setting.cards)
    assert (golden, before, after) == ("card.png", "week.png", "week.png")


def test_a_lot_has_no_golden_shot_and_no_unread_card(own: SmallLot) -> None:
    text = own.lot.read_text()
    own.lot.write_text(text + "flat_field: {golden: card.png}\n")
    assert "golden" in mistake(own)
    own.lot.write_text(text + "flat_field: {after: nowhere.png}\n")
    assert "lot.yaml:5:21" in mistake(own)


def test_the_card_is_in_the_key_and_the_fingerprint_and_its_name_is_not(own: SmallLot) -> None:
    sha = {"before": "b", "after": "a"}
    shutil.copy(own.folder / "card.png", own.folder / "renamed.png")
    changed = small.read_image(own.folder / "card.png")
    changed[0, 0] = 0
    small.write_image(own.folder / "other.png", changed)
    keys, prints = [], []
    for extra in ("", "flat_field: card.png", "flat_field: renamed.png", "flat_field: other.png", BOTH):
        small.write_type(own.board_type, own.truth, extra=extra)
        prepared = prepare(own.lot, own.workflow)
        (setting,) = prepared.settings.values()
        keys.append(board_key("B", "L", setting, sha))
        prints.append(prepared.fingerprint)
    for found in (keys, prints):
        assert found[1] == found[2]
        assert len(set(found)) == 4


def test_the_card_stands_in_run_json_and_in_the_report(own: SmallLot, tmp_path: Path) -> None:
    small.write_type(own.board_type, own.truth, extra="flat_field: card.png")
    done = rb.run(own.lot, own.workflow, out=tmp_path / "runs", workers=0)
    folder = Path(done.attrs["folder"])
    state = json.loads((folder / "run.json").read_text())
    (hashes,) = state["board_types"].values()
    assert set(hashes["flat_field"]) == {"golden", "before", "after"}
    assert hashes["flat_field"]["before"] in (folder / "report.html").read_text()


def test_check_says_how_uneven_the_light_is(own: SmallLot) -> None:
    small.write_type(own.board_type, own.truth, extra="flat_field: card.png")
    facts = rb.check([own.board_type])[0].facts
    assert facts["flat_field"]["golden"] == pytest.approx(0.5, abs=0.05)
