"""A board frame made ready: regions as bits, the clean colour as shots are blurred."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import small
from small import SmallLot

from residue_batch import kernels, photo
from residue_batch.config import load_board_type
from residue_batch.errors import ConfigError, Refusal
from residue_batch.geometry import Box, tiles
from residue_batch.matching.resample import FULL_SCALE
from residue_batch.scene import Scene, ignored_bit, scene_as_taken, scene_of_pair, scene_of_type


def golden(lot: SmallLot) -> photo.Photo:
    return photo.read(lot.folder / lot.truth.golden)


@pytest.fixture(scope="module")
def scene(lot: SmallLot) -> Scene:
    made = scene_of_type(load_board_type(str(lot.board_type)), golden(lot), None, 1.5)
    assert made.registration is None
    return made


def test_regions_are_bits_of_one_mask(scene: Scene, lot: SmallLot) -> None:
    assert scene.regions == ("whole", "lower")
    bits = scene.bits(Box.whole(scene.shape))
    inside = np.zeros(scene.shape, np.uint8)
    cv2.fillPoly(inside, [np.array(lot.truth.outline)], 1)
    assert (bits & 1).sum() == pytest.approx(inside.sum(), rel=0.01)
    x, y, width, height = lot.truth.label
    assert (bits[y : y + height, x : x + width] & ignored_bit(bits)).all()
    lower = bits >> 1 & 1 == 1
    assert not lower[: scene.shape[0] // 2].any()
    assert not (lower & (bits & 1 == 0)).any(), "a region ends at the outline"


def test_an_area_is_where_pixels_have_its_bit_however_often_it_is_asked_for(scene: Scene) -> None:
    whole = Box.whole(scene.shape)
    for box in (whole, *tiles(scene.shape, 64), Box(3, 5, 3, 9)):
        for bit in (1, 2, ignored_bit(scene.mask)):
            expected = scene.bits(box) & bit != 0
            for _ in range(2):
                assert np.array_equal(scene.area(box, bit), expected)
    known = set(scene._plain.values())
    assert known == {False, True}, "some tiles lie inside, some outside"


@pytest.mark.parametrize(("extra", "dtype"), [(0, np.uint8), (5, np.uint8), (6, np.uint16), (14, np.uint32)])
def test_many_regions_and_the_ignored_pixels_each_have_a_bit(lot: SmallLot, extra: int, dtype: type) -> None:
    made = load_board_type(str(lot.board_type))
    more = {f"r{i}": made.regions["lower"] for i in range(extra)}
    scene = scene_as_taken(made.model_copy(update={"regions": made.regions | more}), golden(lot), (10, 10, 3))
    bits = scene.mask
    assert bits.dtype == dtype
    assert len(scene.regions) == 2 + extra
    for index, name in enumerate(scene.regions):
        expected = bits & 1 > 0 if name == "whole" else bits >> 1 & 1 > 0
        assert np.array_equal(kernels.has_bit(bits, 1 << index), expected)
    x, y, width, height = lot.truth.label
    ignored = kernels.has_bit(bits, ignored_bit(bits))
    assert ignored[y : y + height, x : x + width].all()
    assert not ignored.all()


def test_more_regions_than_there_are_bits_are_refused(lot: SmallLot, tmp_path: Path) -> None:
    text = lot.board_type.read_text(encoding="utf-8")
    head = text[: text.index("regions:")].replace("./", f"{lot.folder}/")
    for count, refused in ((30, False), (31, True)):
        path = tmp_path / f"of_{count}.yaml"
        areas = "".join(f"  r{i}: {{box: [20, 20, 9, 9]}}\n" for i in range(count))
        path.write_text(f"{head}regions:\n{areas}", encoding="utf-8")
        if refused:
            with pytest.raises(ConfigError, match="at most 30"):
                load_board_type(str(path))
        else:
            assert len(load_board_type(str(path)).region_names) == 31


def test_a_box_of_the_scene_is_a_cut_of_the_whole(scene: Scene) -> None:
    whole_bits, whole_clean = scene.bits(Box.whole(scene.shape)), scene.reference(Box.whole(scene.shape))
    for tile in tiles(scene.shape, 100):
        rows, columns = tile.within(Box.whole(scene.shape))
        assert np.array_equal(scene.bits(tile), whole_bits[rows, columns])
        assert np.array_equal(scene.reference(tile), whole_clean[:, rows, columns])


def test_the_reference_is_linear_light_of_full_scale_one(scene: Scene) -> None:
    clean = scene.reference(Box.whole(scene.shape))
    assert clean.dtype == np.float32
    assert clean.shape == (3, *scene.shape)
    assert 0 <= clean.min() < clean.max() <= 1
    assert scene.white.shape == (3,)
    assert (scene.white > np.median(clean, axis=(1, 2))).all()
    assert not scene.white_assumed
    assert FULL_SCALE == 65535


def test_without_a_patch_white_is_assumed(lot: SmallLot, tmp_path: Path) -> None:
    path = small.write_type(tmp_path / "t.yaml", lot.truth, golden=str(lot.folder / lot.truth.golden))
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("white:")))
    made = scene_of_type(load_board_type(str(path)), golden(lot), None, 1.5)
    assert made.white_assumed


def test_a_pair_has_no_clean_colour(lot: SmallLot, tmp_path: Path) -> None:
    path = small.write_type(tmp_path / "t.yaml", lot.truth, "pair", golden=str(lot.folder / lot.truth.golden))
    before = photo.read(lot.shot(0, "before"))
    made = scene_of_pair(load_board_type(str(path)), golden(lot), before, 1.5)
    assert made.clean is None
    assert made.shape == small.SHAPE
    assert made.registration is not None
    assert made.registration.displacement_px > 0.1


def test_a_golden_shot_beside_the_frame_is_brought_into_it(lot: SmallLot, scene: Scene) -> None:
    board_type = load_board_type(str(lot.board_type))
    frame = photo.read(lot.shot(0, "before"))
    made = scene_of_type(board_type, frame, golden(lot), 1.5)
    assert made.registration is not None
    assert made.registration.displacement_px > 0.1
    same = scene_of_type(board_type, golden(lot), golden(lot), 1.5)
    assert same.registration is None, "the golden shot is the frame: nothing is moved"
    everywhere = Box.whole(same.shape)
    assert np.array_equal(same.reference(everywhere), scene.reference(everywhere))


def test_grey_and_colour_do_not_mix(lot: SmallLot, tmp_path: Path) -> None:
    grey = small.write_image(
        tmp_path / "g.png", cv2.cvtColor(small.read_image(lot.shot(0, "after")), cv2.COLOR_BGR2GRAY)
    )
    with pytest.raises(Refusal) as caught:
        scene_of_type(load_board_type(str(lot.board_type)), golden(lot), photo.read(grey), 1.5)
    assert caught.value.reason == "colour"


def test_a_golden_shot_that_cuts_the_board_off_is_refused(lot: SmallLot, tmp_path: Path) -> None:
    image = small.read_image(lot.folder / lot.truth.golden)
    cut = photo.read(small.write_image(tmp_path / "cut.png", image[:, : image.shape[1] * 3 // 4]))
    with pytest.raises(Refusal) as caught:
        scene_of_type(load_board_type(str(lot.board_type)), golden(lot), cut, 1.5)
    assert caught.value.reason in {"outside", "registration"}


def test_a_grey_scene_has_one_channel(lot: SmallLot, tmp_path: Path) -> None:
    path = small.write_image(
        tmp_path / "g.png", cv2.cvtColor(small.read_image(lot.folder / lot.truth.golden), cv2.COLOR_BGR2GRAY)
    )
    made = scene_of_type(load_board_type(str(lot.board_type)), photo.read(path), None, 1.5)
    assert made.reference(Box(0, 0, 5, 7)).shape == (1, 5, 7)
    assert made.white.shape == (1,)


def test_the_frame_may_be_the_before_shot_itself(lot: SmallLot, tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(
        "schema: 1\nboard_type: any\nreference: pair\nunits: fraction\noutline: {box: [0.1, 0.1, 0.8, 0.8]}\n"
    )
    made = scene_of_pair(load_board_type(str(path)), None, photo.read(lot.shot(0, "before")), 1.5)
    assert made.shape == small.SHAPE
    assert made.registration is None
    outline = np.count_nonzero(made.bits(Box.whole(made.shape)) & 1)
    assert outline == pytest.approx(0.64 * small.SHAPE[0] * small.SHAPE[1], rel=0.02)
