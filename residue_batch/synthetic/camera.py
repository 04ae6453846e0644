"""A photograph of a board: where the camera stood, its light, its lens, its sensor, its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.synthetic.board import Board
from residue_batch.synthetic.canvas import Plane, blurred

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Difficulty:
    """How much a shot may differ from the frame: bounds of uniform draws.

    ``shift``, ``tilt`` are shares of the frame's short side, ``turn`` degrees
    (less on a long board, which would leave the picture),
    ``scale`` a share, ``exposure`` stops (low, high), ``noise`` the read noise
    at full scale 1, ``blur`` px (low, high), ``glare`` the brightness of the
    highlights, ``lamps`` how far the lamps wander between shots, degrees: they
    stand still in a booth, and anywhere for a shot from the hand.
    """

    shift: float
    turn: float
    scale: float
    tilt: float
    exposure: tuple[float, float]
    balance: float
    vignette: float
    gradient: float
    noise: float
    blur: tuple[float, float]
    glare: float
    lamps: float
    quality: int


DIFFICULTIES = {
    "fixed": Difficulty(0.0, 0.0, 0.0, 0.0, (0.0, 0.0), 0.0, 0.0, 0.0, 0.0012, (0.45, 0.45), 1.0, 0.0, 96),
    "easy": Difficulty(0.0012, 0.06, 0.001, 0.0, (-0.06, 0.06), 0.01, 0.04, 0.03, 0.0018, (0.45, 0.55), 1.0, 0.3, 95),
    "medium": Difficulty(0.009, 0.9, 0.015, 0.003, (-0.30, 0.12), 0.05, 0.16, 0.10, 0.0030, (0.5, 0.8), 1.0, 1.5, 92),
    "hard": Difficulty(0.020, 2.6, 0.035, 0.010, (-0.60, 0.10), 0.10, 0.32, 0.22, 0.0060, (0.6, 1.1), 1.8, 180.0, 86),
}


class Shot(NamedTuple):
    """A photograph, RGB (H, W, 3), and the 3x3 matrix from frame [x, y, 1] to shot points."""

    pixels: Pixels
    matrix: NDArray[np.float64]


def displacement(rng: np.random.Generator, shape: tuple[int, int], limits: Difficulty) -> NDArray[np.float64]:
    """A homography from the frame to the shot within the limits."""
    height, width = shape
    span = min(shape)
    corners = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], np.float64)
    centre = corners.mean(0)
    angle = np.deg2rad(rng.uniform(-limits.turn, limits.turn)) * min(1.35 * span / max(shape), 1.0)
    scale = 1 + rng.uniform(-limits.scale, limits.scale)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    moved = (corners - centre) @ turn.T * scale + centre + rng.uniform(-limits.shift, limits.shift, 2) * span
    moved += rng.uniform(-limits.tilt, limits.tilt, (4, 2)) * span
    if np.array_equal(moved, corners):
        return np.eye(3)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), moved.astype(np.float32))
    return np.asarray(matrix / matrix[2, 2], np.float64)


def uneven_light(shape: tuple[int, int], strength: float) -> Plane:
    """Light of two lamps of different colour that stand close, float32 (H, W, 3): 1 at most, 1 - ``strength`` at least.

    It belongs to the camera's stand: no smooth curve of second degree fits it, and every shot has it alike.
    """
    height, width = shape
    x = (np.arange(width, dtype=np.float32) / np.float32(width))[None, :]
    y = (np.arange(height, dtype=np.float32) / np.float32(height))[:, None]
    light = np.zeros((*shape, 3), np.float32)
    for (u, v), reach, colour in (((0.3, 0.35), 0.13, (1.0, 0.94, 0.86)), ((0.78, 0.7), 0.2, (0.9, 0.96, 1.0))):
        spot = np.exp(-((x - np.float32(u)) ** 2 + (y - np.float32(v)) ** 2) * np.float32(0.5 / reach**2))
        light += spot[..., None] * np.array(colour, np.float32)
    light -= light.min()
    return np.asarray(1 - np.float32(strength) * (1 - light / light.max()), np.float32)


def photograph_card(shape: tuple[int, int], seed: int, lamps: Plane, bits: int = 8) -> Pixels:
    """A photograph of an even, slightly yellow card that fills the picture, in the light of ``lamps``."""
    rng = np.random.default_rng([seed, 31])
    card = np.broadcast_to(np.array([0.62, 0.60, 0.55], np.float32), (*shape, 3)) * lamps
    return _sensor(card, np.ones(shape, np.float32), np.ones(3, np.float32), 0.003, rng, _curve(bits, "srgb"))


def photograph(
    board: Board,
    opacity: Plane | None,
    seed: int,
    difficulty: str = "medium",
    bits: int = 8,
    lamps: Plane | None = None,
) -> Shot:
    """Photograph a board with residue of this opacity on it.

    Parameters
    ----------
    board
        What is photographed.
    opacity
        float32 (H, W) in the board's frame, 0 .. 1; None for a clean board.
    seed
        Where the camera stood and how the light fell.
    difficulty
        ``fixed`` (the frame itself), ``easy``, ``medium`` or ``hard``.
    bits
        8 (uint8) or 16 (uint16), sRGB coded.
    lamps
        Light over the picture, of ``uneven_light``, beside what the difficulty makes of it.
    """
    if difficulty not in DIFFICULTIES:
        raise UsageError(f"no such difficulty: {difficulty!r}; there are {', '.join(DIFFICULTIES)}")
    if bits not in (8, 16):
        raise UsageError(f"a shot has 8 or 16 bits, not {bits}")
    if opacity is not None and opacity.shape != board.shape:
        raise UsageError(f"the opacity is {opacity.shape}, the board {board.shape}")
    limits = DIFFICULTIES[difficulty]
    rng = np.random.default_rng([seed, 17, board.seed])
    matrix = displacement(rng, board.shape, limits)
    scene = compose(board, opacity, _glints(board, rng, limits))
    scene = _moved(scene, matrix, cv2.INTER_LINEAR)
    if lamps is not None:
        scene = scene * lamps
    return Shot(_expose(scene, rng, limits, limits.blur, _curve(bits, "srgb")), matrix)


def rephotograph(scene: Plane, seed: int, difficulty: str = "medium", bits: int = 8, tone: str = "srgb") -> Shot:
    """Photograph a picture again: moved, in other light, with noise and codes of its own.

    The picture has the blur of its own lens; only what two shots of one lens
    differ by is added.

    Parameters
    ----------
    scene
        float32 (H, W, 3) linear light, 1 = full scale.
    seed, difficulty, bits
        As for ``photograph``.
    tone
        ``srgb``, or ``linear`` for 16-bit files that hold linear light.
    """
    limits = DIFFICULTIES[difficulty]
    rng = np.random.default_rng([seed, 29])
    matrix = displacement(rng, (scene.shape[0], scene.shape[1]), limits)
    soft = (0.0, limits.blur[1] - limits.blur[0])
    return Shot(_expose(_moved(scene, matrix, cv2.INTER_CUBIC), rng, limits, soft, _curve(bits, tone)), matrix)


def _moved(scene: Plane, matrix: NDArray[np.float64], method: int) -> Plane:
    """The scene from where the camera stands."""
    if np.array_equal(matrix, np.eye(3)):
        return scene
    size, border = (scene.shape[1], scene.shape[0]), cv2.BORDER_REFLECT_101
    return np.asarray(cv2.warpPerspective(scene, matrix, size, flags=method, borderMode=border), np.float32)


def _expose(
    scene: Plane, rng: np.random.Generator, limits: Difficulty, soft: tuple[float, float], curve: Pixels
) -> Pixels:
    """What lens and sensor make of a scene; ``soft`` bounds the blur, px. The scene may be overwritten."""
    sigma = float(rng.uniform(*soft))
    if sigma > 0:
        scene = blurred(scene, sigma)
    _bloom(scene)
    exposure = 2.0 ** float(rng.uniform(*limits.exposure))
    balance = 1 + rng.uniform(-limits.balance, limits.balance, 3)
    gains = (exposure * balance / balance[1]).astype(np.float32)
    field = _field(rng, (scene.shape[0], scene.shape[1]), limits)
    return _sensor(scene, field, gains, limits.noise, rng, curve)


def compose(board: Board, opacity: Plane | None, glints: Plane | None = None) -> Plane:
    """The scene in linear light, ``(1 - a)(B + glints) + a W``, float32 (H, W, 3)."""
    scene = board.linear.copy()
    if glints is not None:
        scene += glints[..., None]
    if opacity is not None:
        white = np.array(board.white, np.float32)
        for top in range(0, scene.shape[0], 256):
            rows = slice(top, top + 256)
            scene[rows] += opacity[rows, :, None] * (white - scene[rows])
    return scene


def _glints(board: Board, rng: np.random.Generator, limits: Difficulty) -> Plane:
    """Highlights on metal where it mirrors the lamps of this shot, float32 (H, W)."""
    sheet = np.zeros(board.shape, np.float32)
    rows, columns = np.nonzero(board.metal)
    if rows.size == 0:
        return sheet
    height, width = board.shape
    span = np.float32(max(height, width))
    nx = board.slopes[rows, columns, 0] * np.float32(0.01) + (
        columns.astype(np.float32) / span - np.float32(width / span / 2)
    ) * np.float32(0.30)
    ny = board.slopes[rows, columns, 1] * np.float32(0.01) + (
        rows.astype(np.float32) / span - np.float32(height / span / 2)
    ) * np.float32(0.30)
    total = np.zeros(rows.size, np.float32)
    booth = np.random.default_rng([board.seed, 23])
    for reach, sharp, power in ((0.15, 0.030, 1.0), (0.32, 0.06, 1.3), (0.45, 0.08, 1.0)):
        angle = float(booth.uniform(0, 2 * np.pi) + np.deg2rad(limits.lamps) * rng.uniform(-1, 1))
        ax, ay = np.float32(reach * np.cos(angle)), np.float32(reach * np.sin(angle))
        total += np.float32(power) * np.exp(-((nx - ax) ** 2 + (ny - ay) ** 2) * np.float32(0.5 / sharp**2))
    sheet[rows, columns] = total * np.float32(limits.glare)
    return sheet


def _bloom(scene: Plane) -> None:
    """What is far brighter than the sensor can hold spills into its neighbourhood, in place."""
    over = np.clip(scene[::2, ::2] - 1, 0, 3)
    if not over.any():
        return
    spill = cv2.GaussianBlur(over, (0, 0), 3.0) * np.float32(0.22)
    scene += cv2.resize(spill, (scene.shape[1], scene.shape[0]), interpolation=cv2.INTER_LINEAR)


def _field(rng: np.random.Generator, shape: tuple[int, int], limits: Difficulty) -> Plane:
    """Vignetting and the slope of the light over the shot, (H, W), 1 in the middle."""
    height, width = shape
    strength = float(rng.uniform(0.4, 1)) * limits.vignette
    slope = float(rng.uniform(0.3, 1)) * limits.gradient
    angle = float(rng.uniform(0, 2 * np.pi))
    x = (np.arange(width, dtype=np.float32) / np.float32(width) - np.float32(0.5))[None, :]
    y = (np.arange(height, dtype=np.float32) / np.float32(height) - np.float32(0.5))[:, None]
    dark = 1 - np.float32(2 * strength) * (x * x + y * y)
    tilt = 1 + np.float32(slope) * (np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y)
    return np.asarray(dark * tilt, np.float32)


def _curve(bits: int, tone: str) -> Pixels:
    """The code, sRGB or linear, of each of 65536 linear levels."""
    linear = np.arange(65536, dtype=np.float64) / 65535
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    coded = linear if tone == "linear" else srgb
    full = 2**bits - 1
    if bits == 8:
        return np.asarray(np.round(coded * full), np.uint8)
    return np.asarray(np.round(coded * full), np.uint16)


def _sensor(
    scene: Plane, field: Plane, gains: NDArray[np.float32], read: float, rng: np.random.Generator, curve: Pixels
) -> Pixels:
    """Gain, shot and read noise, saturation, code."""
    out = np.empty(scene.shape, curve.dtype)
    photon = np.float32(read * 0.020)
    for top in range(0, scene.shape[0], 128):
        rows = slice(top, top + 128)
        strip = scene[rows] * field[rows, :, None]
        strip *= gains
        np.maximum(strip, 0, out=strip)
        noise = rng.standard_normal(strip.shape, dtype=np.float32)
        noise *= np.sqrt(strip * photon + np.float32(read * read * 0.15))
        strip += noise
        np.clip(strip, 0, 1, out=strip)
        strip *= np.float32(65535)
        out[rows] = curve[np.rint(strip).astype(np.uint16)]
    return out


def write_shot(path: Path, pixels: Pixels, quality: int = 92) -> None:
    """Write an RGB picture as its suffix says: ``.jpg``, ``.png`` or ``.tif``."""
    suffix = path.suffix.lower()
    options = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, quality], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 1], ".tif": []}
    if suffix not in options:
        raise UsageError(f"no such format: {suffix!r}; there are {', '.join(options)}")
    if suffix == ".jpg" and pixels.dtype != np.uint8:
        raise UsageError("a .jpg holds 8 bits; use .png or .tif for 16")
    ok, data = cv2.imencode(suffix, np.ascontiguousarray(pixels[..., ::-1]), options[suffix])
    if not ok:
        raise UsageError(f"{path}: the picture could not be encoded")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
