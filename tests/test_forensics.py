"""Every mix-up that a night shift can make is planted on rendered boards and found by its name; good pairs pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import small
from PIL import Image
from small import SmallLot

from residue_batch import board as boards
from residue_batch.board import Board
from residue_batch.comparing import VERDICTS, compare
from residue_batch.config import Gates, load_board_type, load_workflow
from residue_batch.errors import Refusal
from residue_batch.files import PhotoFile
from residue_batch.gates import clock_of, gate_change, gate_light
from residue_batch.matching.registration import grey
from residue_batch.photo import read_header
from residue_batch.prepare import setting_of
from residue_batch.program import PHASES
from residue_batch.synthetic import DIFFICULTIES, photograph, plant_residue, render_board, write_shot

SHARED = Path(__file__).resolve().parents[2] / "shared" / "pairs"
SHAPE = (480, 640)
Change = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def lot(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    return small.make_lot(tmp_path_factory.mktemp("forensics"), shape=SHAPE, difficulty="medium", seed=11)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    other = photograph(render_board(77, SHAPE, "blue"), None, 3, "easy").pixels
    return np.ascontiguousarray(other[..., ::-1])


def verdict(board: Board) -> str:
    """Open and match a board: the reason of its refusal, or nothing."""
    try:
        for stage in boards.plan_board(board).stages[:2]:
            part: dict[str, object] = {}
            for item in stage.items:
                part |= stage.function(board, item)
            board = stage.then(board, part)
    except Refusal as error:
        assert error.message
        assert error.remedy
        return error.reason
    finally:
        boards.forget_photographs()
    return ""


def exposed(stops: float) -> Change:
    def change(image: np.ndarray) -> np.ndarray:
        light = np.clip((image / 255.0) ** 2.2 * 2.0**stops, 0, 1)
        return np.rint(255 * light ** (1 / 2.2)).astype(np.uint8)

    return change


def tilted(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    leaning = corners + np.array([[0.08, 0.04], [-0.08, 0.04], [0, 0], [0, 0]], np.float32) * (width, height)
    matrix = cv2.getPerspectiveTransform(corners, leaning.astype(np.float32))
    return cv2.warpPerspective(image, matrix, (width, height))


MIXUPS: dict[str, tuple[Change, str]] = {
    "upside down": (lambda image: np.rot90(image, 2), "rotated"),
    "a quarter left": (lambda image: np.rot90(image), "rotated"),
    "a quarter right": (lambda image: np.rot90(image, 3), "rotated"),
    "mirrored": (np.fliplr, "mirrored"),
    "mirrored downwards": (np.flipud, "mirrored"),
    "out of focus": (lambda image: cv2.GaussianBlur(image, (0, 0), 3), "out_of_focus"),
    "far out of focus": (lambda image: cv2.GaussianBlur(image, (0, 0), 7), "out_of_focus"),
    "two stops over": (exposed(2.5), "over_exposed"),
    "two stops under": (exposed(-2.5), "under_exposed"),
    "black": (np.zeros_like, "under_exposed"),
    "burnt out": (lambda image: np.full_like(image, 254), "over_exposed"),
    "tilted": (tilted, "tilted"),
    "half the resolution": (lambda image: cv2.resize(image, None, fx=0.6, fy=0.6), "resolution"),
}


@pytest.mark.parametrize(
    ("name", "phase"), [*((name, "after") for name in MIXUPS), ("upside down", "before"), ("mirrored", "before")]
)
def test_a_shot_that_is_wrong_is_refused_by_its_name(lot: SmallLot, tmp_path: Path, name: str, phase: str) -> None:
    change, expected = MIXUPS[name]
    shots = {p: lot.shot(0, p) for p in PHASES}
    image = np.ascontiguousarray(change(small.read_image(shots[phase])))
    shots[phase] = small.write_image(tmp_path / "changed.png", image)
    assert verdict(small.board(small.setting(lot.board_type), shots["before"], shots["after"])) == expected


def test_another_board_type_is_named(lot: SmallLot, stranger: np.ndarray, tmp_path: Path) -> None:
    path = small.write_image(tmp_path / "other.png", stranger)
    setting = small.setting(lot.board_type)
    assert verdict(small.board(setting, lot.shot(0, "before"), path)) == "other_board"
    assert verdict(small.board(setting, path, lot.shot(0, "after"))) == "other_board"
    pair = small.setting(
        small.write_type(tmp_path / "p.yaml", lot.truth, "pair", golden=str(lot.folder / lot.truth.golden))
    )
    assert verdict(small.board(pair, path, lot.shot(0, "after"))) == "other_board"


# one photograph twice ----------------------------------------------------------------------

QUALITY = cv2.IMWRITE_JPEG_QUALITY
COPIES: dict[str, tuple[Change, str, tuple[int, ...]]] = {
    **{f"jpeg {q}": (lambda image: image, "copy.jpg", (QUALITY, q)) for q in (95, 85, 70, 50)},
    "another format": (lambda image: image, "copy.tif", ()),
    "packed otherwise": (lambda image: image, "copy.png", (cv2.IMWRITE_PNG_COMPRESSION, 9)),
    "cut": (lambda image: image[7:-12, 5:-9], "copy.png", ()),
    "cut and compressed": (lambda image: image[7:-12, 5:-9], "copy.jpg", (QUALITY, 90)),
    "made smaller": (
        lambda image: cv2.resize(image, None, fx=0.95, fy=0.95, interpolation=3),
        "copy.jpg",
        (QUALITY, 92),
    ),
    "made larger": (lambda image: cv2.resize(image, None, fx=1.05, fy=1.05, interpolation=2), "copy.png", ()),
    "brightened": (lambda image: cv2.convertScaleAbs(image, alpha=1.06, beta=3), "copy.png", ()),
    "darkened and compressed": (lambda image: cv2.convertScaleAbs(image, alpha=0.9), "copy.jpg", (QUALITY, 85)),
}


@pytest.mark.parametrize("name", COPIES)
def test_one_photograph_saved_twice_is_refused(lot: SmallLot, tmp_path: Path, name: str) -> None:
    change, file, options = COPIES[name]
    image = np.ascontiguousarray(change(small.read_image(lot.shot(0, "before"))))
    copy = small.write_image(tmp_path / file, image, *options)
    setting = small.setting(lot.board_type)
    assert verdict(small.board(setting, lot.shot(0, "before"), copy)) == "same_photo"
    assert compare(copy, lot.shot(0, "before")).verdict == "same_photo"


def test_a_copy_passes_where_the_gate_is_open(lot: SmallLot, tmp_path: Path) -> None:
    copy = small.write_image(tmp_path / "copy.tif", small.read_image(lot.shot(0, "before")))
    setting = small.setting(lot.board_type)
    wide = setting.board_type.model_copy(update={"gates": Gates(refuse_copies=False)})
    assert verdict(small.board(replace(setting, board_type=wide), copy, lot.shot(0, "before"))) == ""


@pytest.mark.parametrize(
    ("difficulty", "suffix", "bits", "quality", "amount"),
    [
        ("fixed", ".png", 8, 0, 0.08),
        ("fixed", ".png", 8, 0, 0.0),
        ("fixed", ".png", 16, 0, 0.08),
        ("fixed", ".jpg", 8, 92, 0.08),
        ("fixed", ".jpg", 8, 60, 0.0),
        ("easy", ".jpg", 8, 92, 0.0),
    ],
)
def test_a_board_shot_twice_from_a_tripod_is_no_copy(
    lot: SmallLot, tmp_path: Path, difficulty: str, suffix: str, bits: int, quality: int, amount: float
) -> None:
    """Nothing moves and nothing changes but the noise: the null check must not be refused."""
    board = render_board(11, SHAPE, "green", 1)
    opacity = plant_residue(board, 5, amount)
    paths = [tmp_path / f"{phase}{suffix}" for phase in PHASES]
    for seed, path in enumerate(paths):
        write_shot(path, photograph(board, opacity, seed, difficulty, bits).pixels, quality)
    kind = load_board_type(str(lot.board_type)).model_copy(update={"tone": "srgb"})
    setting = replace(small.setting(lot.board_type), board_type=kind)
    assert verdict(small.board(setting, *paths)) == ""


# exchanged phases ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "reversed_clock", "refused"),
    [
        (0.01, 0.1, False, True),
        (0.05, 0.1, False, True),
        (0.05, 0.071, False, False),  # a board that got worse by 42 %
        (0.05, 0.071, True, True),
        (0.05, 0.051, True, False),  # within what light can do
        (0.0, 0.002, False, False),
        (0.0, 0.05, False, True),
        (-0.001, 0.05, False, True),
        (0.1, 0.01, True, False),
    ],
)
def test_only_overwhelming_evidence_says_that_phases_are_exchanged(
    before: float, after: float, reversed_clock: bool, refused: bool
) -> None:
    def gate() -> None:
        gate_change(Gates(), before, after, 1e-3, clock_reversed=reversed_clock)

    if not refused:
        gate()
        return
    with pytest.raises(Refusal, match="times the residue of before") as caught:
        gate()
    assert caught.value.reason == "swapped"
    assert ("clock" in caught.value.message) == reversed_clock


CLOCKS = {
    ("10:00:00", "10:00:07"): "forward",
    ("10:00:07", "10:00:00"): "reversed",
    ("10:00:00", "10:00:00"): "",
    ("10:00:00", ""): "",
    ("", "10:00:00"): "",
}


@pytest.mark.parametrize("times", CLOCKS)
def test_the_clock_says_which_shot_came_first_where_both_have_it(tmp_path: Path, times: tuple[str, str]) -> None:
    for name, time in zip(("before", "after"), times, strict=True):
        exif = Image.Exif()
        if time:
            exif.get_ifd(0x8769)[0x9003] = f"2025:03:01 {time}"
        Image.new("RGB", (16, 16)).save(tmp_path / f"{name}.jpg", exif=exif)
    assert clock_of(str(tmp_path / "before.jpg"), str(tmp_path / "after.jpg")) == CLOCKS[times]


def test_the_clock_of_the_camera_is_read(tmp_path: Path) -> None:
    ok, data = cv2.imencode(".jpg", np.full((16, 16, 3), 90, np.uint8), [QUALITY, 90])
    assert ok
    taken = b"2025:03:01 10:00:00\0"
    exif = b"II*\0\x08\0\0\0" + b"\x01\0" + b"\x69\x87\x04\0\x01\0\0\0\x1a\0\0\0" + bytes(4)
    exif += b"\x01\0" + b"\x03\x90\x02\0\x14\0\0\0\x2c\0\0\0" + bytes(4) + taken
    block = b"Exif\0\0" + exif
    marked = data.tobytes()[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + data.tobytes()[2:]
    path = tmp_path / "shot.jpg"
    path.write_bytes(marked)
    assert read_header(path).taken == "2025:03:01 10:00:00"
    path.write_bytes(marked.replace(taken, b"yesterday at ten...\0"))
    assert read_header(path).taken == ""
    assert read_header(path).steps > 0


def test_a_light_far_from_the_references_is_named() -> None:
    sound = SimpleNamespace(gain=(1.0,), samples=900, residual=0.05, share=0.9)
    for change, expected in (
        ({"gain": (0.2, 0.3)}, "under_exposed"),
        ({"gain": (3.5,)}, "over_exposed"),
        ({"residual": 0.5}, "light"),
        ({"residual": float("nan")}, "light"),
        ({"share": 0.2}, "light"),
    ):
        with pytest.raises(Refusal) as caught:
            gate_light(Gates(), "after", SimpleNamespace(**{**vars(sound), **change}))
        assert caught.value.reason == expected
    gate_light(Gates(), "after", sound)


# comparing -----------------------------------------------------------------------------------


def test_comparing_does_not_depend_on_the_order(lot: SmallLot, stranger: np.ndarray, tmp_path: Path) -> None:
    before, after = lot.shot(0, "before"), lot.shot(0, "after")
    image = small.read_image(after)
    others = {
        after: "same_board",
        small.write_image(tmp_path / "turned.png", np.ascontiguousarray(np.rot90(image))): "rotated",
        small.write_image(tmp_path / "mirrored.png", np.ascontiguousarray(image[:, ::-1])): "mirrored",
        small.write_image(tmp_path / "other.png", stranger): "other_board",
        small.write_image(tmp_path / "soft.png", cv2.GaussianBlur(image, (0, 0), 8)): "out_of_focus",
        small.write_image(tmp_path / "grey.png", grey(image)): "same_board",
    }
    for other, expected in others.items():
        forth, back = compare(before, other), compare(other, before)
        assert forth.verdict == back.verdict == expected
        assert expected in VERDICTS
        for name in ("correlation", "spectrum", "ruzicka", "hellinger", "earth_mover", "phase_peak_ratio", "inliers"):
            assert getattr(forth, name) == getattr(back, name)
        if forth.rotation_deg is not None:
            assert back.rotation_deg == -forth.rotation_deg
    assert compare(before, before).verdict == "same_file"


# good pairs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_no_good_pair_is_refused(tmp_path: Path, difficulty: str) -> None:
    kinds = ("reduce", "null", "worse", "blank")
    made = small.make_lot(tmp_path, boards=4, kinds=kinds, shape=SHAPE, difficulty=difficulty, seed=29)
    setting = small.setting(made.board_type)
    for index, kind in enumerate(kinds):
        found = verdict(small.board(setting, made.shot(index, "before"), made.shot(index, "after")))
        assert found == "", kind


@pytest.mark.deep
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared pairs are not here")
def test_no_shared_pair_is_refused_and_every_mixup_planted_on_one_is_named(tmp_path: Path) -> None:
    from benchmarks.pairs import lay_out, read_pairs

    pairs = [pair for pair in read_pairs(SHARED) if pair.golden]
    lay_out(pairs, "golden", tmp_path)
    flux = load_workflow("flux_residue")
    for number, pair in enumerate(pairs):
        setting = setting_of(load_board_type(str(tmp_path / f"{pair.id}.yaml")), flux, None)
        board = small.board(setting, pair.before, pair.after)
        assert verdict(board) == "", pair.level
        image = small.read_image(pair.after)
        stranger = next(p for p in pairs[number:] + pairs[:number] if p.id.split("_")[-1] != pair.id.split("_")[-1])
        planted = {name: (change(image), expected) for name, (change, expected) in MIXUPS.items()}
        planted["other"] = small.read_image(stranger.after), "other_board"
        for name, (changed, expected) in planted.items():
            path = small.write_image(
                tmp_path / "shot.png", np.ascontiguousarray(changed), cv2.IMWRITE_PNG_COMPRESSION, 1
            )
            assert verdict(replace(board, shots={**board.shots, "after": PhotoFile(str(path))})) == expected, name
        before = small.read_image(pair.before)
        for name, (change, file, options) in COPIES.items():
            path = small.write_image(tmp_path / file, np.ascontiguousarray(change(before)), *options)
            assert verdict(replace(board, shots={**board.shots, "after": PhotoFile(str(path))})) == "same_photo", name
