"""An even film is no field, a lamp is one, and both shots of a board are seen alike."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from residue_batch.geometry import Box, Transform
from residue_batch.matching.light import Light, same_light
from residue_batch.matching.lights import agreed, lights_of
from residue_batch.matching.resample import blur, linear_table, resample
from residue_batch.matching.samples import anchors_of, patch_of, sample_light
from residue_batch.steps.unmix import unmix

TABLE = linear_table(np.uint8, "srgb")
FLAT = (0.0,) * 5


@pytest.fixture(scope="module")
def board(bench):
    """Outline without what lies around the patch, which is kept clean."""
    return bench.outline & ~cv2.dilate(bench.patch.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)


@pytest.fixture(scope="module")
def golden(bench):
    return bench.photograph(seed=1)[0]


def soiled(bench, haze, film: float, share: float, vignette: float = 0.0, seed: int = 2):
    """(shot, opacity) of an even film and some residue on it."""
    opacity = np.where(bench.patch, 0.0, film + (1 - film) * share * haze)
    return bench.photograph(opacity, gain=(1.1, 1.05, 1.0), vignette=vignette, seed=seed)[0], opacity


def lights(bench, board, golden, shot, *, pair: bool = False) -> tuple[Light, Light | None]:
    anchors, patch = anchors_of(golden, TABLE, board), patch_of(golden, TABLE, bench.patch)
    samples = sample_light(shot, TABLE, Transform(), anchors, board.shape, patch)
    return lights_of(samples, bench.white.astype(np.float32), white_assumed=False, pair=pair)


def load(bench, board, golden, shot, light: Light) -> float:
    box = Box.whole(board.shape)
    base = blur(np.ascontiguousarray(np.moveaxis(TABLE[golden], -1, 0)), 1.5).astype(np.float32) / np.float32(65535)
    seen = light.matched(resample(shot, Transform(), box, TABLE), box, 1.5)
    return float(unmix(seen, base, bench.white.astype(np.float32))[board].mean())


@pytest.mark.parametrize(
    ("films", "share", "within"), [((0.02, 0.02), 0.0, 6e-4), ((0.025, 0.02), 0.05, 6e-4), ((0.018, 0.0), 0.0, 1e-3)]
)
def test_an_even_film_is_not_taken_for_a_field(bench, board, golden, haze, films, share, within) -> None:
    shots = [soiled(bench, haze, film, share, seed=seed) for seed, film in enumerate(films, 2)]
    found = [lights(bench, board, golden, shot) for shot, _ in shots]
    for light, (shot, opacity) in zip(agreed(*zip(*found, strict=True)), shots, strict=True):
        assert light is not None
        assert light.field == FLAT
        assert load(bench, board, golden, shot, light) == pytest.approx(float(opacity[board].mean()), abs=within)


def test_a_film_that_passes_for_clean_is_told_by_the_patch(bench, board, golden, haze) -> None:
    """With a field, board and patch can both be had: 1.5 % of film became 0.4 %."""
    shot, opacity = soiled(bench, haze, 0.015, 0.0)
    _, even = lights(bench, board, golden, shot)
    assert even is not None
    assert load(bench, board, golden, shot, even) > 0.8 * float(opacity[board].mean())


@pytest.mark.parametrize("vignettes", [(0.03, 0.03), (0.0, 0.05), (0.25, 0.0)])
def test_a_lamp_is_taken_out(bench, board, golden, haze, vignettes) -> None:
    """Also of the one shot that has it; the other then keeps its own small field."""
    shots = [soiled(bench, haze, 0.03, 0.3, lamp, seed=seed) for seed, lamp in enumerate(vignettes, 2)]
    found = [lights(bench, board, golden, shot) for shot, _ in shots]
    for light, (shot, opacity), lamp in zip(agreed(*zip(*found, strict=True)), shots, vignettes, strict=True):
        assert light is not None
        assert light.field[2] == pytest.approx(-lamp, abs=0.006)
        assert load(bench, board, golden, shot, light) == pytest.approx(float(opacity[board].mean()), abs=6e-4)


def test_a_large_field_is_not_fitted_again(bench, board, golden, haze) -> None:
    shot, _ = soiled(bench, haze, 0.03, 0.3, vignette=0.25)
    light, even = lights(bench, board, golden, shot)
    assert even is None
    assert light.covariance


def test_without_a_reference_there_is_nothing_to_choose(bench, board, golden, haze) -> None:
    shot, _ = soiled(bench, haze, 0.02, 0.0)
    light, even = lights(bench, board, golden, shot, pair=True)
    assert even is None
    assert light.field != FLAT


def light_of(misfit: float, field: tuple[float, ...]) -> Light:
    return replace(same_light((9, 9), 3), field=field, misfit=misfit)


@pytest.mark.parametrize(
    ("misfits", "even"),
    [
        ((0.1, 0.1, 0.1, 0.1), True),
        ((0.1, 0.1, 0.102, 0.0985), True),  # one shot alone would ask for a field
        ((0.1, 0.1, 0.103, 0.1), False),
        ((0.1, 0.5, 0.11, 0.5), False),
        ((0.0, 0.0, 0.0, 0.0), True),
    ],
)
def test_the_shots_of_a_board_decide_together_whichever_comes_first(misfits, *, even: bool) -> None:
    field = (0.01, 0.0, 0.02, 0.0, 0.0)
    free, flat = [light_of(m, field) for m in misfits[:2]], [light_of(m, FLAT) for m in misfits[2:]]
    assert list(agreed(free, flat)) == (flat if even else free)
    assert list(agreed(free[::-1], flat[::-1])) == (flat[::-1] if even else free[::-1])
    assert list(agreed(free, [flat[0], None])) == free
    assert list(agreed([None, None], [None, None])) == [None, None]
