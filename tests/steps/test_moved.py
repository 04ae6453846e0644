"""What is neither the clean board nor white residue is found by its colour."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import small

from residue_batch.api import try_pair
from residue_batch.steps.moved import moved

SHAPE = (60, 80)
MASK, WHITE = np.array([0.03, 0.12, 0.04], np.float32), np.array([0.74, 0.73, 0.7], np.float32)
RAW = np.full((3, *SHAPE), 90, np.uint8)
REFERENCE = np.ascontiguousarray(np.broadcast_to(MASK[:, None, None], (3, *SHAPE)))


def seen(colour: tuple[float, ...], radius: int = 12, noise: float = 0.0) -> np.ndarray:
    """The board with a disc of a colour on it."""
    image = REFERENCE.copy()
    inside = cv2.circle(np.zeros(SHAPE, np.uint8), (40, 30), radius, 1, -1) != 0
    image[:, inside] = np.reshape(colour, (3, 1))
    return image + np.random.default_rng(1).normal(0, noise, image.shape).astype(np.float32)


def test_a_coloured_thing_is_found_and_grown():
    cable = seen((0.5, 0.05, 0.05))
    found = moved(cable, REFERENCE, RAW, WHITE, grow=0.0)
    assert found[30, 40]
    assert 0.9 * np.pi * 144 < found.sum() < 1.1 * np.pi * 144
    assert moved(cable, REFERENCE, RAW, WHITE, grow=5.0).sum() > 1.5 * found.sum()


@pytest.mark.parametrize("opacity", [0.05, 0.4, 0.95])
@pytest.mark.parametrize("tint", [(1, 1, 1), (1.06, 1, 0.94)])
def test_white_residue_is_not_even_a_little_tinted(opacity, tint):
    residue = (1 - opacity) * MASK + opacity * WHITE * np.array(tint)
    assert not moved(seen(tuple(residue), noise=0.01), REFERENCE, RAW, WHITE).any()


def test_a_colour_that_is_clipped_says_nothing():
    raw = RAW.copy()
    raw[0] = 255
    assert not moved(seen((1.0, 0.4, 0.4)), REFERENCE, raw, WHITE).any()


def test_a_thin_line_is_the_edge_of_something_and_no_part():
    assert not moved(seen((0.5, 0.05, 0.05), radius=2), REFERENCE, RAW, WHITE).any()
    assert moved(seen((0.5, 0.05, 0.05), radius=2), REFERENCE, RAW, WHITE, size=0.0).any()


def test_grey_has_no_colour_to_be_off_by():
    image, reference = seen((0.5, 0.05, 0.05))[:1], REFERENCE[:1]
    assert not moved(image, reference, RAW[:1], WHITE[:1], size=0.0).any()


def test_where_the_board_is_as_white_as_residue_nothing_is_found():
    label = np.ascontiguousarray(np.broadcast_to(0.95 * WHITE[:, None, None], (3, *SHAPE)))
    assert not moved(seen((0.5, 0.05, 0.05)), label, RAW, WHITE, size=0.0).any()


def test_a_cable_in_one_of_the_shots_is_left_out_of_both_and_counted(tmp_path: Path) -> None:
    lot = small.make_lot(tmp_path, 1, shape=(600, 800))
    before, after = (small.read_image(lot.shot(0, phase)) for phase in ("before", "after"))
    cable = np.array([[150, 200], [320, 260], [450, 420], [640, 430]], np.int32)
    cv2.polylines(before, [cable], False, (60, 110, 235), 22, cv2.LINE_AA)
    shots = [small.write_image(tmp_path / f"{n}.png", image) for n, image in (("before", before), ("after", after))]
    plain, told = (try_pair(lot.board_type, *shots, flow) for flow in ("flux_residue", "moved_parts"))
    clean = try_pair(lot.board_type, lot.shot(0, "before"), lot.shot(0, "after"), "moved_parts")
    true = clean["values"]["load"][0][0]
    share = told["values"]["moved_pct"]
    assert share[0][0] > 3
    assert share[1][0] < 0.5
    assert clean["values"]["moved_pct"][0][0] < 0.5
    assert told["observable_pct"][0] < plain["observable_pct"][0] - 2
    off = [abs(record["values"]["load"][0][0] - true) for record in (plain, told)]
    assert off[1] < 0.5 * off[0]
