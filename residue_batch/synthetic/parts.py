"""The things that stand on a board, painted on a canvas; positions in px, sizes in mm."""

from __future__ import annotations

import cv2
import numpy as np

from residue_batch.synthetic.canvas import (
    CREAM,
    EPOXY,
    GOLD,
    HOLE,
    INK,
    PLASTIC,
    SOLDER,
    TIN,
    Canvas,
    Material,
    Plane,
    cover,
    rise,
    rounded,
)

MARKING = Material((0.30, 0.30, 0.28), 0.0, 0.02, 0.2)
_FAMILIES = ("HC", "LVC", "AHC", "LS", "ACT")
_NUMBERS = ("245", "573", "138", "00", "164", "574", "08", "14", "393", "4051")


def part_number(rng: np.random.Generator) -> str:
    """A plausible type marking."""
    kind = int(rng.integers(0, 4))
    if kind == 0:
        return f"74{_FAMILIES[int(rng.integers(5))]}{_NUMBERS[int(rng.integers(10))]}"
    letters = "".join(chr(65 + int(v)) for v in rng.integers(0, 26, 3))
    return f"{letters}{int(rng.integers(20, 99))}{'F' if kind == 1 else 'L'}{int(rng.integers(100, 999))}"


def row(
    canvas: Canvas, x: float, y: float, count: int, pitch: float, across: float, along_x: bool
) -> tuple[tuple[slice, slice], Plane, Plane]:
    """The window of a row of equal things and coordinates (along, across) that repeat with the pitch, px."""
    span = count * pitch
    size = (span - 1, across) if along_x else (across, span - 1)
    at, u, v = canvas.window(x, y, *size)
    along, over = (u, v) if along_x else (v, u)
    index = np.clip(np.round(along / np.float32(pitch) + np.float32((count - 1) / 2)), 0, count - 1)
    local = along - (index - np.float32((count - 1) / 2)) * np.float32(pitch)
    return at, np.asarray(local, np.float32), np.asarray(over, np.float32)


def gull_wings(
    canvas: Canvas,
    x: float,
    y: float,
    count: int,
    pitch: float,
    width: float,
    length: float,
    along_x: bool,
    outward: int,
) -> None:
    """A row of bent leads with their solder; ``outward`` is +1 or -1 on the axis across the row. Sizes in px."""
    at, along, over = row(canvas, x, y, count, pitch, length * 1.3, along_x)
    over = over * np.float32(outward)
    t = over / np.float32(length) + np.float32(0.5)
    pad = rounded(along, over - np.float32(length * 0.22), width * 0.78, length * 0.40, width * 0.2)
    fillet = rise(pad, width * 0.5, width * 0.30)
    canvas.paint(at, cover(pad), SOLDER, relief=fillet, height=0.06)
    lead = rounded(along, over, width / 2, length / 2, width * 0.12)
    # shoulder, bend, foot: the bend mirrors the dark side, the shoulder the lamp
    drop = np.clip((t - 0.18) / 0.42, 0, 1)
    profile = np.float32(length * 0.50) * (1 - drop * drop * (3 - 2 * drop))
    camber = np.float32(width * 0.16) * np.clip(1 - (along / np.float32(width / 2)) ** 2, 0, 1)
    tall = np.asarray(0.75 * (1 - drop) + 0.12, np.float32)
    canvas.paint(at, cover(lead), TIN, relief=np.asarray(profile + camber, np.float32), height=tall)


def marking(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, width: float, height: float, quarter: int
) -> None:
    """Type, lot code and a logo on a body of ``width`` x ``height`` px."""
    long, short = (width, height) if quarter % 2 == 0 else (height, width)
    lines = [
        part_number(rng),
        f"{int(rng.integers(10, 26))}{int(rng.integers(1, 53)):02d}{chr(65 + int(rng.integers(26)))}",
    ]
    if short > 5 * canvas.mm:
        lines.append("".join(chr(65 + int(v)) for v in rng.integers(0, 26, 3)) + f" {int(rng.integers(10, 99))}")
    cap = min(short * 0.62 / (len(lines) * 1.6), long * 0.72 / (max(len(t) for t in lines) * 0.72), 1.7 * canvas.mm)
    for i, text in enumerate(lines):
        offset = (i - (len(lines) - 1) / 2) * cap * 1.65
        dx, dy = ((0.0, offset), (offset, 0.0))[quarter % 2]
        canvas.write(text, x + dx, y + dy, cap, MARKING, strength=0.8, bold=0.09, narrow=0.86, quarter=quarter)


