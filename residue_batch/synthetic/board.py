"""A clean board: its geometry, and how it looks in linear light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.synthetic import parts, passives
from residue_batch.synthetic.bare import COLOURS, PixelBox, bare_board, bench, label_paper
from residue_batch.synthetic.canvas import Canvas, Colour, Plane, clip, lettering, shade
from residue_batch.synthetic.layout import Layout, Part, lay_out

BAR = 0.15
WHITE = 0.74


@dataclass(frozen=True, eq=False)
class Board:
    """One clean board in its frame.

    ``linear`` is linear RGB, float32 (H, W, 3); 1 is where a camera at
    exposure 0 saturates. Points are [x, y], boxes [x, y, width, height], px.
    """

    seed: int
    unit: int
    colour: str
    linear: Plane
    white: tuple[float, float, float]
    outline: tuple[tuple[int, int], ...]
    label: PixelBox
    elements: tuple[PixelBox, ...]
    bars: tuple[PixelBox, ...]
    holes: tuple[tuple[float, float, float], ...]
    sites: tuple[tuple[float, float, float, float], ...]
    metal: NDArray[np.bool_]
    slopes: NDArray[np.int8]
    mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        return int(self.linear.shape[0]), int(self.linear.shape[1])

    def inside(self) -> NDArray[np.bool_]:
        """Pixels whose centre is inside the outline (even-odd), bool (H, W)."""
        return polygon_mask(self.outline, self.shape)

    def counted(self) -> NDArray[np.bool_]:
        """Pixels that the truth is about: the outline minus the label and the white bars."""
        mask = self.inside()
        for x, y, width, height in (self.label, *self.bars):
            mask[y : y + height, x : x + width] = False
        return mask

    def soil(self) -> NDArray[np.bool_]:
        """Where residue may lie: inside the outline, off the label and the holes, bool (H, W)."""
        mask = self.inside()
        x, y, width, height = self.label
        mask[y : y + height, x : x + width] = False
        for cx, cy, radius in self.holes:
            r = int(radius) + 1
            rows, columns = slice(max(int(cy) - r, 0), int(cy) + r + 1), slice(max(int(cx) - r, 0), int(cx) + r + 1)
            v, u = np.ogrid[rows, columns]
            mask[rows, columns] &= (u - cx) ** 2 + (v - cy) ** 2 > radius**2
        # a margin for paper that reaches past the declared box
        edge = max(round(0.5 * self.mm), 2)
        mask[max(y - edge, 0) : y + height + edge, max(x - edge, 0) : x + width + edge] = False
        return mask


def polygon_mask(points: tuple[tuple[int, int], ...], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre is inside a polygon of [x, y] points, by the even-odd rule."""
    inside = np.zeros(shape, bool)
    columns = np.arange(shape[1])[None, :]
    rows = np.arange(shape[0])
    for (x0, y0), (x1, y1) in zip(points, (*points[1:], points[0]), strict=True):
        if y0 == y1:
            continue
        crossed = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        if crossed.size:
            cut = x0 + (crossed - y0) * (x1 - x0) / (y1 - y0)
            inside[crossed] ^= columns < cut[:, None]
    return inside


def render_board(seed: int, shape: tuple[int, int] = (1500, 2000), colour: str = "green", unit: int = 0) -> Board:
    """A clean board on its bench.

    Parameters
    ----------
    seed
        The board type: layout, parts, texture.
    shape
        Rows and columns of the frame.
    colour
        Solder mask: ``green``, ``blue``, ``black`` or ``red``.
    unit
        The serial number: date codes, the label's text, a slight tint and
        shifts of parts below 0.3 px; unit 0 is the golden board.
    """
    if colour not in COLOURS:
        raise UsageError(f"no such board colour: {colour!r}; there are {', '.join(COLOURS)}")
    if min(shape) < 120:
        raise UsageError(f"a board needs at least 120 px on its short side, not {min(shape)}")
    kind = _board_type(seed, (int(shape[0]), int(shape[1])), colour)
    rng = np.random.default_rng([seed, 7, unit])
    linear = kind.linear.copy()
    _print_unit(linear, kind, rng, unit)
    if unit:
        _tint_mask(linear, kind, rng)
        _shift_parts(linear, rng)
    white = kind.white
    linear.flags.writeable = False
    return Board(
        seed,
        unit,
        colour,
        linear,
        (float(white[0]), float(white[1]), float(white[2])),
        kind.outline,
        kind.label,
        kind.elements,
        kind.bars,
        kind.holes,
        kind.sites,
        kind.metal,
        kind.slopes,
        kind.mm,
    )


@dataclass(frozen=True, eq=False)
class _BoardType:
    """What all units of a type share."""

    linear: Plane
    light: Plane
    outline: tuple[tuple[int, int], ...]
    white: Plane
    label: PixelBox
    elements: tuple[PixelBox, ...]
    bars: tuple[PixelBox, ...]
    holes: tuple[tuple[float, float, float], ...]
    sites: tuple[tuple[float, float, float, float], ...]
    bodies: tuple[tuple[float, float, float], ...]
    metal: NDArray[np.bool_]
    slopes: NDArray[np.int8]
    mm: float


