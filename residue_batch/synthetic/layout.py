"""Where things stand on a board, and the copper between them; everything in mm from the board's top left."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

STEP = 0.5
_TURNS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))


@dataclass(frozen=True)
class Part:
    """One thing on the board: its kind, centre, size (all mm), and whether it stands upright."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    upright: bool = False
    count: int = 0
    name: str = ""


@dataclass
class Layout:
    """A board of ``width`` x ``height`` mm while it is being filled."""

    width: float
    height: float
    parts: list[Part] = field(default_factory=list)
    traces: list[tuple[list[tuple[float, float]], float]] = field(default_factory=list)
    vias: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        grid = (int(self.height / STEP) + 1, int(self.width / STEP) + 1)
        self.taken = np.zeros(grid, bool)
        self.copper = np.zeros(grid, bool)
        edge = int(1.5 / STEP)
        for sheet in (self.taken, self.copper):
            sheet[:edge], sheet[-edge:], sheet[:, :edge], sheet[:, -edge:] = True, True, True, True

    def cells(self, x: float, y: float, width: float, height: float) -> tuple[slice, slice]:
        top, bottom = int((y - height / 2) / STEP), int(np.ceil((y + height / 2) / STEP))
        left, right = int((x - width / 2) / STEP), int(np.ceil((x + width / 2) / STEP))
        return slice(max(top, 0), max(bottom, 0) + 1), slice(max(left, 0), max(right, 0) + 1)

    def put(self, part: Part, gap: float = 0.6, blocks: bool = True) -> None:
        """Place a part; ``blocks``: copper cannot run under it."""
        self.parts.append(part)
        self.taken[self.cells(part.x, part.y, part.width + 2 * gap, part.height + 2 * gap)] = True
        if blocks:
            self.copper[self.cells(part.x, part.y, part.width, part.height)] = True

    def find(
        self,
        rng: np.random.Generator,
        width: float,
        height: float,
        gap: float = 0.6,
        tries: int = 120,
        near: tuple[float, float, float] | None = None,
    ) -> tuple[float, float] | None:
        """A free place for a box, or None; ``near`` = (x, y, distance)."""
        for _ in range(tries):
            if near is None:
                x = float(rng.uniform(width / 2 + 2, self.width - width / 2 - 2)) if self.width > width + 4 else -1.0
                y = (
                    float(rng.uniform(height / 2 + 2, self.height - height / 2 - 2))
                    if self.height > height + 4
                    else -1.0
                )
            else:
                x = near[0] + float(rng.uniform(-near[2], near[2]))
                y = near[1] + float(rng.uniform(-near[2], near[2]))
            x, y = round(x * 2) / 2, round(y * 2) / 2
            if (
                x < width / 2 + 2
                or y < height / 2 + 2
                or x > self.width - width / 2 - 2
                or y > self.height - height / 2 - 2
            ):
                continue
            if not self.taken[self.cells(x, y, width + 2 * gap, height + 2 * gap)].any():
                return x, y
        return None

    def walk(self, x: float, y: float, heading: int, program: list[tuple[int, int]], wide: float) -> None:
        """Run a trace from (x, y) along the program of (steps, turn) until something is in the way; end it in a via."""
        column, line = round(x / STEP), round(y / STEP)
        points, heading_now = [(x, y), (column * STEP, line * STEP)], heading
        rows, columns = self.copper.shape
        moved = 0
        for steps, turn in program:
            stopped = False
            for _ in range(steps):
                dx, dy = _TURNS[heading_now % 8]
                c, r = column + dx, line + dy
                if not (0 <= r < rows and 0 <= c < columns) or self.copper[r, c]:
                    stopped = True
                    break
                if dx and dy and self.copper[r, column] and self.copper[line, c]:
                    stopped = True
                    break
                column, line = c, r
                self.copper[r, c] = True
                moved += 1
            points.append((column * STEP, line * STEP))
            if stopped:
                break
            heading_now += turn
        if moved >= 3:
            self.traces.append((points, wide))
            self.vias.append(points[-1])
            row, col = slice(max(line - 1, 0), line + 2), slice(max(column - 1, 0), column + 2)
            self.copper[row, col] = True