def body(
    canvas: Canvas, x: float, y: float, width: float, height: float, tall: float, material: Material = EPOXY
) -> None:
    """A moulded body with a draft all around, sizes in px, ``tall`` mm."""
    mm = canvas.mm
    canvas.block(x, y, width, height, material, radius=0.12 * mm, tall=tall, bevel=0.32 * mm, lift=0.20 * mm)
    at, u, v = canvas.window(x, y, width, height)
    distance = rounded(u, v, width / 2, height / 2, 0.1 * mm)
    # the parting line and the ground edge catch a little more light
    edge = np.exp(-(((distance + 0.33 * mm) / (0.10 * mm)) ** 2)).astype(np.float32)
    canvas.albedo[at] += (edge * np.float32(0.018))[..., None]


def small_outline(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, pins: int, wide: float, upright: bool
) -> None:
    """An IC with leads on two sides: ``pins`` in all, body ``wide`` mm."""
    mm = canvas.mm
    per, pitch = pins // 2, 1.27 * mm
    long, short = (per * 1.27 + 0.25) * mm, wide * mm
    lead = 1.35 * mm
    for side in (-1, 1):
        off = side * (short / 2 + lead * 0.40)
        px, py = (x + off, y) if upright else (x, y + off)
        gull_wings(canvas, px, py, per, pitch, 0.44 * mm, lead, not upright, side)
    width, height = (short, long) if upright else (long, short)
    body(canvas, x, y, width, height, 1.7)
    cx, cy = (x - short * 0.30, y - long / 2 + 1.0 * mm) if upright else (x - long / 2 + 1.0 * mm, y + short * 0.30)
    canvas.disc(cx, cy, 0.42 * mm, EPOXY, bevel=0.25 * mm, lift=-0.10 * mm)
    marking(canvas, rng, x, y, width * 0.9, height * 0.85, 1 if upright else 0)


def quad_flat(canvas: Canvas, rng: np.random.Generator, x: float, y: float, per_side: int, pitch_mm: float) -> None:
    """An IC with leads on four sides."""
    mm = canvas.mm
    side = (per_side * pitch_mm + 1.6) * mm
    lead = 1.25 * mm
    for sign in (-1, 1):
        off = sign * (side / 2 + lead * 0.38)
        gull_wings(canvas, x + off, y, per_side, pitch_mm * mm, 0.48 * pitch_mm * mm, lead, False, sign)
        gull_wings(canvas, x, y + off, per_side, pitch_mm * mm, 0.48 * pitch_mm * mm, lead, True, sign)
    body(canvas, x, y, side, side, 1.5)
    canvas.disc(x - side * 0.38, y - side * 0.38, 0.5 * mm, EPOXY, bevel=0.3 * mm, lift=-0.12 * mm)
    marking(canvas, rng, x, y, side * 0.8, side * 0.8, int(rng.integers(0, 2)))


def header(canvas: Canvas, x: float, y: float, count: int, rows: int, upright: bool) -> None:
    """A pin header, 2.54 mm pitch: black strip, square gold pins."""
    mm, pitch = canvas.mm, 2.54 * canvas.mm
    for r in range(rows):
        off = (r - (rows - 1) / 2) * pitch
        px, py = (x + off, y) if upright else (x, y + off)
        at, along, over = row(canvas, px, py, count, pitch, pitch, not upright)
        cell = np.asarray(
            np.maximum(
                np.abs(along) + np.abs(over) - np.float32(pitch * 0.86),
                np.maximum(np.abs(along), np.abs(over)) - np.float32(pitch * 0.485),
            ),
            np.float32,
        )
        canvas.paint(at, cover(cell), PLASTIC, relief=rise(cell, 0.25 * mm, 0.18 * mm), height=2.4)
        pin = rounded(along, over, 0.32 * mm, 0.32 * mm, 0.06 * mm)
        canvas.paint(at, cover(pin), GOLD, relief=rise(pin, 0.26 * mm, 0.24 * mm), height=4.2)


