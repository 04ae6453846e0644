"""Resistors, capacitors, coils, crystals and lamps, painted on a canvas; positions in px, sizes in mm."""

from __future__ import annotations

import numpy as np

from residue_batch.synthetic.canvas import ALUMINIUM, EPOXY, SOLDER, TIN, Canvas, Colour, Material, cover, rise
from residue_batch.synthetic.parts import MARKING, body


def chip(
    canvas: Canvas, rng: np.random.Generator, x: float, y: float, long: float, upright: bool, resistor: bool
) -> None:
    """A two-ended SMD part of ``long`` mm with end caps and solder fillets."""
    mm = canvas.mm
    length, width = long * mm, long * (0.5 if long > 1.8 else 0.52) * mm
    tall = 0.5 if resistor else 0.55 + 0.22 * long

    def at_end(off: float) -> tuple[float, float]:
        return (x, y + off) if upright else (x + off, y)

    def oriented(a: float, b: float) -> tuple[float, float]:
        return (b, a) if upright else (a, b)

    shift = float(rng.normal(0, 0.012)) * length
    for sign in (-1, 1):
        px, py = at_end(sign * (length / 2 + 0.06 * length))
        w, h = oriented(0.44 * length, width * 1.16)
        canvas.block(px, py, w, h, SOLDER, radius=0.14 * width, tall=0.05, bevel=0.30 * width, lift=0.26 * width)
    if resistor:
        middle = Material((0.014, 0.014, 0.016), 0.0, 0.07, 0.05)
    else:
        brown = float(rng.uniform(0.8, 1.25))
        middle = Material((0.23 * brown, 0.145 * brown, 0.082 * brown), 0.0, 0.05, 0.06)
    w, h = oriented(length, width)
    cx, cy = at_end(shift)
    canvas.block(cx, cy, w, h, middle, radius=0.04 * length, tall=tall, bevel=0.10 * width, lift=0.08 * width)
    for sign in (-1, 1):
        px, py = at_end(shift + sign * length * 0.395)
        w, h = oriented(length * (0.17 if resistor else 0.23), width * 1.02)
        canvas.block(px, py, w, h, TIN, radius=0.05 * length, tall=tall + 0.03, bevel=0.16 * width, lift=0.14 * width)
    if resistor and long > 1.8:
        text = ("103", "472", "000", "101", "223", "331")[int(rng.integers(6))]
        ink = Material((0.55, 0.55, 0.52))
        canvas.write(text, *at_end(shift), width * 0.52, ink, strength=0.85, bold=0.1, quarter=1 if upright else 0)


def can_capacitor(canvas: Canvas, rng: np.random.Generator, x: float, y: float, diameter: float) -> None:
    """An aluminium electrolytic on its black base, ``diameter`` mm."""
    mm = canvas.mm
    radius = diameter * mm / 2
    for sign in (-1, 1):
        canvas.block(
            x + sign * radius * 1.12,
            y,
            0.5 * radius,
            0.9 * mm,
            SOLDER,
            radius=0.2 * mm,
            tall=0.1,
            bevel=0.3 * mm,
            lift=0.2 * mm,
        )
    base = Material((0.014, 0.014, 0.015), 0.0, 0.045, 0.12)
    canvas.block(x, y, 2.1 * radius, 2.1 * radius, base, radius=0.22 * radius, tall=0.9, bevel=0.2 * mm, lift=0.15 * mm)
    at, u, v = canvas.window(x, y, 2 * radius, 2 * radius)
    distance = np.asarray(np.hypot(u, v) - np.float32(radius * 0.985), np.float32)
    shoulder = rise(distance, 0.17 * radius, 0.16 * radius)
    # a shallow dish with the vent scored into it
    dish = np.float32(0.03 * radius) * np.exp(-(((distance + 0.30 * radius) / (0.09 * radius)) ** 2))
    line = np.minimum(np.abs(u) + 0 * v, np.abs(v) + 0 * u)
    vent = np.float32(-0.02 * radius) * np.exp(-((line / (0.035 * radius)) ** 2)) * (distance < -0.35 * radius)
    relief = np.asarray(shoulder + dish + vent, np.float32)
    canvas.paint(at, cover(distance), ALUMINIUM, relief=relief, height=diameter * 0.85)
    stripe = Material((0.010, 0.010, 0.012), 0.0, 0.05, 0.05)
    side = np.asarray(u + np.float32(radius * 0.52) + 0 * v, np.float32)
    canvas.paint(at, cover(np.asarray(np.maximum(distance + np.float32(0.10 * radius), side), np.float32)), stripe)
    ink = Material((0.02, 0.02, 0.025), 0.0, 0.03, 0.05)
    value = ("100", "220", "47", "330", "10")[int(rng.integers(5))]
    volt = ("16V", "25V", "35V", "6V3")[int(rng.integers(4))]
    canvas.write(value, x + 0.16 * radius, y - 0.22 * radius, 0.32 * radius, ink, strength=0.9)
    canvas.write(volt, x + 0.16 * radius, y + 0.30 * radius, 0.30 * radius, ink, strength=0.9)