def lay_out(rng: np.random.Generator, width: float, height: float) -> Layout:
    """Fill a board of ``width`` x ``height`` mm."""
    plan = Layout(width, height)
    for x in (4.2, width - 4.2):
        for y in (4.2, height - 4.2):
            plan.put(Part("hole", x, y, 5.6, 5.6))
    _elements(plan, rng)
    label = plan.find(rng, 26, 8.5, near=(width * 0.5, height * 0.62, min(width, height) * 0.35), tries=300)
    lx, ly = label or (width * 0.5, height * 0.7)
    plan.put(Part("label", lx, ly, 26, 8.5), gap=0.8, blocks=False)
    fingers = int((width - 22) / 1.6)
    plan.put(Part("fingers", width / 2, height - 3.4, fingers * 1.6, 4.2, count=fingers), gap=0.8)
    count = int(min(height * 0.42, 36) / 2.54)
    plan.put(Part("header", 5.2, height * 0.5, 5.2, count * 2.54, True, count), gap=0.8)
    wanted: list[tuple[str, float, float, int]] = [
        ("quad", 17.6, 17.6, 25),
        ("quad", 13.6, 13.6, 16),
        ("wide", 12.5, 10.8, 20),
        ("wide", 14.0, 10.8, 22),
        ("wide", 10.0, 10.8, 16),
        ("can", 9.2, 8.6, 0),
        ("can", 9.2, 8.6, 0),
        ("narrow", 9.4, 6.6, 14),
        ("narrow", 9.4, 6.6, 14),
        ("crystal", 11.4, 4.8, 0),
        ("coil", 7.6, 6.4, 0),
        ("housing", 10.6, 5.4, 4),
        ("narrow", 5.6, 6.6, 8),
        ("narrow", 5.6, 6.6, 8),
        ("can", 7.4, 6.8, 1),
        ("row", 8 * 2.54, 2.6, 8),
        ("row", 10 * 2.54, 2.6, 10),
        ("button", 8.6, 6.4, 0),
        ("tantalum", 5.4, 3.2, 0),
        ("tantalum", 5.4, 3.2, 0),
        ("tantalum", 5.4, 3.2, 0),
        ("narrow", 5.6, 6.6, 8),
        ("lamp", 3.2, 1.6, 0),
        ("lamp", 3.2, 1.6, 0),
    ]
    numbers = {
        "can": 20,
        "quad": 1,
        "wide": 3,
        "narrow": 8,
        "coil": 1,
        "housing": 2,
        "crystal": 1,
        "row": 5,
        "button": 1,
        "tantalum": 30,
        "lamp": 1,
    }
    letters = {
        "can": "C",
        "quad": "U",
        "wide": "U",
        "narrow": "U",
        "coil": "L",
        "housing": "J",
        "crystal": "Y",
        "row": "J",
        "button": "SW",
        "tantalum": "C",
        "lamp": "D",
    }
    for kind, long, short, pins in wanted:
        upright = bool(rng.random() < 0.45) and kind not in {"can", "button", "crystal", "coil", "lamp"}
        w, h = (short, long) if upright else (long, short)
        # a strip above each part is kept for its name
        place = plan.find(rng, w, h + 1.8)
        if place is None:
            continue
        name = f"{letters[kind]}{numbers[kind]}"
        numbers[kind] += 1
        plan.put(Part(kind, place[0], place[1] + 0.9, w, h, upright, pins, name), blocks=kind in {"row", "housing"})
    _chips(plan, rng)
    _tracks(plan, rng)
    return plan