def housing(canvas: Canvas, x: float, y: float, ways: int, upright: bool) -> None:
    """A cream wire-to-board housing with its blades."""
    mm, pitch = canvas.mm, 2.0 * canvas.mm
    long, short = (ways * 2.0 + 2.4) * mm, 4.8 * mm
    w, h = (short, long) if upright else (long, short)
    canvas.block(x, y, w, h, CREAM, radius=0.25 * mm, tall=5.0, bevel=0.25 * mm, lift=0.2 * mm)
    dark = Material((0.10, 0.085, 0.06), 0.0, 0.02, 0.05)
    iw, ih = (short * 0.62, long - 1.5 * mm) if upright else (long - 1.5 * mm, short * 0.62)
    canvas.block(x, y, iw, ih, dark, radius=0.15 * mm, tall=1.2, bevel=0.3 * mm, lift=-0.3 * mm)
    at, along, over = row(canvas, x, y, ways, pitch, short, not upright)
    blade = rounded(along, over, 0.28 * mm, 0.42 * mm, 0.05 * mm)
    canvas.paint(at, cover(blade), TIN, relief=rise(blade, 0.25 * mm, 0.25 * mm), height=3.2)
    for sign in (-1, 1):
        px, py = (x - short * 0.5, y + sign * long * 0.28) if upright else (x + sign * long * 0.28, y - short * 0.5)
        canvas.block(px, py, *((0.5 * mm, 1.0 * mm) if upright else (1.0 * mm, 0.5 * mm)), dark, tall=3.0)


def solder_row(canvas: Canvas, x: float, y: float, count: int, pitch_mm: float, upright: bool, filled: bool) -> None:
    """Plated holes in a row: empty gold rings or domes of solder with a cut lead."""
    mm = canvas.mm
    at, along, over = row(canvas, x, y, count, pitch_mm * mm, 1.9 * mm, not upright)
    centre = np.asarray(np.hypot(along, over), np.float32)
    ring = np.asarray(centre - np.float32(0.86 * mm), np.float32)
    if filled:
        dome = np.float32(0.34 * mm) * np.sqrt(np.clip(1 - (centre / np.float32(0.95 * mm)) ** 2, 0, 1))
        canvas.paint(at, cover(ring), SOLDER, relief=np.asarray(dome, np.float32), height=0.5)
        lead = np.asarray(centre - np.float32(0.3 * mm), np.float32)
        canvas.paint(at, cover(lead), TIN, relief=rise(lead, 0.12 * mm, 0.14 * mm) + np.float32(0.34 * mm), height=0.9)
    else:
        canvas.paint(at, cover(ring), GOLD, relief=rise(ring, 0.10 * mm, 0.06 * mm), height=0.05)
        hole = np.asarray(centre - np.float32(0.48 * mm), np.float32)
        canvas.paint(
            at, cover(hole, 1.6), HOLE, relief=np.asarray(rise(hole, 0.12 * mm, -0.12 * mm), np.float32), height=-0.8
        )


def finger_row(canvas: Canvas, x: float, y: float, count: int, pitch_mm: float, length_mm: float) -> None:
    """Gold contact fingers side by side."""
    mm = canvas.mm
    at, along, over = row(canvas, x, y, count, pitch_mm * mm, length_mm * mm, True)
    finger = rounded(along, over, pitch_mm * 0.36 * mm, length_mm * mm / 2, 0.18 * mm)
    canvas.paint(at, cover(finger), GOLD, relief=rise(finger, 0.08 * mm, 0.05 * mm), height=0.04)


def screw_hole(canvas: Canvas, x: float, y: float, radius: float) -> None:
    """A mounting hole with its tinned ring and ring of small vias, ``radius`` mm."""
    mm = canvas.mm
    canvas.disc(x, y, radius * 1.75 * mm, GOLD, tall=0.05, bevel=0.1 * mm, lift=0.06 * mm)
    for k in range(8):
        angle = 2 * np.pi * (k + 0.5) / 8
        canvas.disc(x + radius * 1.4 * mm * np.cos(angle), y + radius * 1.4 * mm * np.sin(angle), 0.17 * mm, HOLE)
    canvas.disc(
        x, y, radius * mm, Material((0.03, 0.028, 0.026), 0.0, 0.01, 0.1), tall=-1.6, bevel=0.2 * mm, lift=-0.3 * mm
    )


