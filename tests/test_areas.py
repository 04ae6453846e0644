"""Areas become masks: a pixel is inside when its centre is."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from residue_batch.areas import (
    areas_of,
    box_mask,
    bright_metal,
    grow_mask,
    outline_mask,
    part_mask,
    polygon_mask,
)
from residue_batch.config import BoardType
from residue_batch.config.board_type import Search
from residue_batch.errors import Refusal

eighths = st.integers(-40, 200).map(lambda n: n / 8)


def inside(points: list[tuple[float, float]], x: int, y: int) -> bool:
    """Even-odd by exact arithmetic: how many edges lie at or left of the pixel."""
    odd = False
    for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
        if (ay <= y) != (by <= y):
            x0, y0, x1, y1 = (Fraction(v) for v in (ax, ay, bx, by))
            odd ^= x0 + (y - y0) * (x1 - x0) / (y1 - y0) <= x
    return odd


@given(st.lists(st.tuples(eighths, eighths), min_size=3, max_size=7))
@settings(max_examples=150)
def test_a_polygon_is_the_same_as_asking_each_pixel(points: list[tuple[float, float]]) -> None:
    shape = (18, 20)
    expected = np.array([[inside(points, x, y) for x in range(shape[1])] for y in range(shape[0])])
    np.testing.assert_array_equal(polygon_mask(points, shape), expected)


@given(st.lists(st.tuples(st.floats(-5, 25), st.floats(-5, 25)), min_size=3, max_size=6), st.randoms())
def test_start_and_direction_of_a_polygon_do_not_matter(points: list[tuple[float, float]], random: Any) -> None:
    mask = polygon_mask(points, (20, 20))
    k = random.randrange(len(points))
    np.testing.assert_array_equal(polygon_mask(points[k:] + points[:k], (20, 20)), mask)
    np.testing.assert_array_equal(polygon_mask(points[::-1], (20, 20)), mask)


@given(st.floats(-3, 23), st.floats(-3, 23), st.floats(0.1, 20), st.floats(0.1, 20))
def test_a_box_is_the_polygon_of_its_corners(x: float, y: float, width: float, height: float) -> None:
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    np.testing.assert_array_equal(box_mask((x, y, width, height), (20, 20)), polygon_mask(corners, (20, 20)))


def test_areas_that_share_an_edge_share_no_pixel() -> None:
    centre = (8.3, 9.1)
    ring = [(20 * np.cos(a) + 8, 20 * np.sin(a) + 9) for a in np.linspace(0, 2 * np.pi, 9)]
    slices = [polygon_mask([centre, ring[i], ring[i + 1]], (20, 20)).astype(int) for i in range(8)]
    assert (np.sum(slices, axis=0) == 1).all()


def test_a_polygon_of_twelve_megapixels_takes_less_than_a_third_of_a_second() -> None:
    begin = time.perf_counter()
    mask = polygon_mask([[10, 20], [3900, 50], [3990, 2900], [100, 2980]], (3000, 4000))
    assert time.perf_counter() - begin < 0.3
    assert 0.9 < mask.mean() < 1


@given(st.integers(0, 2**32 - 1), st.floats(0, 12), st.integers(0, 6))
@settings(max_examples=60)
def test_growing_is_by_exact_distance(seed: int, radius: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((23, 31), np.bool_)
    mask[rng.integers(0, 23, count), rng.integers(0, 31, count)] = True
    rows, columns = np.nonzero(mask)
    y, x = np.mgrid[:23, :31]
    expected = np.zeros_like(mask)
    for r, c in zip(rows, columns, strict=True):
        expected |= (y - r) ** 2 + (x - c) ** 2 <= radius * radius + 1e-9
    np.testing.assert_array_equal(grow_mask(mask, radius), expected)


def test_growing_far_stays_exact() -> None:
    mask = np.zeros((9, 2000), np.bool_)
    mask[4, 0] = True
    assert grow_mask(mask, 1500)[4].sum() == 1501
    assert grow_mask(mask, 1500)[0].sum() == int(np.floor(np.sqrt(1500**2 - 16))) + 1


def test_a_part_is_cut_from_each_piece_by_itself() -> None:
    mask = np.zeros((40, 40), np.bool_)
    mask[0:20, 2:12] = True
    mask[10:40, 20:30] = True
    bottom = part_mask(mask, "bottom", lambda extent: extent * 0.1)
    assert [tuple(v) for v in np.argwhere(bottom)[[0, -1]]] == [(18, 2), (39, 29)]
    assert bottom[18:20, 2:12].all()
    assert bottom[37:40, 20:30].all()
    assert bottom.sum() == 20 + 30
    for side, total in (("top", 50), ("left", 50), ("right", 50)):
        assert part_mask(mask, side, lambda extent: extent * 0.1).sum() == total
    assert (part_mask(mask, "top", lambda _: 99) == mask).all()
    assert not part_mask(mask, "top", lambda _: 0).any()


def elements(count: int = 6, kind: type = np.uint8) -> np.ndarray[Any, Any]:
    """A green board with bright grey elements, a dark mark on each, a yellow and a tiny bright spot."""
    image = np.full((120, 300, 3), (20, 90, 40), np.float64)
    for i in range(count):
        image[40:70, 10 + 45 * i : 40 + 45 * i] = (205, 210, 200)
        image[50:54, 20 + 45 * i : 24 + 45 * i] = 30
    image[90:110, 20:60] = (230, 210, 60)
    image[100:103, 100:103] = 240
    image += np.random.default_rng(1).normal(0, 3, image.shape)
    full = 255 if kind is np.uint8 else 65535
    return (np.clip(image / 255, 0, 1) * full).astype(kind)


def board(**more: Any) -> BoardType:
    found = {"found": {"what": "bright_metal", "expect": 6, "area": ["500 px2", "2000 px2"]}}
    data: dict[str, Any] = {"board_type": "b", "reference": "pair", "frame": "f.png", "regions": {"metal": found}}
    return BoardType.model_validate({**data, **more})


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bright_metal_elements_are_found_and_their_marks_filled(kind: type) -> None:
    mask = areas_of(board(), elements(kind=kind), (120, 300)).regions["metal"]
    expected = np.zeros((120, 300), np.bool_)
    for i in range(6):
        expected[40:70, 10 + 45 * i : 40 + 45 * i] = True
    assert (mask ^ expected).mean() < 0.001


def test_another_number_of_elements_is_a_refusal_that_says_what_was_found() -> None:
    with pytest.raises(Refusal, match="found 5 of 6 elements of 500 px2 to 2000 px2; others: 9 px2 at") as caught:
        areas_of(board(), elements(5), (120, 300)).regions
    assert caught.value.reason == "elements"
    with pytest.raises(Refusal, match="no frame image"):
        areas_of(board(), None, (120, 300)).regions


def test_grey_and_black_images_have_no_colour_to_look_at() -> None:
    search = Search(what="bright_metal", expect=6, area=("500 px2", "2000 px2"))
    everywhere = np.ones((120, 300), np.bool_)
    _, fitting, _ = bright_metal(elements()[:, :, 1], search, within=everywhere)
    assert len(fitting) >= 6
    _, fitting, others = bright_metal(np.zeros((120, 300), np.uint8), search, within=everywhere)
    assert (fitting, others) == ([], [])


def test_regions_are_made_from_one_another_and_stay_inside_the_outline() -> None:
    board_type = board(
        pixel_size_um=500,
        outline={"box": [0, 0, 300, 72]},
        regions={
            "bars": {"part": {"of": "metal", "bottom": "20 %"}},
            "around": {"near": "metal", "grow": "2 mm", "ring": True},
            "metal": board().model_dump(mode="json")["regions"]["metal"],
            "joints": {"near": "metal", "grow": "4 px"},
        },
        ignore=[{"near": "bars", "grow": "1 px"}, {"box": [0, 0, 5, 5]}],
        white={"box": [100, 100, 3, 3]},
    )
    image = elements()
    masks = areas_of(board_type, image, (120, 300)).regions
    assert list(masks) == ["whole", "bars", "around", "metal", "joints"]
    assert masks["whole"].sum() == 300 * 72
    assert all(not (m & ~masks["whole"]).any() for m in masks.values())
    np.testing.assert_array_equal(masks["joints"], masks["around"] | masks["metal"])
    assert not (masks["around"] & masks["metal"]).any()
    assert masks["bars"].sum() == pytest.approx(6 * 30 * 6, rel=0.05)
    ignored = areas_of(board_type, image, (120, 300)).ignored
    assert ignored[:5, :5].all()
    assert ignored[masks["bars"]].all()
    white = areas_of(board_type, image, (120, 300)).white
    assert white is not None
    assert white.sum() == 9
    assert areas_of(board(), image, (120, 300)).white is None
    np.testing.assert_array_equal(outline_mask(board_type, (120, 300)), masks["whole"])


@pytest.mark.parametrize("shape", [(7, 9), (300, 400), (1, 1)])
def test_fractions_from_zero_to_one_cover_every_pixel(shape: tuple[int, int]) -> None:
    whole = board(units="fraction", outline={"box": [0, 0, 1, 1]}, frame=None, regions={})
    assert outline_mask(whole, shape).all()
    halves = [
        outline_mask(board(units="fraction", outline={"box": [x, 0, 0.5, 1]}, frame=None, regions={}), shape)
        for x in (0, 0.5)
    ]
    assert (halves[0] ^ halves[1]).all()


def test_millimetres_are_scaled_pixels() -> None:
    metres = board(units="mm", pixel_size_um=100, outline={"box": [1, 2, 3, 4]}, regions={})
    pixels = board(outline={"box": [10, 20, 30, 40]}, regions={})
    np.testing.assert_array_equal(outline_mask(metres, (80, 80)), outline_mask(pixels, (80, 80)))