def _elements(plan: Layout, rng: np.random.Generator) -> None:
    per_row = 6 if plan.width >= 78 else 3
    rows = 6 // per_row
    pitch = min((plan.width - 18) / per_row, 14.0)
    tall = min(11.5, (plan.height - 12) / (3.2 * rows))
    wide = min(pitch - 3.0, 9.2)
    start = (plan.width - pitch * (per_row - 1)) / 2 + float(rng.uniform(-2, 2))
    first = tall / 2 + 5.0 + float(rng.uniform(0, 2.5))
    for i in range(6):
        x, y = start + pitch * (i % per_row), first + (i // per_row) * (tall + 4.0)
        plan.put(Part("tab", x, y, wide, tall, name=f"E{i + 1}"), gap=0.9)


def _chips(plan: Layout, rng: np.random.Generator) -> None:
    hosts = [p for p in plan.parts if p.kind in {"quad", "wide", "narrow", "coil", "crystal", "tab"}]
    numbers = {True: 10, False: 40}
    for k in range(260):
        long = (2.0, 1.6, 2.0, 3.2, 1.6)[int(rng.integers(5))]
        upright = bool(rng.random() < 0.5)
        w, h = (long * 0.6, long * 1.45) if upright else (long * 1.45, long * 0.6)
        near = None
        if k % 5 < 4 and hosts:
            host = hosts[int(rng.integers(len(hosts)))]
            near = (host.x, host.y, max(host.width, host.height) / 2 + 4)
        place = plan.find(rng, w, h + 1.2, 0.3, 40, near)
        if place is None:
            continue
        resistor = bool(rng.random() < 0.5)
        name = f"{'R' if resistor else 'C'}{numbers[resistor]}"
        numbers[resistor] += 1
        # parts of one function stand in rows: repeat it beside itself while there is room
        for i in range(int(rng.integers(1, 4))):
            x = place[0] + i * (w + 0.9)
            if i and (x + w / 2 + 2 > plan.width or plan.taken[plan.cells(x, place[1], w + 0.2, h + 1.0)].any()):
                break
            plan.put(
                Part(
                    "resistor" if resistor else "ceramic",
                    x,
                    place[1] + 0.55,
                    w,
                    h,
                    upright,
                    int(long * 10),
                    name if i == 0 else "",
                ),
                0.3,
            )


def _tracks(plan: Layout, rng: np.random.Generator) -> None:
    for part in plan.parts:
        if part.kind in {"quad", "wide", "narrow"}:
            _fan(plan, rng, part)
    for part in plan.parts:
        if part.kind in {"resistor", "ceramic", "tantalum"}:
            dx, dy = (0.0, part.height / 2 + 0.5) if part.upright else (part.width / 2 + 0.5, 0.0)
            for sign in (-1, 1):
                heading = (2 if sign > 0 else 6) if part.upright else (0 if sign > 0 else 4)
                program = [
                    (int(rng.integers(1, 5)), int(rng.choice([-1, 1]))),
                    (int(rng.integers(2, 12)), int(rng.choice([-1, 1]))),
                    (int(rng.integers(2, 20)), 0),
                ]
                plan.walk(part.x + sign * dx, part.y + sign * dy, heading, program, 0.28)
    for _ in range(90):
        x, y = float(rng.uniform(3, plan.width - 3)), float(rng.uniform(3, plan.height - 3))
        heading, turn = 2 * int(rng.integers(4)), int(rng.choice([-1, 1]))
        program = [
            (int(rng.integers(8, 40)), turn),
            (int(rng.integers(3, 16)), -turn),
            (int(rng.integers(8, 50)), turn),
            (12, 0),
        ]
        lanes = int(rng.integers(1, 8))
        for lane in range(lanes):
            ox, oy = (0.0, lane * STEP) if heading % 4 == 0 else (lane * STEP, 0.0)
            column, line = round((x + ox) / STEP), round((y + oy) / STEP)
            if line < plan.copper.shape[0] and column < plan.copper.shape[1] and not plan.copper[line, column]:
                before = len(plan.vias)
                plan.walk(x + ox, y + oy, heading, program, 0.2)
                if len(plan.vias) > before:
                    plan.vias.append((column * STEP, line * STEP))


def _fan(plan: Layout, rng: np.random.Generator, part: Part) -> None:
    """Traces outward and inward from each side that carries leads."""
    quad = part.kind == "quad"
    pitch = (0.5 if part.width > 15 else 0.65) if quad else 1.27
    per = part.count if quad else part.count // 2
    sides = ((0, 1), (4, -1), (2, 1), (6, -1)) if quad else (((0, 1), (4, -1)) if part.upright else ((2, 1), (6, -1)))
    for heading, sign in sides:
        turn = int(rng.choice([-1, 1]))
        base, second = int(rng.integers(2, 7)), int(rng.integers(4, 16))
        for k in range(per):
            along = (k - (per - 1) / 2) * pitch
            off = (part.width if heading % 4 == 0 else part.height) / 2 * sign + 0.2 * sign
            x, y = (part.x + off, part.y + along) if heading % 4 == 0 else (part.x + along, part.y + off)
            if rng.random() < 0.85:
                order = k if turn * sign * (1 if heading % 4 == 0 else -1) > 0 else per - 1 - k
                program = [
                    (base + order // 2, turn),
                    (second, -turn),
                    (int(rng.integers(4, 30)), turn),
                    (int(rng.integers(2, 20)), 0),
                ]
                plan.walk(x, y, heading, program, 0.2)
            if not quad and rng.random() < 0.5:
                plan.walk(
                    x - 3 * sign if heading % 4 == 0 else x,
                    y if heading % 4 == 0 else y - 3 * sign,
                    (heading + 4) % 8,
                    [(int(rng.integers(2, 6)), turn), (int(rng.integers(1, 8)), 0)],
                    0.2,
                )