def tantalum(canvas: Canvas, rng: np.random.Generator, x: float, y: float, upright: bool) -> None:
    """A moulded capacitor or diode with a polarity stripe."""
    mm = canvas.mm
    long, short = 3.6 * mm, 2.8 * mm
    yellow = rng.random() < 0.6
    mould = Material((0.50, 0.27, 0.035), 0.0, 0.05, 0.10) if yellow else EPOXY
    dark = Material((0.20, 0.06, 0.012), 0.0, 0.05, 0.08) if yellow else Material((0.40, 0.40, 0.38), 0.0, 0.03, 0.08)
    w, h = (short, long) if upright else (long, short)
    for sign in (-1, 1):
        px, py = (x, y + sign * long * 0.56) if upright else (x + sign * long * 0.56, y)
        pw, ph = (short * 0.78, 0.9 * mm) if upright else (0.9 * mm, short * 0.78)
        canvas.block(px, py, pw, ph, SOLDER, radius=0.15 * mm, tall=0.1, bevel=0.35 * mm, lift=0.3 * mm)
    body(canvas, x, y, w, h, 1.9, mould)
    px, py = (x, y - long * 0.34) if upright else (x - long * 0.34, y)
    canvas.block(px, py, *((short * 0.9, long * 0.13) if upright else (long * 0.13, short * 0.9)), dark, bevel=0)
    ink = dark if yellow else MARKING
    canvas.write(
        ("107", "226", "476", "S4")[int(rng.integers(4))],
        x,
        y + 0.25 * mm,
        0.8 * mm,
        ink,
        strength=0.85,
        quarter=int(upright),
    )


def inductor(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """A shielded power inductor."""
    mm = canvas.mm
    side = 6.0 * mm
    for sign in (-1, 1):
        canvas.block(
            x + sign * side * 0.47,
            y,
            1.2 * mm,
            2.6 * mm,
            SOLDER,
            radius=0.2 * mm,
            tall=0.2,
            bevel=0.4 * mm,
            lift=0.3 * mm,
        )
    ferrite = Material((0.052, 0.051, 0.053), 0.0, 0.05, 0.30)
    canvas.block(x, y, side, side, ferrite, radius=1.3 * mm, tall=2.8, bevel=0.45 * mm, lift=0.35 * mm)
    canvas.disc(
        x, y, side * 0.40, Material((0.018, 0.018, 0.02), 0.0, 0.05, 0.3), tall=2.5, bevel=0.3 * mm, lift=-0.2 * mm
    )
    canvas.disc(x, y, side * 0.36, ferrite, tall=2.9, bevel=0.35 * mm, lift=0.2 * mm)
    ink = Material((0.42, 0.42, 0.40), 0.0, 0.03, 0.2)
    canvas.write(("4R7", "100", "220", "3R3")[int(rng.integers(4))], x, y, 1.3 * mm, ink, strength=0.85)


def crystal(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """A quartz in its drawn metal can."""
    mm = canvas.mm
    w, h = 11.0 * mm, 4.4 * mm
    canvas.block(x, y, w, h, TIN, radius=h / 2, tall=0.5, bevel=0.2 * mm, lift=0.12 * mm)
    canvas.block(x, y, w * 0.90, h * 0.78, ALUMINIUM, radius=h * 0.39, tall=3.4, bevel=0.65 * mm, lift=0.6 * mm)
    ink = Material((0.03, 0.03, 0.035), 0.2, 0.02, 0.1)
    text = ("16.000", "8.000", "25.000", "12.288")[int(rng.integers(4))]
    canvas.write(text, x, y, 1.05 * mm, ink, strength=0.75)


def lamp(canvas: Canvas, rng: np.random.Generator, x: float, y: float) -> None:
    """A small LED: white frame, clear or tinted dome."""
    mm = canvas.mm
    for sign in (-1, 1):
        canvas.block(
            x + sign * 1.0 * mm,
            y,
            0.7 * mm,
            1.2 * mm,
            SOLDER,
            radius=0.1 * mm,
            tall=0.1,
            bevel=0.25 * mm,
            lift=0.2 * mm,
        )
    canvas.block(
        x,
        y,
        1.7 * mm,
        1.2 * mm,
        Material((0.50, 0.50, 0.46), 0.0, 0.04, 0.05),
        tall=0.6,
        bevel=0.1 * mm,
        lift=0.08 * mm,
    )
    tints: tuple[Colour, ...] = ((0.5, 0.42, 0.12), (0.35, 0.5, 0.25), (0.55, 0.2, 0.12))
    canvas.disc(
        x, y, 0.48 * mm, Material(tints[int(rng.integers(3))], 0.0, 0.12, 0.0), tall=0.8, bevel=0.4 * mm, lift=0.3 * mm
    )
