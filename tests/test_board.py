"""One board: what it opens, how it matches, and the law that nothing changed reads nothing."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small
from small import FITTED, FLUX, SmallLot

from residue_batch import board as boards
from residue_batch import store
from residue_batch.board import Board, board_key, plan_board
from residue_batch.engine.inline import identify, run_inline
from residue_batch.errors import Refusal
from residue_batch.files import PhotoFile
from residue_batch.geometry import tiles
from residue_batch.outcome import Record
from residue_batch.program import PHASES
from residue_batch.synthetic import clean_residue, photograph, plant_residue, render_board, write_shot


def measured(
    lot: SmallLot, before: Path, after: Path, text: str = FLUX, board_type: Path | None = None, **given: Any
) -> Record:
    setting = replace(small.setting(board_type or lot.board_type, text), **given)
    board = identify(small.board(setting, before, after))[0]
    record = run_inline(plan_board(board), board).record
    assert record is not None
    return record


def with_gates(lot: SmallLot, folder: Path, gates: str, reference: str = "golden") -> Path:
    golden = str(lot.folder / lot.truth.golden)
    return small.write_type(folder / "t.yaml", lot.truth, reference, f"gates: {{{gates}}}", golden)


def reason(lot: SmallLot, before: Path, after: Path) -> str:
    with pytest.raises(Refusal) as caught:
        measured(lot, before, after)
    assert caught.value.message
    return caught.value.reason


@pytest.fixture
def twin(lot: SmallLot, tmp_path: Path) -> Path:
    """The pixels of the first before-shot in a file of other bytes."""
    return small.write_image(tmp_path / "twin.tif", small.read_image(lot.shot(0, "before")))


# laws ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reference", ["golden", "pair"])
@pytest.mark.parametrize("text", [FLUX, FITTED], ids=["flux", "fitted"])
def test_the_same_pixels_have_a_reduction_of_nothing(
    lot: SmallLot, twin: Path, tmp_path: Path, reference: str, text: str
) -> None:
    kind = with_gates(lot, tmp_path, "refuse_copies: false", reference)
    record = measured(lot, lot.shot(0, "before"), twin, text, kind)
    values = record["values"]
    before, after = values["load"]
    if reference == "golden":
        # each shot is matched by itself, so the same pixels have the same numbers
        of_errors = ("_low", "_high", "_share", "_uncertainty")
        numbers = {name: v for name, v in values.items() if not name.endswith(of_errors)}
        assert all(b == a for b, a in (v for v in numbers.values() if isinstance(v[0], list) and len(v) == 2))
        assert values["load_reduction_pct"] == [0.0, 0.0]
        assert record["status"] == ["measured", "measured"]
    else:
        # what both shots show is the clean colour: there is nothing to reduce
        assert before == pytest.approx(after, abs=1e-4)
        assert record["status"][0] == "before_below_lod"
        assert values["load_reduction_pct"] == [None, None]


def test_another_compression_of_the_same_pixels_changes_no_number(lot: SmallLot, tmp_path: Path) -> None:
    before, after = lot.shot(0, "before"), lot.shot(0, "after")
    packed = small.write_image(tmp_path / "packed.png", small.read_image(after), cv2.IMWRITE_PNG_COMPRESSION, 9)
    assert packed.read_bytes() != after.read_bytes()
    one, other = measured(lot, before, after), measured(lot, before, packed)
    assert one["key"] != other["key"]
    assert {**one, "key": "", "shots": ""} == {**other, "key": "", "shots": ""}


def test_a_golden_shot_reads_as_clean(lot: SmallLot, tmp_path: Path) -> None:
    image = small.read_image(lot.folder / lot.truth.golden)
    shots = [small.write_image(tmp_path / name, image) for name in ("before.tif", "after.png")]
    record = measured(lot, *shots, board_type=with_gates(lot, tmp_path, "refuse_copies: false"))
    assert record["status"][0] == "before_below_lod"
    assert abs(record["values"]["load"][0][0]) < 1e-3
    assert record["values"]["load_reduction_pct"] == [None, None]


def test_before_and_after_exchanged_are_refused_and_an_increase_where_the_gate_is_wide(
    lot: SmallLot, tmp_path: Path
) -> None:
    assert reason(lot, lot.shot(0, "after"), lot.shot(0, "before")) == "swapped"
    forth = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"))
    wide = with_gates(lot, tmp_path, "max_increase_pct: 10000")
    back = measured(lot, lot.shot(0, "after"), lot.shot(0, "before"), board_type=wide)
    assert back["status"][0] == "increase"
    # each shot is matched by itself, so its load does not depend on what it is compared with
    assert back["values"]["load"][0][0] == pytest.approx(forth["values"]["load"][1][0], rel=0.02)


def test_without_a_clean_reference_exchanged_phases_are_an_increase_and_no_refusal(
    lot: SmallLot, tmp_path: Path
) -> None:
    kind = with_gates(lot, tmp_path, "max_increase_pct: 75", "pair")
    assert measured(lot, lot.shot(0, "after"), lot.shot(0, "before"), board_type=kind)["status"][0] == "increase"


@pytest.mark.parametrize("reference", ["golden", "pair"])
def test_a_weak_cleaning_with_exchanged_phases_is_named(lot: SmallLot, tmp_path: Path, reference: str) -> None:
    """Less than 43 % removed reads as an increase that a board may really show: no gate refuses it."""
    board = render_board(3, small.SHAPE, "green", 1)
    before = plant_residue(board, 5, 0.06)
    shots = {}
    for seed, (phase, opacity) in enumerate((("before", before), ("after", clean_residue(board, before, 6, 0.3)))):
        shots[phase] = tmp_path / f"{phase}.png"
        write_shot(shots[phase], photograph(board, opacity, seed + 40, "easy").pixels)
    kind = with_gates(lot, tmp_path, "max_increase_pct: 75", reference)
    forth = measured(lot, shots["before"], shots["after"], board_type=kind)
    back = measured(lot, shots["after"], shots["before"], board_type=kind)
    assert (forth["status"][0], back["status"][0]) == ("measured", "increase")
    assert not any("phases_may_be_exchanged" in flags for flags in forth["flags"])
    assert all("phases_may_be_exchanged" in flags for flags in back["flags"])
    assert "exchanged" in back["message"]


# refusals --------------------------------------------------------------------------------


def test_the_same_file_twice_is_refused(lot: SmallLot) -> None:
    assert reason(lot, lot.shot(0, "before"), lot.shot(0, "before")) == "same_photo"


def test_a_copy_of_the_same_file_is_refused(lot: SmallLot, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(lot.shot(0, "before").read_bytes())
    assert reason(lot, lot.shot(0, "before"), copy) == "same_photo"


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def upside_down(image: np.ndarray) -> np.ndarray:
    return cv2.rotate(image, cv2.ROTATE_180)


def halved(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def noise(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, image.shape, np.uint8)


def even(image: np.ndarray) -> np.ndarray:
    return np.full_like(image, 90)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (grey, {"colour"}),
        (upside_down, {"rotated"}),
        (halved, {"resolution"}),
        (noise, {"other_board"}),
        (even, {"registration"}),
        (np.fliplr, {"mirrored"}),
    ],
)
@pytest.mark.parametrize("phase", PHASES)
def test_a_wrong_shot_is_refused_by_its_name(
    lot: SmallLot, tmp_path: Path, change: Any, expected: set[str], phase: str
) -> None:
    shots = {p: lot.shot(0, p) for p in PHASES}
    image = np.ascontiguousarray(change(small.read_image(shots[phase])))
    shots[phase] = small.write_image(tmp_path / "changed.png", image)
    assert reason(lot, shots["before"], shots["after"]) in expected


def test_both_grey_on_a_colour_frame_is_refused(lot: SmallLot, tmp_path: Path) -> None:
    shots = [small.write_image(tmp_path / f"{p}.png", grey(small.read_image(lot.shot(0, p)))) for p in PHASES]
    assert reason(lot, *shots) == "colour"


def fifo(path: Path, good: bytes) -> None:
    os.mkfifo(path)


def folder(path: Path, good: bytes) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (None, "unreadable"),
        (fifo, "unreadable"),
        (folder, "unreadable"),
        (lambda path, good: path.write_bytes(b""), "unreadable"),
        (lambda path, good: path.write_bytes(good[: len(good) // 2]), "unreadable"),
        (lambda path, good: path.write_bytes(good[:-20]), "unreadable"),
        (lambda path, good: path.write_bytes(b"hello"), "not_a_photograph"),
        (lambda path, good: path.write_bytes(b"\0" * 5000), "unreadable"),
        (lambda path, good: path.write_bytes(good[:2000] + bytes(200) + good[2200:]), "unreadable"),
        (lambda path, good: path.symlink_to(path), "unreadable"),
    ],
)
def test_a_file_that_is_no_photograph_is_refused(lot: SmallLot, tmp_path: Path, make: Any, expected: str) -> None:
    path = tmp_path / "after.png"
    if make is not None:
        make(path, lot.shot(0, "after").read_bytes())
    assert reason(lot, lot.shot(0, "before"), path) == expected


def test_sixteen_bits_of_unknown_tone_are_refused(lot: SmallLot, tmp_path: Path) -> None:
    image = small.read_image(lot.shot(0, "after")).astype(np.uint16) * 257
    assert reason(lot, lot.shot(0, "before"), small.write_image(tmp_path / "deep.png", image)) == "needs_tone"


# sizes -----------------------------------------------------------------------------------


def test_shots_of_other_sizes_than_the_frame_are_measured(lot: SmallLot, tmp_path: Path) -> None:
    expected = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"))
    image = small.read_image(lot.shot(0, "after"))
    wide = cv2.copyMakeBorder(image, 11, 40, 30, 7, cv2.BORDER_CONSTANT, value=(30, 30, 30))
    found = measured(lot, lot.shot(0, "before"), small.write_image(tmp_path / "wide.png", wide))
    assert found["shots"]["after"]["shape"] == [small.SHAPE[0] + 51, small.SHAPE[1] + 37, 3]
    assert found["values"]["load_reduction_pct"][0] == pytest.approx(
        expected["values"]["load_reduction_pct"][0], abs=1.5
    )


# keys ------------------------------------------------------------------------------------


def test_the_key_changes_with_everything_that_changes_the_record(lot: SmallLot, tmp_path: Path) -> None:
    setting = small.setting(lot.board_type)
    sha = {"before": "b", "after": "a"}
    gated = small.write_type(
        tmp_path / "t.yaml", lot.truth, extra="gates: {min_inliers: 31}", golden=str(lot.folder / lot.truth.golden)
    )
    keys = [
        board_key("B", "L", setting, sha),
        board_key("C", "L", setting, sha),
        board_key("B", "M", setting, sha),
        board_key("B", "L", setting, {"before": "a", "after": "b"}),
        board_key("B", "L", small.setting(lot.board_type, FITTED), sha),
        board_key("B", "L", small.setting(gated), sha),
        board_key("B", "L", replace(setting, frame=PhotoFile("x", "other")), sha),
        board_key("B", "L", replace(setting, golden=PhotoFile("x", "other")), sha),
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_change_with_where_things_are_or_how_they_are_cut(lot: SmallLot) -> None:
    setting = small.setting(lot.board_type)
    sha = {"before": "b", "after": "a"}
    assert setting.frame is not None
    moved = replace(setting, frame=PhotoFile("elsewhere.png", setting.frame.sha256), tile=64, folder="x", thumb=10)
    assert board_key("B", "L", moved, sha) == board_key("B", "L", setting, sha)
    assert board_key("B", "L", setting, dict(reversed(sha.items()))) == board_key("B", "L", setting, sha)


def test_a_board_is_small_and_travels(lot: SmallLot) -> None:
    board = identify(small.board(small.setting(lot.board_type, FITTED), lot.shot(0, "before"), lot.shot(0, "after")))[0]
    done = run_inline(plan_board(board), board)
    data = pickle.dumps(done)
    assert len(data) < 100_000
    again: Board = pickle.loads(data)
    assert again.key == done.key
    assert again.fits == done.fits
    assert again.matches == done.matches


# what it leaves ----------------------------------------------------------------------------


def test_kept_planes_and_pictures_are_written_once_each(lot: SmallLot, tmp_path: Path) -> None:
    text = FITTED + "keep: [spots, opacity]\n"
    first = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), text, folder=str(tmp_path), tile=192)
    key = first["key"]
    assert {p.name for p in tmp_path.iterdir()} == {f"{key}.zarr", f"{key}.jpg"}
    assert store.is_complete(tmp_path / f"{key}.zarr")
    assert store.verify(tmp_path / f"{key}.zarr") == []
    spots = store.read_plane(tmp_path / f"{key}.zarr", "spots.before")
    assert spots.shape == small.SHAPE
    picture = cv2.imread(str(tmp_path / f"{key}.jpg"))
    assert picture is not None
    assert picture.shape[1] == 3 * small.SHAPE[1]
    again = measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), text, folder=str(tmp_path), tile=192)
    assert again == first, "it may be written again, over what a killed run has left"
    assert store.verify(tmp_path / f"{key}.zarr") == []


def test_a_tile_that_is_measured_again_after_the_board_was_done_says_the_same(lot: SmallLot, tmp_path: Path) -> None:
    """A worker that dies takes what its tasks have told with it; some run again, whatever was written."""
    made = replace(small.setting(lot.board_type, FITTED + "keep: [opacity]\n"), folder=str(tmp_path), tile=192)
    board = identify(small.board(made, lot.shot(0, "before"), lot.shot(0, "after")))[0]
    done = run_inline(plan_board(board), board)
    again = boards.measure(replace(done, record=None), next(tiles(small.SHAPE, 192)))
    assert again["tiles"] == 1
    assert store.verify(boards.store_path(done)) == []


@pytest.mark.parametrize("tile", [64, 192, 1024])
def test_what_lies_beside_the_outline_costs_nothing_and_changes_nothing(
    lot: SmallLot, tmp_path: Path, tile: int
) -> None:
    text = lot.board_type.read_text()
    narrow = tmp_path / "narrow.yaml"
    narrow.write_text(
        text.replace(text.partition("outline: ")[2].partition("\n")[0], "{box: [70, 70, 370, 240]}").replace(
            "golden: ", f"golden: {lot.folder}/"
        )
    )
    shots = lot.shot(0, "before"), lot.shot(0, "after")
    alone = measured(lot, *shots, board_type=narrow, tile=tile, folder=str(tmp_path / "alone"))
    kept = measured(lot, *shots, FLUX + "keep: [opacity]\n", narrow, tile=tile, folder=str(tmp_path / "kept"))
    assert kept["values"] == alone["values"], "with kept planes the whole frame is walked"
    for record, folder in ((alone, "alone"), (kept, "kept")):
        picture = cv2.imread(str(tmp_path / folder / f"{record['key']}.jpg"))
        assert picture is not None
        assert picture.shape == (320 - 64, 3 * (448 - 64), 3), "a picture shows the outline, on multiples of 64 px"


def test_without_a_folder_nothing_is_written(lot: SmallLot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    measured(lot, lot.shot(0, "before"), lot.shot(0, "after"), FITTED + "keep: [spots]\n")
    assert list(tmp_path.iterdir()) == []


def test_a_process_keeps_few_photographs_and_one_scene(lot: SmallLot) -> None:
    measured(lot, lot.shot(0, "before"), lot.shot(0, "after"))
    assert boards._photos.size == 2
    assert boards._scenes.size == 1
    boards.forget_photographs()
    assert not boards._photos._values


# light -----------------------------------------------------------------------------------


def matched_with(board: Board, monkeypatch: pytest.MonkeyPatch, residuals: tuple[float, float], misfit: float) -> Board:
    """A board whose lights, with and without a field, leave these residuals; ``misfit`` is that without."""
    part = {phase: boards.match_shot(board, phase)[phase] for phase in PHASES}
    lit: dict[str, Any] = {}
    for phase, match in part.items():
        assert not isinstance(match, Refusal)
        assert match.light is not None
        light = replace(match.light, residual=residuals[0], misfit=0.1)
        even = replace(light, residual=residuals[1], misfit=misfit, field=(0.0,) * 5)
        lit[phase] = replace(match, light=light, even=even)
    monkeypatch.setattr(boards, "gate_copies", lambda *_: None)
    return boards.matched(board, lit)


@pytest.mark.parametrize(("misfit", "even"), [(0.1, True), (0.2, False)])
def test_gates_judge_the_light_that_was_chosen(
    lot: SmallLot, monkeypatch: pytest.MonkeyPatch, misfit: float, *, even: bool
) -> None:
    board = identify(small.board(small.setting(lot.board_type), lot.shot(0, "before"), lot.shot(0, "after")))[0]
    stage = plan_board(board).stages[0]
    board = stage.then(board, {k: v for item in stage.items for k, v in stage.function(board, item).items()})
    good, bad = (0.9, 0.01), (0.01, 0.9)
    found = matched_with(board, monkeypatch, good if even else bad, misfit)
    for match in found.matches.values():
        assert match.light is not None
        assert match.light.residual == 0.01
        assert match.even is None
    with pytest.raises(Refusal, match="light"):
        matched_with(board, monkeypatch, bad if even else good, misfit)
