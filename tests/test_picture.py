"""Small pictures: put together from tiles, honest about what is hidden."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residue_batch.geometry import Box, tiles
from residue_batch.picture import HIDDEN, REMOVED, RESIDUE, assemble, overlay, plane_picture, write_picture, write_png
from residue_batch.tile import _shrunk


@settings(max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from([8, 16, 24]), st.sampled_from([1, 2, 4, 8]))
def test_tiles_make_the_picture_that_the_whole_makes(height: int, width: int, tile: int, scale: int) -> None:
    plane = np.random.default_rng(height * 71 + width).integers(0, 256, (height, width, 3), np.uint8)
    tally = {
        f"thumb/x/{b.top}/{b.left}": _shrunk(plane[b.top : b.bottom, b.left : b.right], scale, scale)
        for b in tiles((height, width), tile)
    }
    made = assemble(tally, "x", Box(0, 0, height, width), scale)
    assert made is not None
    assert np.array_equal(made, _shrunk(plane, scale, scale))


def test_a_picture_that_was_not_made_is_none() -> None:
    assert assemble({}, "x", Box(0, 0, 3, 3), 1) is None


def test_the_overlay_shows_what_is_left_gone_and_hidden() -> None:
    raw = np.full((1, 4, 3), 60, np.uint8)
    before = np.array([[0, 250, 250, 0]], np.uint8)
    after = np.array([[0, 250, 0, 0]], np.uint8)
    hidden = np.array([[0, 0, 0, 255]], np.uint8)
    image = overlay(raw, {"before": before, "after": after}, hidden, np.full((1, 4), 255, np.uint8)).astype(int)
    bare, left, gone, unseen = image[0]

    def near(pixel: np.ndarray, colour: tuple[int, int, int]) -> float:
        return float(np.abs(pixel - np.array(colour)).sum())

    assert near(left, RESIDUE) < near(bare, RESIDUE) / 3
    assert near(gone, REMOVED) < near(bare, REMOVED) / 2
    assert near(unseen, HIDDEN) < near(bare, HIDDEN) / 2
    outside = overlay(raw, {}, hidden, np.zeros((1, 4), np.uint8)).astype(int)
    assert np.array_equal(outside[0, 3], outside[0, 0]), "beside the board nothing is hidden"


@pytest.mark.parametrize("channels", [1, 3])
def test_three_panels_are_written_whole(tmp_path: Path, channels: int) -> None:
    tally = {}
    for name in ("raw.before", "raw.after"):
        tally[f"thumb/{name}/0/0"] = np.full((20, 30, channels), 100, np.uint8)
    for name in ("hidden", "outline", "shown.before", "shown.after"):
        tally[f"thumb/{name}/0/0"] = np.zeros((20, 30), np.uint8)
    path = tmp_path / "sub" / "b.jpg"
    write_picture(path, Box(0, 0, 40, 60), 2, tally)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.shape == (20, 90, 3)
    assert [p.name for p in path.parent.iterdir()] == ["b.jpg"]
    data = path.read_bytes()
    write_picture(path, Box(0, 0, 40, 60), 2, dict(reversed(tally.items())))
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("plane", "value"),
    [
        (np.ones((2, 3), bool), 255),
        (np.full((2, 3), 1.0, np.float32), 255),
        (np.full((2, 3), -0.1, np.float32), 0),
        (np.full((2, 3), 9.0, np.float32), 255),
        (np.full((3, 2, 3), 200, np.uint8), 200),
        (np.full((3, 2, 3), 200 << 8, np.uint16), 200),
        (np.full((1, 2, 3), 77, np.uint8), 77),
        (np.full((3, 2, 3), 1.0, np.float32), 255),
        (np.full((3, 2, 3), -1.0, np.float32), 0),
    ],
)
def test_any_plane_is_a_picture(tmp_path: Path, plane: np.ndarray, value: int) -> None:
    image = plane_picture(plane)
    assert image.dtype == np.uint8
    assert image.shape in {(2, 3), (2, 3, 3)}
    assert (image == value).all()
    write_png(tmp_path / "a" / "p.png", image)
    again = cv2.imread(str(tmp_path / "a" / "p.png"), cv2.IMREAD_UNCHANGED)
    assert again is not None
    assert again.shape == image.shape


def test_a_png_is_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "p.png", np.array([[[255, 0, 0]]], np.uint8))
    again = cv2.imread(str(tmp_path / "p.png"))
    assert again is not None
    assert again.ravel().tolist() == [0, 0, 255]
