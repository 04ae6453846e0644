"""The clean colour out of many shots, and which of them looks cleanest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from residue_batch.geometry import Box
from residue_batch.matching.quantile import HALO, UNSEEN, cleanest, cleanness, low_quantile, spread

WHITE = np.array([0.8, 0.8, 0.75], np.float32)


def boards(shots: int = 12, seed: int = 0, shape: tuple[int, int] = (48, 40)) -> tuple[np.ndarray, np.ndarray]:
    """(clean, stack): a textured board, and shots of it with spots of residue and noise."""
    chance = np.random.default_rng(seed)
    clean = chance.uniform(0.05, 0.4, (*shape, 3))
    clean = np.repeat(np.repeat(clean[::4, ::4], 4, 0), 4, 1)[: shape[0], : shape[1]]
    stack = []
    for _ in range(shots):
        opacity = np.zeros(shape)
        for _ in range(3):
            row, column = chance.integers(0, shape[0] - 12), chance.integers(0, shape[1] - 12)
            opacity[row : row + 12, column : column + 12] = chance.uniform(0.2, 0.9)
        light = (1 - opacity[..., None]) * clean + opacity[..., None] * WHITE + chance.normal(0, 0.004, clean.shape)
        stack.append(np.clip(light, 0, 0.999) * 65535)
    return clean * 65535, np.array(stack).astype(np.uint16)


def test_the_clean_colour_is_found_under_residue_that_wanders() -> None:
    clean, stack = boards()
    low = low_quantile(stack, least=3)
    found = cleanest(stack, low, WHITE, least=3)
    assert np.abs(found - clean).mean() < 0.003 * 65535
    # the lowest values alone are the darkest noise
    assert abs((found - clean).mean()) < 0.3 * abs((low.astype(float) - clean).mean())


@given(order=st.permutations(range(9)))
def test_the_order_of_the_shots_does_not_matter(order: list[int]) -> None:
    _, stack = boards(9)
    low = low_quantile(stack, least=3)
    assert np.array_equal(low_quantile(stack[order], least=3), low)
    assert np.array_equal(cleanest(stack[order], low, WHITE, least=3), cleanest(stack, low, WHITE, least=3))


@pytest.mark.parametrize("box", [Box(0, 0, 13, 40), Box(13, 5, 48, 29), Box(20, 30, 21, 31)])
def test_a_tile_is_the_crop_of_the_whole(box: Box) -> None:
    _, stack = boards()
    stack[2, 10:30] = UNSEEN
    whole = Box(0, 0, 48, 40)
    low = low_quantile(stack, least=3)
    outer = box.grow(HALO, whole)
    part = stack[(slice(None), *outer.within(whole))]
    tile = cleanest(part, low_quantile(part, least=3), WHITE, least=3)
    assert np.array_equal(outer and box.crop(tile, outer), box.crop(cleanest(stack, low, WHITE, least=3), whole))


def test_pixels_that_too_few_shots_show_stay_unknown() -> None:
    _, stack = boards(6)
    stack[:4, :10] = UNSEEN
    low = low_quantile(stack, least=3)
    found = cleanest(stack, low, WHITE, least=3)
    for image in (low, found):
        assert (image[:10] == UNSEEN).all()
        assert (image[10:] != UNSEEN).any(2).all()


def test_shots_that_agree_have_no_spread_and_others_have() -> None:
    clean, stack = boards()
    everywhere = np.ones(clean.shape[:2], np.bool_)
    film = np.linspace(0, 0.9, len(stack))[:, None, None, None]
    soiled = ((1 - film) * clean + film * WHITE * 65535).astype(np.uint16)

    def of(shots: np.ndarray) -> float:
        low = low_quantile(shots, least=3)
        tally = spread(shots, cleanest(shots, low, WHITE, least=3), WHITE, everywhere)
        return int(tally["spread"]) / 4096 / int(tally["counted"])

    assert of(stack) < 0.01
    assert of(soiled) > 0.08


def test_the_cleanest_shot_has_the_most_contrast_in_any_light() -> None:
    clean, _ = boards()
    grey = np.log(clean.mean(2).ravel() / 65535)
    window = (np.arange(grey.size) // 480).astype(np.intp)
    film = np.array([0.2, 0.05, 0.0, 0.1])
    light = np.log((1 - film[:, None]) * np.exp(grey) + film[:, None] * 0.8) + np.array([[0.5], [-0.7], [-1.0], [0.0]])
    light[3, :200] = np.nan
    found = cleanness(light.astype(np.float32), window)
    assert list(np.argsort(-found)) == [2, 1, 3, 0]


def test_a_shot_that_shows_nothing_of_a_window_is_neither_clean_nor_soiled_there() -> None:
    light = np.log(np.random.default_rng(1).uniform(0.1, 1, (5, 400))).astype(np.float32)
    light[:] = light[0]
    light[1, :200] = np.nan
    found = cleanness(light, np.repeat([0, 1], 200))
    assert found == pytest.approx(np.full(5, found[0]))
