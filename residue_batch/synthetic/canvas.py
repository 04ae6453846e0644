"""A sheet of matter seen from above, and the light that falls on it.

Parts of a board are painted as signed distances into layers (albedo, metal,
gloss, relief, height); :func:`shade` turns the layers into linear light with
a reflected studio, soft shadows and corners that light hardly reaches.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Slices = tuple[slice, slice]
Colour = tuple[float, float, float]


class Material(NamedTuple):
    """What a surface is made of; colours are linear RGB, 1 = perfect white."""

    colour: Colour
    metal: float = 0.0
    gloss: float = 0.03
    grain: float = 0.0


TIN = Material((0.80, 0.80, 0.79), 1.0, 0.0, 0.05)
SOLDER = Material((0.86, 0.86, 0.85), 1.0, 0.0, 0.05)
GOLD = Material((0.95, 0.64, 0.24), 1.0, 0.0, 0.06)
ALUMINIUM = Material((0.88, 0.89, 0.91), 1.0, 0.0, 0.10)
EPOXY = Material((0.018, 0.018, 0.020), 0.0, 0.06, 0.36)
INK = Material((0.72, 0.72, 0.69), 0.0, 0.02, 0.06)
HOLE = Material((0.006, 0.005, 0.005), 0.0, 0.004, 0.0)
PLASTIC = Material((0.012, 0.012, 0.013), 0.0, 0.05, 0.10)
CREAM = Material((0.62, 0.55, 0.40), 0.0, 0.035, 0.05)


def blurred(sheet: Plane, sigma: float, sigma_x: float | None = None) -> Plane:
    """Gaussian blur; ``sigma`` px, or ``sigma_x`` along the rows."""
    done = cv2.GaussianBlur(sheet, (0, 0), sigmaX=sigma if sigma_x is None else sigma_x, sigmaY=sigma)
    return np.asarray(done, np.float32)


def resized(sheet: Plane, size: tuple[int, int], method: int = cv2.INTER_LINEAR) -> Plane:
    """Resample to ``size`` = (width, height)."""
    return np.asarray(cv2.resize(sheet, size, interpolation=method), np.float32)


def clouds(rng: np.random.Generator, shape: tuple[int, int], cell: float, octaves: int = 3) -> Plane:
    """Smooth noise of mean 0 and sd about 1, (H, W); ``cell`` px is its largest wavelength."""
    height, width = shape
    total = np.zeros(shape, np.float32)
    weight = 1.0
    for _ in range(octaves):
        step = max(cell, 1.0)
        rows, columns = int(height / step) + 3, int(width / step) + 3
        coarse = rng.standard_normal((rows, columns), dtype=np.float32)
        # the middle of a larger sheet, so that the border looks like the rest
        size = (max(int(columns * step), width), max(int(rows * step), height))
        sheet = resized(coarse, size, cv2.INTER_CUBIC)
        total += np.float32(weight) * sheet[:height, :width]
        weight *= 0.55
        cell /= 2.3
    return np.asarray(total * np.float32(1.1), np.float32)


def speckle(rng: np.random.Generator, shape: tuple[int, int], sigma: float, stretch: float = 1.0) -> Plane:
    """Fine noise of mean 0 and sd 1, (H, W), repeated from one 1024-px sheet.

    Filling the frame with fresh noise costs more than all of the drawing.
    """
    sheet = rng.standard_normal((1024, 1024), dtype=np.float32)
    if sigma > 0:
        pad = int(4 * sigma * max(stretch, 1.0)) + 1
        wrapped = np.pad(sheet, pad, mode="wrap")
        wrapped = blurred(wrapped, sigma, sigma * stretch)
        sheet = wrapped[pad:-pad, pad:-pad]
        sheet = sheet / sheet.std()
    repeat = (shape[0] // 1024 + 1, shape[1] // 1024 + 1)
    return np.asarray(np.tile(sheet, repeat)[: shape[0], : shape[1]], np.float32)


def rounded(x: Plane, y: Plane, half_width: float, half_height: float, radius: float) -> Plane:
    """Signed distance (px, negative inside) to a rectangle with round corners."""
    radius = min(radius, half_width, half_height)
    qx, qy = np.abs(x) - np.float32(half_width - radius), np.abs(y) - np.float32(half_height - radius)
    outside = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0))
    return np.asarray(outside + np.minimum(np.maximum(qx, qy), 0) - np.float32(radius), np.float32)


def cover(distance: Plane, soft: float = 1.0) -> Plane:
    """Share of each pixel that is inside, from a signed distance."""
    return np.asarray(np.clip(0.5 - distance / np.float32(soft), 0, 1), np.float32)


def rise(distance: Plane, width: float, height: float) -> Plane:
    """A rounded shoulder: 0 at the edge, ``height`` from ``width`` px inside."""
    t = np.clip(-distance / np.float32(max(width, 1e-3)), 0, 1)
    return np.asarray(np.float32(height) * t * (2 - t), np.float32)


def lettering(text: str, cap: float, bold: float = 0.12, narrow: float = 1.0, quarter: int = 0) -> Plane:
    """Text as a coverage mask; ``cap`` is the height of a capital in px, ``quarter`` turns by 90 degrees."""
    over = 3 if cap < 14 else 2
    scale = cap * over / 21.0
    thick = max(round(bold * cap * over), 1)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    pad = 2 * thick + 2
    sheet = np.zeros((height + base + 2 * pad, width + 2 * pad), np.uint8)
    cv2.putText(sheet, text, (pad, pad + height), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thick, cv2.LINE_AA)
    rows, columns = np.flatnonzero(sheet.any(1)), np.flatnonzero(sheet.any(0))
    if rows.size == 0:
        return np.zeros((1, 1), np.float32)
    sheet = sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    size = (max(round(sheet.shape[1] * narrow / over), 1), max(round(sheet.shape[0] / over), 1))
    small = cv2.resize(sheet, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    return np.asarray(np.rot90(small, quarter), np.float32)


class Canvas:
    """The layers of a scene of ``shape`` px at ``mm`` px per millimetre."""

    def __init__(self, shape: tuple[int, int], mm: float) -> None:
        self.shape, self.mm = shape, mm
        self.albedo = np.zeros((*shape, 3), np.float32)
        self.metal = np.zeros(shape, np.float32)
        self.gloss = np.zeros(shape, np.float32)
        self.relief = np.zeros(shape, np.float32)
        self.height = np.zeros(shape, np.float32)
        self.grain = np.zeros(shape, np.float32)

    def window(self, x: float, y: float, width: float, height: float) -> tuple[Slices, Plane, Plane]:
        """Slices around a centre (px) and coordinates relative to it, (1, w) and (h, 1)."""
        left, right = int(np.floor(x - width / 2 - 2)), int(np.ceil(x + width / 2 + 3))
        top, bottom = int(np.floor(y - height / 2 - 2)), int(np.ceil(y + height / 2 + 3))
        left, top = max(left, 0), max(top, 0)
        right, bottom = max(min(right, self.shape[1]), left), max(min(bottom, self.shape[0]), top)
        columns = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)
        rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
        return (slice(top, bottom), slice(left, right)), columns, rows

    def paint(
        self,
        at: Slices,
        alpha: Plane,
        material: Material,
        *,
        relief: Plane | float | None = None,
        height: Plane | float | None = None,
        tone: Plane | None = None,
    ) -> None:
        """Lay a material over the layers where ``alpha`` says; ``tone`` multiplies its colour."""
        alpha = np.broadcast_to(alpha, (at[0].stop - at[0].start, at[1].stop - at[1].start))
        if alpha.size == 0:
            return
        colour = np.array(material.colour, np.float32)
        target = colour if tone is None else colour * tone[..., None]
        self.albedo[at] += alpha[..., None] * (target - self.albedo[at])
        for layer, value in ((self.metal, material.metal), (self.gloss, material.gloss), (self.grain, material.grain)):
            layer[at] += alpha * (np.float32(value) - layer[at])
        if relief is not None:
            self.relief[at] += alpha * (np.asarray(relief, np.float32) - self.relief[at])
        if height is not None:
            self.height[at] += alpha * (np.asarray(height, np.float32) - self.height[at])

    def block(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        material: Material,
        *,
        radius: float = 0.0,
        tall: float | None = None,
        bevel: float = 0.0,
        lift: float = 0.0,
    ) -> None:
        """A box with round corners at (x, y) px; its rim rises by ``lift`` px over ``bevel`` px."""
        at, u, v = self.window(x, y, width, height)
        distance = rounded(u, v, width / 2, height / 2, radius)
        relief = rise(distance, bevel, lift) if bevel > 0 else 0.0
        self.paint(at, cover(distance), material, relief=relief, height=tall)

    def disc(
        self,
        x: float,
        y: float,
        radius: float,
        material: Material,
        *,
        inner: float = 0.0,
        tall: float | None = None,
        bevel: float = 0.0,
        lift: float = 0.0,
    ) -> None:
        """A disc, or a ring if ``inner`` > 0, at (x, y) px."""
        at, u, v = self.window(x, y, 2 * radius, 2 * radius)
        centre = np.asarray(np.hypot(u, v), np.float32)
        distance = np.asarray(np.maximum(centre - np.float32(radius), np.float32(inner) - centre), np.float32)
        relief = rise(distance, bevel, lift) if bevel > 0 else 0.0
        self.paint(at, cover(distance), material, relief=relief, height=tall)

    def write(
        self,
        text: str,
        x: float,
        y: float,
        cap: float,
        material: Material,
        *,
        strength: float = 1.0,
        bold: float = 0.12,
        narrow: float = 1.0,
        quarter: int = 0,
        lift: float = 0.0,
    ) -> tuple[int, int]:
        """Text centred at (x, y) px; returns its (width, height) in px."""
        mask = lettering(text, cap, bold, narrow, quarter)
        top, left = round(y - mask.shape[0] / 2), round(x - mask.shape[1] / 2)
        at, clipped = clip(mask, top, left, self.shape)
        if clipped.size:
            relief = self.relief[at] + np.float32(lift) if lift else None
            self.paint(at, clipped * np.float32(strength), material, relief=relief)
        return mask.shape[1], mask.shape[0]


def clip(patch: Plane, top: int, left: int, shape: tuple[int, int]) -> tuple[Slices, Plane]:
    """Where a patch lies in a frame, and the part of it that does."""
    rows = slice(max(top, 0), max(min(top + patch.shape[0], shape[0]), 0))
    columns = slice(max(left, 0), max(min(left + patch.shape[1], shape[1]), 0))
    inside = patch[
        max(rows.start - top, 0) : max(rows.stop - top, 0), max(columns.start - left, 0) : max(columns.stop - left, 0)
    ]
    return (
        slice(rows.start, max(rows.stop, rows.start)),
        slice(columns.start, max(columns.stop, columns.start)),
    ), inside


@lru_cache(maxsize=1)
def studio() -> Plane:
    """Brightness that a mirror of slope (nx, ny) shows to the camera, 256 x 256 over -1.3 .. 1.3."""
    axis = np.linspace(-1.3, 1.3, 256, dtype=np.float32)
    nx, ny = axis[None, :], axis[:, None]
    length = np.sqrt(nx * nx + ny * ny)
    squeeze = np.where(length > 0.999, 0.999 / np.maximum(length, 1e-6), 1.0)
    nx, ny = nx * squeeze, ny * squeeze
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    rx, ry, rz = 2 * nz * nx, 2 * nz * ny, 2 * nz * nz - 1

    def step(value: NDArray[np.floating], edge: float, soft: float) -> NDArray[np.floating]:
        return np.asarray(1 / (1 + np.exp(-np.clip((value - edge) / soft, -40, 40))))

    def window(left: float, right: float, top: float, bottom: float, soft: float) -> NDArray[np.floating]:
        return np.asarray(
            step(rx, left, soft)
            * step(-rx, -right, soft)
            * step(ry, top, soft)
            * step(-ry, -bottom, soft)
            * step(rz, 0.05, 0.05)
        )

    ceiling = 0.46 - 0.16 * ry - 0.12 * rx
    camera = 0.13 * np.exp(-((rx - 0.05) ** 2 + (ry - 0.12) ** 2) / 0.03)
    lamps = 2.3 * window(-0.86, -0.34, -0.80, -0.22, 0.03) + 0.75 * window(0.55, 0.80, -0.55, 0.65, 0.025)
    lamps += 0.35 * window(-0.3, 0.45, 0.62, 0.9, 0.03)
    up = step(rz, -0.02, 0.06)
    return np.asarray(np.maximum(up * (ceiling - camera + lamps) + (1 - up) * 0.05, 0.02), np.float32)


def shadows(height: Plane, mm: float) -> tuple[Plane, Plane]:
    """How much of the lamp and of the sky reaches each pixel, both (H, W) in 0 .. 1, from heights in mm."""
    full = (height.shape[1], height.shape[0])
    factor = max(mm / 7.0, 1.0)
    small = (max(int(full[0] / factor), 8), max(int(full[1] / factor), 8))
    low = resized(height, small, cv2.INTER_AREA) if factor > 1 else height.copy()
    step = mm / factor
    lit = np.zeros_like(low)
    lamps = ((-0.78, -0.62, 1.5), (-0.62, -0.78, 1.25), (-0.9, -0.44, 1.2), (-0.40, -0.92, 1.6), (-0.7, -0.7, 0.95))
    for dx, dy, steep in lamps:
        blocked = np.zeros_like(low)
        for reach in (0.25, 0.5, 0.8, 1.2, 1.7, 2.4, 3.3, 4.4, 5.8):
            # what stands ``reach`` mm toward the lamp
            move = np.array([[1, 0, -dx * reach * step], [0, 1, -dy * reach * step]], np.float32)
            toward = cv2.warpAffine(low, move, small, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            over = (toward - np.float32(reach * steep) - low) * np.float32(1 / (0.25 + 0.2 * reach))
            np.maximum(blocked, np.clip(over, 0, 1), out=blocked)
        lit += 1 - blocked
    lit /= np.float32(len(lamps))
    lit = blurred(lit, max(0.12 * step, 0.5))
    near, far = blurred(low, max(0.45 * step, 0.6)), blurred(low, max(1.8 * step, 1.0))
    sky = 1 - 0.42 * np.clip((near - low) / 0.8, 0, 1) - 0.32 * np.clip((far - low) / 1.8, 0, 1)
    return resized(lit, full), resized(np.asarray(sky, np.float32), full)


class Shaded(NamedTuple):
    """A lit canvas: linear RGB (H, W, 3), diffuse light (H, W), slopes (H, W, 2) int8 / 100."""

    linear: Plane
    light: Plane
    slopes: NDArray[np.int8]


def shade(canvas: Canvas, rng: np.random.Generator) -> Shaded:
    """Light a canvas: diffuse light with shadows, and the studio mirrored in metal and gloss."""
    height, width = canvas.shape
    lit, sky = shadows(canvas.height, canvas.mm)
    fine = speckle(rng, canvas.shape, max(0.045 * canvas.mm, 0.55))
    relief = canvas.relief + canvas.grain * fine * np.float32(max(0.045 * canvas.mm, 0.4))
    del fine
    linear = np.empty((height, width, 3), np.float32)
    light = np.empty((height, width), np.float32)
    slopes = np.empty((height, width, 2), np.int8)
    env = studio()
    lamp = np.array((-0.42, -0.46, 0.78), np.float32)
    lamp /= np.linalg.norm(lamp)
    span = max(height, width)
    for top in range(0, height, 256):
        bottom = min(top + 256, height)
        low, high = max(top - 1, 0), min(bottom + 1, height)
        strip = relief[low:high]
        inner = slice(top - low, bottom - low)
        gx = cv2.Sobel(strip, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)[inner]
        gy = cv2.Sobel(strip, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)[inner]
        unit = 1 / np.sqrt(1 + gx * gx + gy * gy)
        nx, ny = -gx * unit, -gy * unit
        rows = slice(top, bottom)
        key = np.maximum(nx * lamp[0] + ny * lamp[1] + unit * lamp[2], 0)
        x = (np.arange(width, dtype=np.float32) / np.float32(span) - np.float32(width / span / 2))[None, :]
        y = (np.arange(top, bottom, dtype=np.float32) / np.float32(span) - np.float32(height / span / 2))[:, None]
        fall = 1 - np.float32(0.10) * x - np.float32(0.12) * y
        diffuse = (np.float32(0.36) * sky[rows] + np.float32(0.84) * lit[rows] * key) * fall
        # the camera looks from a finite distance: flat metal is not equally bright everywhere
        mx = (nx + np.float32(0.22) * x + np.float32(1.3)) * np.float32(255 / 2.6)
        my = (ny + np.float32(0.22) * y + np.float32(1.3)) * np.float32(255 / 2.6)
        mirror = cv2.remap(env, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mirror = mirror * (np.float32(0.35) + np.float32(0.65) * lit[rows] * sky[rows])
        metal = canvas.metal[rows]
        body = (1 - metal) * diffuse + metal * mirror
        np.multiply(canvas.albedo[rows], body[..., None], out=linear[rows])
        linear[rows] += ((1 - metal) * canvas.gloss[rows] * mirror)[..., None]
        light[rows] = diffuse
        slopes[rows, :, 0] = np.clip(nx * 100, -127, 127)
        slopes[rows, :, 1] = np.clip(ny * 100, -127, 127)
    return Shaded(linear, light, slopes)