def button(canvas: Canvas, x: float, y: float) -> None:
    """A tact switch: metal frame, dark actuator."""
    mm = canvas.mm
    for sx in (-1, 1):
        for sy in (-1, 1):
            canvas.block(
                x + sx * 3.5 * mm,
                y + sy * 1.6 * mm,
                1.4 * mm,
                0.8 * mm,
                SOLDER,
                radius=0.2 * mm,
                tall=0.2,
                bevel=0.3 * mm,
                lift=0.25 * mm,
            )
    canvas.block(x, y, 6 * mm, 6 * mm, PLASTIC, radius=0.3 * mm, tall=2.2, bevel=0.2 * mm, lift=0.15 * mm)
    canvas.block(x, y, 5.5 * mm, 5.5 * mm, TIN, radius=0.4 * mm, tall=2.5, bevel=0.15 * mm, lift=0.08 * mm)
    for sx in (-1, 1):
        for sy in (-1, 1):
            canvas.disc(x + sx * 2.1 * mm, y + sy * 2.1 * mm, 0.42 * mm, PLASTIC, bevel=0.3 * mm, lift=0.2 * mm)
    canvas.disc(x, y, 1.75 * mm, PLASTIC, tall=4.0, bevel=0.4 * mm, lift=0.35 * mm)


def power_tab(canvas: Canvas, rng: np.random.Generator, box: tuple[int, int, int, int], bar: float) -> None:
    """A stamped bright metal element with a printed white bar over the bottom share ``bar`` of its box (px)."""
    mm = canvas.mm
    left, top, width, height = box
    x, y = left + width / 2 - 0.5, top + height / 2 - 0.5
    at, u, v = canvas.window(x, y, width, height)
    distance = rounded(u, v, width / 2, height / 2, 0.7 * mm)
    brushed = streaks(rng, (at[0].stop - at[0].start, at[1].stop - at[1].start), mm)
    # never quite flat: the lamps show as soft spots that wander with the camera
    bow = (
        np.float32(rng.uniform(0.05, 0.12)) * (u * u + v * v) / np.float32(width)
        + np.float32(rng.uniform(-0.05, 0.05)) * u
    )
    relief = rise(distance, 0.55 * mm, 0.42 * mm) + brushed - bow
    tin = Material((0.80, 0.79, 0.76), 1.0, 0.0, 0.05)
    canvas.paint(at, cover(distance), tin, relief=np.asarray(relief, np.float32), height=2.2)
    inner = rounded(u, v + np.float32(height * 0.10), width * 0.36, height * 0.31, 0.6 * mm)
    # an embossed field, as stampings have to stiffen them
    ridge = np.float32(0.16 * mm) * np.exp(-((inner / (0.22 * mm)) ** 2))
    canvas.relief[at] += np.asarray(ridge * (inner < 0.8 * mm), np.float32)
    for sign in (-1, 1):
        canvas.disc(
            x + sign * width * 0.41,
            top + height * 0.06 + 0.3 * mm,
            0.34 * mm,
            HOLE,
            tall=1.2,
            bevel=0.1 * mm,
            lift=-0.1 * mm,
        )
    canvas.write(
        f"{'ABCDEFGH'[int(rng.integers(8))]}{int(rng.integers(10, 99))}",
        x,
        y - height * 0.10,
        1.2 * mm,
        Material((0.33, 0.33, 0.33), 0.6, 0.02, 0.1),
        strength=0.6,
        bold=0.09,
    )
    strip = height * bar
    canvas.block(x, top + height - strip / 2 - 0.5, width - 0.5 * mm, strip - 0.3 * mm, INK, radius=0.15 * mm, tall=2.2)


def streaks(rng: np.random.Generator, shape: tuple[int, int], mm: float) -> Plane:
    """The relief of brushed metal, px."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.6 * mm, sigmaY=0.5)
    return np.asarray(smooth / max(float(smooth.std()), 1e-6) * 0.0035 * mm, np.float32)
