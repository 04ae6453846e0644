"""A small printed board of known truth, photographed from anywhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from residue_batch.geometry import Box, Transform

SHAPE = (700, 900)


def encode(linear):
    linear = np.clip(linear, 0, 1)
    code = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    return np.rint(code * 255).astype(np.uint8)


@dataclass
class Bench:
    """A board in linear light, its outline, its white patch, and a camera."""

    colour: np.ndarray
    outline: np.ndarray
    patch: np.ndarray
    white: np.ndarray

    def photograph(self, opacity=None, matrix=None, gain=(1.0, 1.0, 1.0), vignette=0.0, soft=0.0, seed=0):
        """(shot, transform frame -> shot)."""
        light = self.colour if opacity is None else self.colour + opacity[:, :, None] * (self.white - self.colour)
        matrix = np.eye(3) if matrix is None else matrix
        light = cv2.warpPerspective(
            light.astype(np.float32), matrix, SHAPE[::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        radius = ((x - SHAPE[1] / 2) ** 2 + (y - SHAPE[0] / 2) ** 2) / (SHAPE[1] / 2) ** 2
        light = light * np.array(gain) * np.exp(-vignette * radius)[:, :, None]
        if soft:
            light = cv2.GaussianBlur(light, (0, 0), soft)
        noise = np.random.default_rng(seed).normal(0, 0.004, light.shape)
        return encode(light + noise * np.sqrt(np.clip(light, 0.01, 1))), Transform.of(matrix)


@pytest.fixture(scope="session")
def bench():
    rng = np.random.default_rng(5)
    height, width = SHAPE
    colour = np.empty((height, width, 3))
    colour[:] = 0.55, 0.5, 0.45
    colour[40:660, 50:850] = 0.03, 0.16, 0.05
    for _ in range(260):
        top, left = rng.integers(45, 620), rng.integers(55, 800)
        size = rng.integers(4, 36, 2)
        shade = rng.choice([0.012, 0.02, 0.07, 0.3, 0.42])
        colour[top : top + size[0], left : left + size[1]] = shade * np.array(
            [1.0, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.0)]
        )
    for _ in range(120):
        at = rng.integers([60, 50], [840, 650], (2, 2))
        cv2.line(colour, tuple(map(int, at[0])), tuple(map(int, at[1])), (0.04, 0.24, 0.07), int(rng.integers(1, 4)))
    outline = np.zeros(SHAPE, bool)
    outline[40:660, 50:850] = True
    patch = np.zeros(SHAPE, bool)
    patch[570:630, 100:260] = True
    colour[patch] = 0.62, 0.62, 0.60
    colour = cv2.GaussianBlur(colour, (0, 0), 0.8)
    return Bench(colour, outline, patch, np.array([0.62, 0.62, 0.60]))


@pytest.fixture(scope="session")
def haze():
    """Opacity of residue over most of the board: cloudy haze and some thick crystals, zero in places."""
    rng = np.random.default_rng(8)
    cloud = cv2.resize(rng.random((7, 9)), SHAPE[::-1], interpolation=cv2.INTER_CUBIC)
    opacity = np.clip(0.35 * (cloud - 0.45), 0, 1)
    for _ in range(40):
        y, x = rng.integers(60, 640), rng.integers(70, 830)
        cv2.circle(opacity, (int(x), int(y)), int(rng.integers(4, 22)), float(rng.uniform(0.3, 0.7)), -1)
    return np.clip(cv2.GaussianBlur(opacity, (0, 0), 2.0), 0, 0.9)


@pytest.fixture
def whole():
    return Box.whole(SHAPE)