@lru_cache(maxsize=2)
def _board_type(seed: int, shape: tuple[int, int], colour: str) -> _BoardType:
    rng = np.random.default_rng([seed, 3])
    height, width = shape
    margin = round(0.07 * min(shape))
    left, top, wide, tall = margin, margin, width - 2 * margin, height - 2 * margin
    mm = float(np.sqrt(wide * tall / (100.0 * 74.0)))
    canvas = Canvas(shape, mm)
    bench(canvas, rng)
    plan = lay_out(rng, wide / mm, tall / mm)

    def px(x: float, y: float) -> tuple[float, float]:
        return left + x * mm, top + y * mm

    bare_board(canvas, rng, plan, (left, top, wide, tall), colour)
    elements: list[PixelBox] = []
    holes: list[tuple[float, float, float]] = []
    label = (0, 0, 0, 0)
    for part in plan.parts:
        x, y = px(part.x, part.y)
        if part.kind in {"tab", "label"}:
            box = (
                round(x - part.width * mm / 2),
                round(y - part.height * mm / 2),
                round(part.width * mm),
                round(part.height * mm),
            )
            if part.kind == "tab":
                elements.append(box)
                parts.power_tab(canvas, rng, box, BAR)
            else:
                label = box
                label_paper(canvas, box)
        elif part.kind == "hole":
            holes.append((x, y, 1.6 * mm))
            parts.screw_hole(canvas, x, y, 1.6)
        else:
            _place(canvas, rng, part, x, y)
    lit = shade(canvas, rng)
    inner = slice(label[1], label[1] + label[3]), slice(label[0], label[0] + label[2])
    # the median of blank paper is about what the 60th percentile of the printed label will be
    paper = np.median(lit.linear[inner].reshape(-1, 3), axis=0)
    gain = np.float32(WHITE / float(paper[1]))
    linear = lit.linear
    linear *= gain
    bars = tuple((x, y + h - round(h * BAR), w, round(h * BAR)) for x, y, w, h in elements)
    cut, inset = round(2.6 * mm), max(round(0.35 * mm), 1)
    x0, y0, x1, y1 = left + inset, top + inset, left + wide - 1 - inset, top + tall - 1 - inset
    outline = (
        (x0 + cut, y0),
        (x1 - cut, y0),
        (x1, y0 + cut),
        (x1, y1 - cut),
        (x1 - cut, y1),
        (x0 + cut, y1),
        (x0, y1 - cut),
        (x0, y0 + cut),
    )
    bodies = tuple((*px(p.x, p.y), min(p.width, p.height) * mm) for p in plan.parts if p.kind in {"quad", "wide"})
    return _BoardType(
        linear,
        lit.light * gain,
        outline,
        np.asarray(paper * gain, np.float32),
        label,
        tuple(elements),
        bars,
        tuple(holes),
        _sites(plan, left, top, mm),
        bodies,
        canvas.metal > 0.5,
        lit.slopes,
        mm,
    )


def _place(canvas: Canvas, rng: np.random.Generator, part: Part, x: float, y: float) -> None:
    if part.kind == "quad":
        parts.quad_flat(canvas, rng, x, y, part.count, 0.5 if part.width > 15 else 0.65)
    elif part.kind in {"wide", "narrow"}:
        parts.small_outline(canvas, rng, x, y, part.count, 7.5 if part.kind == "wide" else 3.9, part.upright)
    elif part.kind in {"resistor", "ceramic"}:
        passives.chip(canvas, rng, x, y, part.count / 10, part.upright, part.kind == "resistor")
    elif part.kind == "can":
        passives.can_capacitor(canvas, rng, x, y, 8.0 if part.count == 0 else 6.3)
    elif part.kind == "tantalum":
        passives.tantalum(canvas, rng, x, y, part.upright)
    elif part.kind == "coil":
        passives.inductor(canvas, rng, x, y)
    elif part.kind == "crystal":
        passives.crystal(canvas, rng, x, y)
    elif part.kind == "header":
        parts.header(canvas, x, y, part.count, 2, True)
    elif part.kind == "housing":
        parts.housing(canvas, x, y, part.count, part.upright)
    elif part.kind == "row":
        parts.solder_row(canvas, x, y, part.count, 2.54, part.upright, bool(rng.random() < 0.6))
    elif part.kind == "fingers":
        parts.finger_row(canvas, x, y, part.count, 1.6, 4.2)
    elif part.kind == "button":
        parts.button(canvas, x, y)
    elif part.kind == "lamp":
        passives.lamp(canvas, rng, x, y)


