"""White residue as opacity: where it lies, what it looks like, and what a cleaner leaves of it."""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.synthetic.canvas import Plane, blurred, clip, clouds

KINDS = ("crystal", "film", "haze", "spatter")
_SHARE = (0.60, 0.08, 0.14, 0.18)
_THICKEST = 0.96


class Ground(Protocol):
    """What residue lies on: a rendered board, or a photographed one.

    ``sites`` are the places it gathers around, [x, y, half width, half
    height]; ``mm`` is px per millimetre; ``seed`` keeps two grounds apart.
    """

    @property
    def seed(self) -> int: ...
    @property
    def mm(self) -> float: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def outline(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def sites(self) -> tuple[tuple[float, float, float, float], ...]: ...
    def counted(self) -> NDArray[np.bool_]:
        """Pixels that the truth is about, bool (H, W)."""
        ...

    def soil(self) -> NDArray[np.bool_]:
        """Where residue may lie, bool (H, W)."""
        ...


def plant_residue(board: Ground, seed: int, amount: float = 0.08, kinds: tuple[str, ...] = KINDS) -> Plane:
    """Opacity of the residue on a board as it left soldering, float32 (H, W) in 0 .. 0.96.

    Parameters
    ----------
    board
        Where it lies: around joints and metal mostly, on bodies too, never
        on the label, in holes or outside the outline.
    seed
        Which deposits.
    amount
        Mean opacity over ``board.counted()``, met to a few per cent.
    kinds
        Which sorts of deposit: ``crystal``, ``film``, ``haze``, ``spatter``.
    """
    if not 0 <= amount <= 0.5:
        raise UsageError(f"amount is a mean opacity in 0 .. 0.5, not {amount}")
    unknown = set(kinds) - set(KINDS)
    if unknown or not kinds:
        raise UsageError(
            f"no such kind of residue: {', '.join(sorted(unknown)) or 'none given'}; there are {', '.join(KINDS)}"
        )
    opacity: Plane = np.zeros(board.shape, np.float32)
    if amount == 0:
        return opacity
    rng = np.random.default_rng([seed, 11, board.seed])
    counted = board.counted()
    place = board.soil()
    needed = amount * float(counted.sum())
    share = np.array([_SHARE[KINDS.index(k)] for k in kinds])
    total = 0.0
    for _ in range(6000):
        if total >= needed:
            break
        kind = kinds[int(rng.choice(len(kinds), p=share / share.sum()))]
        x, y, rx, ry = _spot(board, rng, kind)
        patch = _DRAW[kind](rng, rx, ry, board.mm)
        at, inside = clip(patch, round(y - patch.shape[0] / 2), round(x - patch.shape[1] / 2), board.shape)
        if inside.size == 0:
            continue
        new = inside * place[at]
        before = opacity[at]
        joined = before + new - before * new
        total += float(((joined - before) * counted[at]).sum())
        opacity[at] = joined
    if total > 0:
        opacity = np.asarray(opacity * np.float32(min(needed / total, 1.15)), np.float32)
    return np.asarray(np.minimum(opacity, np.float32(_THICKEST)), np.float32)


def clean_residue(board: Ground, opacity: Plane, seed: int, efficiency: float = 0.9, redeposit: float = 0.0) -> Plane:
    """Opacity after cleaning, float32 (H, W).

    Most deposits go, some stay untouched, the rest leaves a faint haze.

    Parameters
    ----------
    board, opacity
        The board and what lay on it.
    seed
        Which deposits stay.
    efficiency
        Share of the load that goes, met to about a point (before ``redeposit``).
    redeposit
        Share of the load before that settles elsewhere, as faint haze and spots.
    """
    if not 0 <= efficiency <= 1 or not 0 <= redeposit <= 1:
        raise UsageError(f"efficiency and redeposit are shares in 0 .. 1, not {efficiency} and {redeposit}")
    if efficiency == 0 and redeposit == 0:
        return opacity.copy()
    rng = np.random.default_rng([seed, 13, board.seed])
    total = float(opacity.sum(dtype=np.float64))
    remaining = (1 - efficiency) * total
    after = np.zeros_like(opacity)
    if remaining > 0:
        keep = _kept(rng, opacity, board.mm, 0.72 * remaining)
        after = opacity * keep
        film = cv2.GaussianBlur(opacity * (1 - keep), (0, 0), 0.35 * board.mm)
        film = film * np.clip(0.6 + 0.5 * clouds(rng, board.shape, 9 * board.mm, 2), 0, 2) * board.soil()
        rest = remaining - float(after.sum(dtype=np.float64))
        after += film * np.float32(max(rest, 0.0) / max(float(film.sum(dtype=np.float64)), 1e-9))
    if redeposit:
        mean = redeposit * total / max(int(board.counted().sum()), 1)
        new = plant_residue(board, int(rng.integers(2**31)), min(mean, 0.5), ("haze", "spatter"))
        after += new - after * new
    return np.asarray(np.clip(after, 0, _THICKEST), np.float32)


def _kept(rng: np.random.Generator, opacity: Plane, mm: float, target: float) -> Plane:
    """A field in 0 .. 1 whose product with ``opacity`` sums to ``target``: few patches whole, most gone."""
    height, width = opacity.shape
    factor = max(int(mm / 5), 1)
    small = (max(height // factor, 2), max(width // factor, 2))
    count = max(int(height * width / (3.6 * mm) ** 2), 8)
    seeds = np.full(small, 255, np.uint8)
    seeds[rng.integers(0, small[0], count), rng.integers(0, small[1], count)] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    warp = [clouds(rng, small, 1.6 * mm / factor, 3) * np.float32(0.45 * mm / factor) for _ in range(2)]
    mx = np.clip(warp[0] + np.arange(small[1], dtype=np.float32)[None, :], 0, small[1] - 1).astype(np.int32)
    my = np.clip(warp[1] + np.arange(small[0], dtype=np.float32)[:, None], 0, small[0] - 1).astype(np.int32)
    labels = labels[my, mx]
    weight = cv2.resize(opacity, (small[1], small[0]), interpolation=cv2.INTER_AREA)
    sums = np.bincount(labels.ravel(), weight.ravel(), minlength=int(labels.max()) + 1)
    loads = np.asarray(sums, np.float64) * (float(opacity.sum(dtype=np.float64)) / max(float(sums.sum()), 1e-9))
    keep = np.zeros(loads.size, np.float32)
    left = target
    for index in rng.permutation(loads.size):
        if loads[index] <= 0 or left <= 0:
            continue
        part = float(rng.choice([0.35, 0.7, 1.0], p=[0.3, 0.3, 0.4]))
        keep[index] = min(part, left / loads[index])
        left -= keep[index] * loads[index]
    field = cv2.resize(keep[labels], (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(field, (0, 0), max(0.08 * mm, 0.5)), np.float32)


def _spot(board: Ground, rng: np.random.Generator, kind: str) -> tuple[float, float, float, float]:
    """A centre and half axes, px: along a row of joints mostly, anywhere sometimes."""
    mm = board.mm
    if board.sites and rng.random() < (0.82 if kind in {"crystal", "film"} else 0.45):
        x, y, w, h = board.sites[int(rng.integers(len(board.sites)))]
        cx, cy = x + float(rng.uniform(-1, 1)) * w, y + float(rng.uniform(-1, 1)) * h
        stretch = float(rng.uniform(1.0, 1.9))
        along = w > h
    else:
        xs, ys = zip(*board.outline, strict=True)
        cx, cy = float(rng.uniform(min(xs), max(xs))), float(rng.uniform(min(ys), max(ys)))
        stretch, along = float(rng.uniform(1, 1.5)), bool(rng.random() < 0.5)
    size = {
        "crystal": rng.lognormal(0.42, 0.45),
        "film": rng.uniform(1.2, 3.6),
        "haze": rng.uniform(3, 9),
        "spatter": rng.uniform(1.5, 4.5),
    }[kind]
    rx = ry = float(np.clip(size, 0.6, 9)) * mm
    return (cx, cy, rx * stretch, ry) if along else (cx, cy, rx, ry * stretch)


def _grid(rx: float, ry: float) -> tuple[Plane, Plane, tuple[int, int]]:
    """Coordinates in half axes over a patch a little larger than the ellipse."""
    width, height = max(int(3.2 * rx), 4), max(int(3.2 * ry), 4)
    u = np.linspace(-1.6, 1.6, width, dtype=np.float32)[None, :]
    v = np.linspace(-1.6, 1.6, height, dtype=np.float32)[:, None]
    return u, v, (height, width)


def _blob(
    rng: np.random.Generator, rx: float, ry: float, ragged: float, detail: float
) -> tuple[Plane, tuple[int, int]]:
    """An irregular patch: positive inside, about 1 in its middle, 0 at its ragged border."""
    u, v, shape = _grid(rx, ry)
    field = 1 - np.hypot(u, v) + np.float32(ragged) * clouds(rng, shape, detail, 4)
    border = np.minimum(1.6 - np.abs(u), 1.6 - np.abs(v))
    return np.asarray(np.minimum(field, border), np.float32), shape


def _crystal(rng: np.random.Generator, rx: float, ry: float, mm: float) -> Plane:
    """A cluster of angular grains, thickest in the middle, on a powdery ground."""
    field, shape = _blob(rng, rx, ry, 0.30, 0.9 * min(rx, ry))
    density = np.clip(field * 1.5, 0, 1)
    thick = float(rng.uniform(0.35, 0.95))
    powder = density * np.clip(
        0.42 + 0.30 * speckle_patch(rng, shape, 0.05 * mm) + 0.25 * clouds(rng, shape, 0.5 * mm, 3), 0, 1
    )
    sheet = np.zeros(shape, np.uint8)
    count = int(min(rx * ry / (mm * mm) * 75, 1500))
    where = rng.integers(0, (shape[0], shape[1]), (count, 2))
    accept = rng.random(count) < density[where[:, 0], where[:, 1]] ** 1.3
    sizes = np.clip(rng.lognormal(-2.35, 0.55, count), 0.03, 0.42) * mm
    turns, bright = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.35, 1.0, count)
    corners = rng.integers(3, 6, count)
    for k in np.flatnonzero(accept):
        n = int(corners[k])
        angle = turns[k] + np.arange(n) * (2 * np.pi / n) + rng.uniform(-0.5, 0.5, n)
        reach = sizes[k] * rng.uniform(0.45, 1.25, n)
        points = np.stack([where[k, 1] + reach * np.cos(angle), where[k, 0] + reach * np.sin(angle)], -1)
        cv2.fillConvexPoly(sheet, np.round(points * 8).astype(np.int32), int(255 * bright[k]), cv2.LINE_AA, 3)
    grains = sheet.astype(np.float32) / np.float32(255) * np.clip(0.45 + density, 0, 1)
    return np.asarray(np.float32(thick) * np.clip(0.62 * powder + 0.80 * grains, 0, 1), np.float32)


def speckle_patch(rng: np.random.Generator, shape: tuple[int, int], sigma: float) -> Plane:
    """Fine noise of sd 1 for one patch."""
    noise = rng.standard_normal(shape, dtype=np.float32)
    if sigma < 0.3:
        return noise
    noise = blurred(noise, sigma)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _film(rng: np.random.Generator, rx: float, ry: float, mm: float) -> Plane:
    """A dried film that cracked into plates with lifted rims."""
    field, shape = _blob(rng, rx, ry, 0.22, 1.2 * min(rx, ry))
    cell = float(rng.uniform(0.55, 1.1)) * mm
    count = int(np.clip(shape[0] * shape[1] / cell**2, 4, 90))
    seeds = rng.uniform(0, (shape[0], shape[1]), (count, 2)).astype(np.float32)
    rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(0.10 * cell) * clouds(rng, shape, 0.7 * cell, 3)
    columns = np.arange(shape[1], dtype=np.float32)[None, :] + np.float32(0.10 * cell) * clouds(
        rng, shape, 0.7 * cell, 3
    )
    first, second = np.full(shape, 1e9, np.float32), np.full(shape, 1e9, np.float32)
    owner = np.zeros(shape, np.int32)
    for k, (r, c) in enumerate(seeds):
        distance = np.hypot(rows - r, columns - c)
        closer = distance < first
        second = np.where(closer, first, np.minimum(second, distance))
        first = np.where(closer, distance, first)
        owner[closer] = k
    gap = (second - first) / np.float32(2)
    plate = np.clip((gap - 0.025 * mm) / (0.05 * mm + 0.4), 0, 1)
    rim = np.exp(-(((gap - 0.11 * mm) / (0.07 * mm + 0.4)) ** 2))
    tone = rng.uniform(0.45, 1.0, count).astype(np.float32)[owner]
    # plates near the border have flaked off here and there
    gone = (rng.random(count) < 0.12)[owner]
    inside = np.clip(field / 0.12, 0, 1)
    strength = float(rng.uniform(0.22, 0.55))
    texture = np.clip(1 + 0.16 * speckle_patch(rng, shape, 0.06 * mm) + 0.15 * clouds(rng, shape, 0.8 * mm, 3), 0.2, 2)
    sheet = strength * inside * (plate * tone * texture + 0.45 * rim) * np.where(gone, 0.12, 1)
    return np.asarray(np.clip(sheet, 0, 0.9), np.float32)


def _haze(rng: np.random.Generator, rx: float, ry: float, mm: float) -> Plane:
    """A faint veil with soft borders and drying lines."""
    field, shape = _blob(rng, rx, ry, 0.35, 1.1 * min(rx, ry))
    strength = float(rng.uniform(0.04, 0.22))
    soft = np.clip(field, 0, 1)
    soft = soft * soft * (3 - 2 * soft)
    line = 0.5 * np.exp(-(((field - 0.16) / 0.035) ** 2))
    texture = np.clip(0.85 + 0.30 * clouds(rng, shape, 1.5 * mm, 4) + 0.07 * speckle_patch(rng, shape, 0.05 * mm), 0, 2)
    return np.asarray(strength * np.clip((soft + line * float(rng.uniform(0, 1))) * texture, 0, 2), np.float32)


def _spatter(rng: np.random.Generator, rx: float, ry: float, mm: float) -> Plane:
    """Dried droplets: paler inside, with a bright ring."""
    _, _, shape = _grid(rx, ry)
    sheet = np.zeros(shape, np.uint8)
    for _ in range(int(rng.integers(8, 45))):
        x, y = shape[1] * (0.5 + 0.14 * rng.standard_normal()), shape[0] * (0.5 + 0.14 * rng.standard_normal())
        radius = float(np.clip(rng.lognormal(-1.9, 0.55), 0.05, 0.5)) * mm
        centre, size = (round(x * 16), round(y * 16)), max(round(radius * 16), 8)
        bright = float(rng.uniform(0.25, 0.9))
        cv2.circle(sheet, centre, size, int(255 * bright * 0.45), -1, cv2.LINE_AA, 4)
        cv2.circle(sheet, centre, round(size * 0.86), int(255 * bright), max(round(radius * 0.28), 1), cv2.LINE_AA, 4)
    sheet[0], sheet[-1], sheet[:, 0], sheet[:, -1] = 0, 0, 0, 0
    texture = np.clip(0.85 + 0.2 * speckle_patch(rng, shape, 0.06 * mm), 0.2, 1.2)
    return np.asarray(sheet.astype(np.float32) / np.float32(255) * texture * np.float32(0.8), np.float32)


_DRAW = {"crystal": _crystal, "film": _film, "haze": _haze, "spatter": _spatter}
