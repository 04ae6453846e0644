"""What the light fit cannot tell: larger where it knows less, and honest about what it is confounded with."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from residue_batch.budget import light_errors
from residue_batch.geometry import Transform
from residue_batch.matching.light import Light
from residue_batch.matching.light_error import opacity_errors, with_error
from residue_batch.matching.light_fit import fit_light
from residue_batch.matching.resample import linear_table
from residue_batch.matching.samples import Samples, anchors_of, patch_of, sample_light

TABLE = linear_table(np.uint8, "srgb")
LEVERAGE = np.array([0.05, 0.08, 0.05, 0, 0, 0.06, 0, 0.06])


def seen(bench, shot, reference, mask=None) -> Samples:
    where = bench.outline if mask is None else mask
    return sample_light(shot, TABLE, Transform(), anchors_of(reference, TABLE, where), where.shape)


def lit(bench, opacity=None) -> Light:
    reference, _ = bench.photograph(seed=1)
    shot, _ = bench.photograph(opacity, gain=(1.2, 1.15, 1.1), vignette=0.1, seed=2)
    samples, white = seen(bench, shot, reference), bench.white.astype(np.float32)
    return with_error(samples, white, fit_light(samples, white))


@pytest.fixture(scope="module")
def clean(bench) -> Light:
    return lit(bench)


def test_a_light_knows_its_covariance(clean: Light) -> None:
    size = len(clean.gain) + 6
    covariance = np.array(clean.covariance).reshape(size, size)
    assert np.allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9
    assert len(clean.belief) == size


def test_residue_everywhere_leaves_more_open_than_a_clean_board(bench, haze, clean: Light) -> None:
    soiled = lit(bench, np.clip(haze + 0.05, 0, 0.9))
    assert opacity_errors(soiled, LEVERAGE)[0] > 2 * opacity_errors(clean, LEVERAGE)[0]


def test_the_same_samples_give_the_same_error(bench, haze) -> None:
    assert lit(bench, haze) == lit(bench, haze)


def test_an_error_of_the_fit_is_covered_on_a_clean_board(bench, clean: Light) -> None:
    """Twice the spread and the zero's floor hold the gain that was photographed."""
    off = np.log(clean.gain) - np.log((1.2, 1.15, 1.1))
    spread, belief = light_errors(clean, LEVERAGE)
    assert abs(float((off * LEVERAGE[:3]).sum())) < 2.5 * float(np.hypot(spread, belief)) + 2e-3


def test_without_a_fit_nothing_is_open() -> None:
    light = Light((1.0,), (0.0,) * 5, 0.0, 0.0, 1.0, 0.0, 0, 1.0, film_confounded=False, shape=(9, 9))
    assert opacity_errors(light, np.zeros(6)) == (0.0, 0.0)


def test_contrast_tells_film_from_exposure_and_an_even_board_cannot(bench, clean: Light) -> None:
    assert not clean.film_confounded
    flat = np.full_like(bench.colour, 0.0) + np.array([0.10, 0.2, 0.12])
    flat += np.random.default_rng(3).normal(0, 0.002, flat.shape)
    even = replace(bench, colour=flat)
    assert lit(even).film_confounded


FILM = 0.04


@pytest.mark.parametrize(
    ("patch", "gain", "film", "confounded"),
    [
        ("declared", 1.2, FILM, False),
        ("declared", 1.75, FILM, True),  # clipped: it cannot hold the light
        ("covered in part", 1.2, FILM, True),
        ("none", 1.2, FILM, True),
        ("declared", 1.75, 0.0, False),  # contrast finds no film either
        ("none", 1.2, 0.0, False),
    ],
)
def test_film_over_the_whole_board_is_found_or_said_to_be_confounded(
    bench, patch: str, gain: float, film: float, *, confounded: bool
) -> None:
    reference, _ = bench.photograph(seed=1)
    opacity = np.where(bench.patch, 0.0, film)
    shot, _ = bench.photograph(opacity, gain=(gain, 0.97 * gain, 0.95 * gain), seed=2)
    if patch == "covered in part":
        for left, share in ((150, 0.8), (205, 0.62)):
            shot[570:630, left : left + 55] = share * shot[570:630, left : left + 55]
    board = bench.outline & ~cv2.dilate(bench.patch.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
    declared = None if patch == "none" else patch_of(reference, TABLE, bench.patch)
    samples = sample_light(shot, TABLE, Transform(), anchors_of(reference, TABLE, board), board.shape, declared)
    assert (samples.fixed is not None) == (patch == "declared" and gain < 1.5)
    white = bench.white.astype(np.float32)
    light = with_error(samples, white, fit_light(samples, white))
    assert light.film_confounded == confounded
    if not confounded:
        assert light.film == pytest.approx(film, abs=0.002)


def test_too_few_windows_tell_nothing(bench, clean: Light) -> None:
    mask = np.zeros_like(bench.outline)
    mask[200:300, 200:300] = True
    reference, _ = bench.photograph(seed=1)
    samples = seen(bench, reference, reference, mask)
    found = with_error(samples, bench.white.astype(np.float32), clean)
    assert found.film_confounded