def _print_unit(linear: Plane, kind: _BoardType, rng: np.random.Generator, unit: int) -> None:
    """What differs from unit to unit: the label's text and bars, an inspection dot, a stamp on the large parts."""
    x, y, width, height = kind.label
    mm = kind.mm
    shape = (linear.shape[0], linear.shape[1])

    def ink(text: str, cx: float, cy: float, cap: float, strength: float, colour: Colour, bold: float) -> None:
        mask = lettering(text, cap, bold)
        at, inside = clip(mask, round(cy - mask.shape[0] / 2), round(cx - mask.shape[1] / 2), shape)
        if inside.size:
            target = np.array(colour, np.float32) * kind.light[at][..., None]
            linear[at] += (inside * np.float32(strength))[..., None] * (target - linear[at])

    serial = f"SN {4000 + 37 * unit + int(rng.integers(0, 30))}-{int(rng.integers(10, 99))}"
    dark = (0.012, 0.012, 0.014)
    ink(serial, x + width * 0.36, y + height * 0.32, height * 0.235, 0.96, dark, 0.14)
    bars = rng.integers(1, 4, 44)
    unit_px = width * 0.62 / float(bars.sum())
    position = x + width * 0.05
    for k, bar in enumerate(bars):
        if k % 2 == 0:
            a, b = round(position), max(round(position + bar * unit_px), round(position) + 1)
            rows = slice(round(y + height * 0.60), round(y + height * 0.88))
            linear[rows, a:b] = np.array(dark, np.float32) * kind.light[rows, a:b][..., None]
        position += bar * unit_px
    square = rng.random((12, 12)) < 0.5
    square[:, 0], square[-1] = True, True
    cell = max(int(height * 0.62 / 12), 1)
    code = np.asarray(np.kron(square, np.ones((cell, cell))), np.float32)
    at, inside = clip(code, round(y + height * 0.16), round(x + width * 0.75), shape)
    linear[at] += (inside * np.float32(0.95))[..., None] * (
        np.array(dark, np.float32) * kind.light[at][..., None] - linear[at]
    )
    for k, (cx, cy, size) in enumerate(kind.bodies):
        text = f"{int(rng.integers(100, 999))}{'KTW'[k % 3]}{int(rng.integers(1, 9))}"
        ink(text, cx + size * 0.22, cy + size * 0.40, min(0.7 * mm, size * 0.09), 0.5, (0.28, 0.28, 0.26), 0.09)


def _tint_mask(linear: Plane, kind: _BoardType, rng: np.random.Generator) -> None:
    """Solder mask and mouldings differ in tone by a few per mille; metal and paper do not; in place."""
    tint = rng.normal(0, 0.003, 3).astype(np.float32)
    plain = (~kind.metal).astype(np.float32)
    x, y, width, height = kind.label
    edge = round(0.5 * kind.mm) + 1
    plain[max(y - edge, 0) : y + height + edge, max(x - edge, 0) : x + width + edge] = 0
    for top in range(0, linear.shape[0], 256):
        rows = slice(top, top + 256)
        linear[rows] *= 1 + plain[rows, :, None] * tint


def _shift_parts(linear: Plane, rng: np.random.Generator) -> None:
    """Displace everything smoothly by less than 0.3 px, in place."""
    height, width = linear.shape[:2]
    coarse = np.clip(rng.normal(0, 0.13, (2, 8, 10)), -0.28, 0.28).astype(np.float32)
    source = linear.copy()
    for top in range(0, height, 512):
        bottom = min(top + 512, height)
        y = np.linspace(0, 7, height, dtype=np.float32)[top:bottom, None]
        x = np.linspace(0, 9, width, dtype=np.float32)[None, :]
        moves = [
            cv2.remap(sheet, np.repeat(x, bottom - top, 0), np.repeat(y, width, 1), cv2.INTER_LINEAR)
            for sheet in coarse
        ]
        mx = moves[0] + np.arange(width, dtype=np.float32)[None, :]
        my = moves[1] + np.arange(top, bottom, dtype=np.float32)[:, None]
        linear[top:bottom] = cv2.remap(source, mx, my, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _sites(plan: Layout, left: int, top: int, mm: float) -> tuple[tuple[float, float, float, float], ...]:
    """Where solder was: (x, y, half width, half height) in px of every row of joints."""
    found: list[tuple[float, float, float, float]] = []
    for part in plan.parts:
        if part.kind in {"label", "hole"}:
            continue
        x, y, w, h = left + part.x * mm, top + part.y * mm, part.width * mm / 2, part.height * mm / 2
        if part.kind in {"quad", "wide", "narrow"}:
            if part.kind == "quad" or not part.upright:
                found += [(x, y - h, w, 0.8 * mm), (x, y + h, w, 0.8 * mm)]
            if part.kind == "quad" or part.upright:
                found += [(x - w, y, 0.8 * mm, h), (x + w, y, 0.8 * mm, h)]
        elif part.kind == "tab":
            found += [
                (x, y - h, w, 1.0 * mm),
                (x - w, y, 1.0 * mm, h),
                (x + w, y, 1.0 * mm, h),
                (x, y, 0.6 * w, 0.6 * h),
            ]
        else:
            found.append((x, y, max(w, 0.8 * mm), max(h, 0.8 * mm)))
    return tuple(found)
