"""The flat field: what a photograph of a card says of the light, and which photographs are no card."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from residue_batch.errors import Refusal
from residue_batch.geometry import Box, Transform, tiles
from residue_batch.matching.flat import Flat, Shade, flat_of
from residue_batch.matching.light import same_light
from residue_batch.matching.resample import linear_table
from residue_batch.photo.arrays import upright
from residue_batch.synthetic import photograph, photograph_card, render_board, uneven_light

SHAPE = (600, 900)
TABLE = linear_table(np.uint8, "srgb")
LAMPS = uneven_light(SHAPE, 0.6)
WHOLE = Box.whole(SHAPE)


@pytest.fixture(scope="module")
def card() -> np.ndarray:
    return photograph_card(SHAPE, 1, LAMPS)


@pytest.fixture(scope="module")
def flat(card: np.ndarray) -> Flat:
    return flat_of(card, TABLE, 1, "card.png")


def light(shade: Shade) -> np.ndarray:
    """(C, H, W): what a shade says at every pixel of the frame."""
    return shade.at(np.arange(SHAPE[1], dtype=np.float64)[None, :], np.arange(SHAPE[0], dtype=np.float64)[:, None])


def relative(lamps: np.ndarray) -> np.ndarray:
    """(C, H, W): light, 1 on average in each channel, which is all that a card can say."""
    return np.moveaxis(lamps / lamps.mean((0, 1)), -1, 0)


def test_a_card_shows_the_light_to_two_per_cent_even_where_it_is_steep_and_at_the_rim(flat: Flat) -> None:
    found = light(flat.shade((*SHAPE, 3), 1, Transform(), "shot"))
    assert np.abs(found / relative(LAMPS) - 1).max() < 0.02
    assert np.abs(found / relative(LAMPS) - 1).mean() < 0.002


def test_the_colour_and_exposure_of_the_card_do_not_count(card: np.ndarray, flat: Flat) -> None:
    darker = photograph_card(SHAPE, 2, LAMPS * np.float32([0.5, 0.7, 0.6]))
    other = flat_of(darker, TABLE, 1, "card.png")
    np.testing.assert_allclose(other.cells, flat.cells, rtol=0.01)


@pytest.mark.parametrize("taken", range(1, 9))
@pytest.mark.parametrize("card_taken", [1, 3, 6, 7])
def test_light_belongs_to_the_sensor_however_the_camera_turned_the_file(
    card: np.ndarray, taken: int, card_taken: int
) -> None:
    flat = flat_of(upright(card, card_taken), TABLE, card_taken, "card.png")
    assert flat.shape == SHAPE
    truth = upright(LAMPS / LAMPS.mean((0, 1)), taken)
    shade = flat.shade(truth.shape, taken, Transform(), "shot")
    y, x = np.mgrid[: truth.shape[0] : 37, : truth.shape[1] : 41].astype(np.float64)
    np.testing.assert_allclose(shade.at(x, y), np.moveaxis(truth[::37, ::41], -1, 0), rtol=0.02)


def test_a_place_of_the_frame_has_the_light_of_where_it_lies_in_the_shot(flat: Flat) -> None:
    moved = Transform.of(np.array([[0.9, 0.02, 30.0], [-0.02, 0.95, 12.0], [1e-5, 0, 1]]))
    shade, straight = (flat.shade((*SHAPE, 3), 1, t, "shot") for t in (moved, Transform()))
    x, y = np.array([100.0, 500.0, 850.0]), np.array([80.0, 300.0, 590.0])
    np.testing.assert_allclose(shade.at(x, y), straight.at(*moved.apply(np.stack([x, y], 1)).T), rtol=1e-12)


@pytest.mark.parametrize("size", [1, 97, 256])
def test_the_flat_field_has_the_same_bits_in_any_tile(flat: Flat, size: int) -> None:
    moved = Transform.of(np.array([[0.9, 0.02, 30.0], [-0.02, 0.95, 12.0], [1e-5, 0, 1]]))
    shade, even = flat.shade((*SHAPE, 3), 1, moved, "shot"), same_light(SHAPE, 3)

    def seen(box: Box) -> np.ndarray:
        return even.matched(np.full((3, *box.shape), 40000, np.uint16), box, 0.0, shade)

    full = seen(WHOLE)
    assert np.ptp(full, axis=(1, 2)).min() > 0.2
    boxes = list(tiles(SHAPE, size))
    for box in boxes[:: max(1, len(boxes) // 100)]:
        np.testing.assert_array_equal(seen(box), full[:, *box.within(WHOLE)])


def test_an_evenly_lit_card_leaves_a_shot_as_it_is() -> None:
    even = flat_of(np.full((*SHAPE, 3), 200, np.uint8), TABLE, 1, "card.png")
    np.testing.assert_allclose(light(even.shade((*SHAPE, 3), 1, Transform(), "shot")), 1.0, rtol=1e-12)


def _printed(card: np.ndarray) -> np.ndarray:
    return cv2.putText(card.copy(), "GREY 18", (100, 400), cv2.FONT_HERSHEY_SIMPLEX, 6.0, (90, 90, 90), 30)


def _in_part(card: np.ndarray) -> np.ndarray:
    small = card.copy()
    small[:, 700:] = small[:, 700:] // 3
    return small


BAD = {
    "burnt out": lambda card: np.where(card > np.percentile(card, 90), 255, card).astype(np.uint8),
    "dark": lambda card: (card // 8).astype(np.uint8),
    "no even card": lambda card: photograph(render_board(3, SHAPE), None, 1).pixels,
    "in part|no even card": _in_part,
    "print|no even card": _printed,
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_card_is_refused_and_says_why(card: np.ndarray, what: str) -> None:
    with pytest.raises(Refusal, match=what.rsplit("|", maxsplit=1)[-1]) as caught:
        flat_of(BAD[what](card), TABLE, 1, "card.png")
    assert caught.value.reason == "flat_field"
    assert "card.png" in caught.value.message
    assert caught.value.remedy


def test_dust_and_a_scratch_are_no_structure(card: np.ndarray, flat: Flat) -> None:
    dusty = card.copy()
    for x, y in ((100, 90), (400, 333), (700, 500)):
        cv2.circle(dusty, (x, y), 4, (20, 20, 20), -1)
    found = flat_of(dusty, TABLE, 1, "card.png")
    assert np.abs(found.cells / flat.cells - 1).max() < 0.02


@pytest.mark.parametrize("shape", [(600, 901, 3), (900, 600, 3), (600, 900, 1)])
def test_a_card_of_another_camera_is_refused(flat: Flat, shape: tuple[int, ...]) -> None:
    with pytest.raises(Refusal, match="before shot") as caught:
        flat.shade(shape, 1, Transform(), "before shot")
    assert caught.value.reason == "flat_field"
