from __future__ import annotations

import math
import pickle

import cv2
import numpy as np
import pytest

from residue_batch.errors import Refusal
from residue_batch.matching import registration
from residue_batch.matching.registration import register, target_of


def placed(degrees=0.0, scale=1.0, dx=0.0, dy=0.0, tilt=0.0, centre=(450.0, 350.0)):
    angle = math.radians(degrees)  # counter-clockwise as seen, y down
    turn = scale * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = np.eye(3)
    matrix[:2, :2] = turn
    matrix[:2, 2] = np.array(centre) - turn @ np.array(centre) + (dx, dy)
    matrix[2, :2] = tilt, -tilt / 2
    return matrix


def off(found, truth, outline):
    y, x = np.nonzero(outline[::10, ::10])
    points = np.stack([x, y], 1) * 10.0
    return np.linalg.norm(found.apply(points) - truth.apply(points), axis=1).max()


@pytest.mark.parametrize(
    ("matrix", "gain"),
    [
        (placed(), (1.0, 1.0, 1.0)),
        (placed(3.0, 0.98, 21.4, -16.7, 1e-5), (0.7, 0.75, 0.72)),
        (placed(-5.0, 1.03, -30.3, 8.2, -8e-6), (1.3, 1.3, 1.25)),
    ],
)
def test_a_dirty_board_is_found_to_a_tenth_of_a_pixel(bench, haze, matrix, gain):
    golden, _ = bench.photograph(seed=1)
    shot, truth = bench.photograph(haze, matrix, gain, vignette=0.2, seed=2)
    found = register(shot, target_of(golden, bench.outline), seed=7)
    assert off(found.transform, truth, bench.outline) < 0.15
    assert found.residual_px < 0.1
    assert found.correlation > 0.8
    assert found.inliers >= 40


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_a_turned_board_is_recognised_as_turned(bench, haze, turned):
    golden, _ = bench.photograph(seed=1)
    shot, _ = bench.photograph(haze, seed=2)
    found = register(np.ascontiguousarray(np.rot90(shot, turned // 90)), target_of(golden, bench.outline))
    assert math.cos(math.radians(found.rotation_deg - turned)) > 0.9999
    assert found.scale == pytest.approx(1.0, abs=0.002)


def test_rotation_and_scale_are_reported_counter_clockwise(bench):
    golden, _ = bench.photograph(seed=1)
    shot, _ = bench.photograph(None, placed(4.0, 0.95), seed=2)
    found = register(shot, target_of(golden, bench.outline))
    assert found.rotation_deg == pytest.approx(4.0, abs=0.02)
    assert found.scale == pytest.approx(0.95, abs=0.001)


def test_faint_corners_are_looked_for_only_where_others_are_too_few(bench, haze, monkeypatch):
    shot = registration.grey(bench.photograph(haze, seed=2)[0])

    def features(*corners: int) -> tuple[np.ndarray, np.ndarray]:
        monkeypatch.setattr(registration, "_CORNERS", corners)
        return registration._features(shot, 1, None)

    few = len(features(40)[0])
    assert len(features(40, 12)[0]) == len(features(12)[0]) > few
    monkeypatch.setattr(registration, "_FEATURES", few // 8)
    best, every = features(40, 12), features(12)
    assert len(best[0]) == few // 8
    assert all(np.array_equal(a, b) for a, b in zip(best, every, strict=True))


def test_the_same_bits_on_every_call_and_through_pickle(bench, haze):
    golden, _ = bench.photograph(seed=1)
    shot, _ = bench.photograph(haze, placed(2.0, 1.0, 5.5, 3.2), seed=2)
    first = register(shot, target_of(golden, bench.outline), seed=3)
    cv2.setRNGSeed(99)
    assert register(shot, target_of(golden, bench.outline), seed=3) == first
    assert pickle.loads(pickle.dumps(first)) == first


@pytest.mark.parametrize("kind", ["grey", "u16"])
def test_grey_and_sixteen_bit_shots_register(bench, haze, kind):
    golden, _ = bench.photograph(seed=1)
    shot, truth = bench.photograph(haze, placed(2.0, 1.0, 5.5, 3.2), seed=2)
    if kind == "grey":
        golden, shot = cv2.cvtColor(golden, cv2.COLOR_RGB2GRAY), cv2.cvtColor(shot, cv2.COLOR_RGB2GRAY)
    else:
        golden, shot = golden.astype(np.uint16) * 257, shot.astype(np.uint16) * 257
    assert off(register(shot, target_of(golden, bench.outline)).transform, truth, bench.outline) < 0.15


@pytest.mark.parametrize("shot", ["black", "noise", "mirrored"])
def test_what_is_not_this_board_is_refused(bench, shot):
    golden, _ = bench.photograph(seed=1)
    other = {
        "black": np.zeros_like(golden),
        "noise": np.random.default_rng(0).integers(0, 256, golden.shape, dtype=np.uint8),
        "mirrored": np.ascontiguousarray(golden[:, ::-1]),
    }[shot]
    with pytest.raises(Refusal, match="registration") as caught:
        register(other, target_of(golden, bench.outline))
    assert caught.value.remedy


def test_an_empty_outline_is_refused(bench):
    golden, _ = bench.photograph(seed=1)
    with pytest.raises(Refusal, match="registration"):
        register(golden, target_of(golden, np.zeros_like(bench.outline)))
