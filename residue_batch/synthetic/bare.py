"""The board before any part stands on it: bench, laminate, copper, solder mask, vias, silkscreen, label."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.synthetic.canvas import (
    GOLD,
    HOLE,
    INK,
    Canvas,
    Colour,
    Material,
    Plane,
    clip,
    clouds,
    cover,
    lettering,
    resized,
    rounded,
    speckle,
)
from residue_batch.synthetic.layout import Layout
from residue_batch.synthetic.parts import part_number

PixelBox = tuple[int, int, int, int]

# bare laminate under the mask, copper under the mask, linear RGB
COLOURS: dict[str, tuple[Colour, Colour]] = {
    "green": ((0.0040, 0.058, 0.020), (0.012, 0.140, 0.042)),
    "blue": ((0.006, 0.022, 0.098), (0.013, 0.060, 0.205)),
    "black": ((0.0085, 0.0088, 0.0098), (0.019, 0.0185, 0.0185)),
    "red": ((0.120, 0.0085, 0.0100), (0.250, 0.022, 0.018)),
}


def bench(canvas: Canvas, rng: np.random.Generator) -> None:
    """A matt table top: a grey mat, pale laminate or old wood."""
    shape, mm = canvas.shape, canvas.mm
    kind = int(rng.integers(0, 3))
    if kind == 2:
        low = (max(shape[0], 2), max(shape[1] // 24, 2))
        coarse = resized(clouds(rng, low, 7 * mm, 5), (shape[1], shape[0]), cv2.INTER_CUBIC)
        rings = np.sin(coarse * 7 + np.linspace(0, 40, shape[0], dtype=np.float32)[:, None])
        fibre = speckle(rng, shape, max(0.03 * mm, 0.5), 40.0)
        pores = np.clip(fibre - 1.5, 0, 1) * np.clip(speckle(rng, shape, max(0.04 * mm, 0.5), 12.0), 0, 1.5)
        tone = 1 + 0.09 * rings + 0.10 * fibre + 0.10 * coarse - 0.5 * pores + 0.05 * speckle(rng, shape, 0.5)
        colour: Colour = (0.36, 0.235, 0.135)
        canvas.relief += np.asarray(0.012 * mm * fibre, np.float32)
    else:
        colour = (0.062, 0.078, 0.090) if kind == 0 else (0.46, 0.45, 0.43)
        tone = 1 + 0.035 * clouds(rng, shape, 30 * mm, 3) + 0.05 * speckle(rng, shape, max(0.06 * mm, 0.6))
    canvas.albedo[:] = np.clip(tone, 0.2, 2)[..., None].astype(np.float32) * np.array(colour, np.float32)
    canvas.gloss[:] = 0.012
    canvas.grain[:] = 0.16
    canvas.height[:] = -1.6


def bare_board(canvas: Canvas, rng: np.random.Generator, plan: Layout, box: PixelBox, colour: str) -> None:
    """Laminate, copper, solder mask, vias and silkscreen, before any part stands on it."""
    left, top, wide, tall = box
    mm, shape = canvas.mm, (tall, wide)
    copper = np.zeros(shape, np.uint8)
    for points, width in plan.traces:
        line = np.round(np.array(points) * mm * 16).astype(np.int32)
        cv2.polylines(copper, [line], False, 255, max(round(width * mm), 1), cv2.LINE_AA, 4)
    open_area = np.full(shape, 255, np.uint8)
    open_area[copper > 60] = 0
    for part in plan.parts:
        if part.kind not in {"label", "hole", "tab"}:
            x0, y0 = int((part.x - part.width / 2) * mm), int((part.y - part.height / 2) * mm)
            if part.kind in {"resistor", "ceramic", "tantalum", "row", "fingers"}:
                open_area[max(y0, 0) : int(y0 + part.height * mm), max(x0, 0) : int(x0 + part.width * mm)] = 0
    gap = np.asarray(cv2.distanceTransform(open_area, cv2.DIST_L2, 3), np.float32)
    pour = np.zeros(shape, np.uint8)
    for _ in range(6):
        # poured areas have 45-degree corners
        x, y = float(rng.uniform(0, wide)), float(rng.uniform(0, tall))
        w, h, c = float(rng.uniform(0.10, 0.28)) * wide, float(rng.uniform(0.10, 0.28)) * tall, 3 * mm
        polygon = [
            (x - w, y - h + c),
            (x - w + c, y - h),
            (x + w - c, y - h),
            (x + w, y - h + c),
            (x + w, y + h - c),
            (x + w - c, y + h),
            (x - w + c, y + h),
            (x - w, y + h - c),
        ]
        cv2.fillPoly(pour, [np.array(polygon, np.int32)], 255)
    pour[gap < 0.28 * mm] = 0
    sheet = np.maximum(cv2.GaussianBlur(pour, (0, 0), 0.6), copper).astype(np.float32) / np.float32(255)
    bare, plated = (np.array(c, np.float32) for c in COLOURS[colour])
    blurred = cv2.GaussianBlur(sheet, (0, 0), max(0.035 * mm, 0.5))
    weave_x = np.sin(np.arange(wide, dtype=np.float32) * np.float32(2 * np.pi / (0.42 * mm)))[None, :]
    weave_y = np.sin(np.arange(tall, dtype=np.float32) * np.float32(2 * np.pi / (0.48 * mm)))[:, None]
    tone = 1 + 0.05 * clouds(rng, shape, 14 * mm, 3) + 0.028 * speckle(rng, shape, max(0.05 * mm, 0.55))
    tone += (1 - blurred) * np.float32(0.05) * (weave_x * weave_y)
    albedo = (bare + blurred[..., None] * (plated - bare)) * np.maximum(tone, 0.3)[..., None].astype(np.float32)
    at = slice(top, top + tall), slice(left, left + wide)
    u = np.arange(wide, dtype=np.float32)[None, :] - np.float32((wide - 1) / 2)
    v = np.arange(tall, dtype=np.float32)[:, None] - np.float32((tall - 1) / 2)
    distance = rounded(u, v, wide / 2, tall / 2, 2.6 * mm)
    alpha = cover(distance)
    # the routed edge shows the laminate
    rim = np.clip((distance + np.float32(0.16 * mm)) / np.float32(0.05 * mm + 0.5), 0, 1)[..., None]
    albedo = albedo * (1 - rim) + rim * np.array((0.17, 0.155, 0.075), np.float32)
    canvas.albedo[at] += alpha[..., None] * (albedo - canvas.albedo[at])
    canvas.gloss[at] += alpha * (np.float32(0.022) - canvas.gloss[at])
    canvas.grain[at] += alpha * (np.float32(0.035) - canvas.grain[at])
    ripple = np.float32(0.006 * mm) * speckle(rng, shape, 0.5 * mm)
    edge = np.float32(0.10 * mm) * np.clip(-distance / np.float32(0.25 * mm), 0, 1)
    canvas.relief[at] += alpha * (blurred * np.float32(0.055 * mm) + ripple + edge - canvas.relief[at])
    canvas.height[at] += alpha * (0.0 - canvas.height[at])
    _vias(canvas, rng, plan, left, top, gap)
    _silk(canvas, rng, plan, left, top)


def _vias(canvas: Canvas, rng: np.random.Generator, plan: Layout, left: int, top: int, gap: Plane) -> None:
    mm = canvas.mm
    spots = list(plan.vias)
    for gx in np.arange(4, plan.width - 3, 4.0):
        for gy in np.arange(4, plan.height - 3, 4.0):
            x, y = gx + float(rng.normal(0, 0.3)), gy + float(rng.normal(0, 0.3))
            row, column = int(y * mm), int(x * mm)
            if row < gap.shape[0] and column < gap.shape[1] and gap[row, column] > 0.9 * mm and rng.random() < 0.5:
                spots.append((x, y))
    ring, hole = 0.34 * mm, 0.155 * mm
    for x, y in spots:
        cx, cy = left + x * mm, top + y * mm
        canvas.disc(cx, cy, ring, GOLD, inner=0.0, bevel=0.08 * mm, lift=0.05 * mm)
        canvas.disc(cx, cy, hole, HOLE)


def _silk(canvas: Canvas, rng: np.random.Generator, plan: Layout, left: int, top: int) -> None:
    """Part outlines, names, and the board's own name."""
    mm = canvas.mm
    sheet = np.zeros(canvas.shape, np.uint8)
    thick = max(round(0.13 * mm), 1)

    def box(x: float, y: float, width: float, height: float) -> None:
        corners = np.array(
            [
                (x - width / 2, y - height / 2),
                (x + width / 2, y - height / 2),
                (x + width / 2, y + height / 2),
                (x - width / 2, y + height / 2),
            ]
        )
        points = np.round((corners * mm + (left, top)) * 16).astype(np.int32)
        cv2.polylines(sheet, [points], True, 255, thick, cv2.LINE_AA, 4)

    def line(path: list[tuple[float, float]]) -> None:
        points = np.round((np.array(path) * mm + (left, top)) * 16).astype(np.int32)
        cv2.polylines(sheet, [points], False, 255, thick, cv2.LINE_AA, 4)

    for part in plan.parts:
        if part.kind in {"can", "coil", "crystal", "housing", "row", "button", "tantalum", "header"}:
            box(part.x, part.y, part.width + 0.5, part.height + 0.5)
        elif part.kind == "quad":
            for sx in (-1, 1):
                for sy in (-1, 1):
                    x, y, long = part.x + sx * part.width * 0.5, part.y + sy * part.height * 0.5, 1.9
                    line(
                        [(x - sx * long, y), (x, y), (x, y - sy * long)]
                        if sx + sy > -2
                        else [(x + long, y), (x, y + long)]
                    )
        elif part.kind in {"wide", "narrow"}:
            w, h = part.width / 2 + 0.3, part.height / 2 + 0.3
            ends = (
                [((-w, -h), (-w, h)), ((w, -h), (w, h))]
                if not part.upright
                else [((-w, -h), (w, -h)), ((-w, h), (w, h))]
            )
            for (ax, ay), (bx, by) in ends:
                line([(part.x + ax, part.y + ay), (part.x + bx, part.y + by)])
            cx, cy = (part.x - w - 0.5, part.y - h * 0.9) if part.upright else (part.x - w * 0.9, part.y + h + 0.4)
            cv2.circle(
                sheet,
                (round((left + cx * mm) * 16), round((top + cy * mm) * 16)),
                round(0.28 * mm * 16),
                255,
                -1,
                cv2.LINE_AA,
                4,
            )
        elif part.kind in {"resistor", "ceramic"} and part.count > 16:
            box(part.x, part.y, part.width + 0.35, part.height + 0.4)
        if part.name and part.kind != "tab":
            small = part.kind in {"resistor", "ceramic", "lamp"}
            cap = (0.75 if small else 1.05) * mm
            _stamp_text(
                sheet, part.name, left + part.x * mm, top + (part.y - part.height / 2) * mm - cap * 0.5 - 0.42 * mm, cap
            )
        elif part.kind == "tab":
            _stamp_text(
                sheet, part.name, left + part.x * mm, top + (part.y - part.height / 2) * mm - 1.1 * mm, 1.0 * mm
            )
        if part.kind == "hole":
            cv2.circle(
                sheet,
                (round((left + part.x * mm) * 16), round((top + part.y * mm) * 16)),
                round(3.1 * mm * 16),
                255,
                thick,
                cv2.LINE_AA,
                4,
            )
        if part.kind == "fingers":
            _stamp_text(sheet, "1", left + (part.x - part.width / 2 - 0.9) * mm, top + part.y * mm, 1.1 * mm)
            _stamp_text(
                sheet, f"{part.count}", left + (part.x + part.width / 2 + 1.4) * mm, top + part.y * mm, 1.1 * mm
            )
    title = f"{part_number(rng)}  REV {'ABCD'[int(rng.integers(4))]}"
    place = plan.find(rng, len(title) * 1.45, 2.4, 0.1, 400)
    if place is not None:
        _stamp_text(sheet, title, left + place[0] * mm, top + place[1] * mm, 1.7 * mm)
        plan.taken[plan.cells(*place, len(title) * 1.45, 2.4)] = True
    # ink is thin and uneven
    ink = (
        sheet.astype(np.float32)
        / np.float32(255)
        * np.clip(0.93 + 0.05 * speckle(rng, canvas.shape, max(0.05 * mm, 0.6)), 0, 1)
    )
    rows, columns = np.flatnonzero(sheet.any(1)), np.flatnonzero(sheet.any(0))
    if rows.size:
        at = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
        canvas.paint(at, np.asarray(ink[at], np.float32), INK, relief=canvas.relief[at] + np.float32(0.012 * mm))


def _stamp_text(sheet: NDArray[np.uint8], text: str, x: float, y: float, cap: float) -> None:
    mask = lettering(text, cap, 0.13)
    at, inside = clip(
        mask, round(y - mask.shape[0] / 2), round(x - mask.shape[1] / 2), (sheet.shape[0], sheet.shape[1])
    )
    if inside.size:
        sheet[at] = np.maximum(sheet[at], (inside * 255).astype(np.uint8))


def label_paper(canvas: Canvas, box: PixelBox) -> None:
    """The white paper of the label, before it is printed."""
    x, y, width, height = box
    paper = Material((0.80, 0.80, 0.785), 0.0, 0.02, 0.03)
    # the declared box lies just inside the paper, so all of it is label
    grow = max(0.25 * canvas.mm, 1.0)
    canvas.block(
        x + width / 2 - 0.5,
        y + height / 2 - 0.5,
        width + 2 * grow,
        height + 2 * grow,
        paper,
        radius=0.5 * canvas.mm,
        tall=0.12,
        bevel=0.1 * canvas.mm,
        lift=0.05 * canvas.mm,
    )
