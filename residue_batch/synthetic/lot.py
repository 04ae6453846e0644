"""A lot of boards on disk, with what is true of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from residue_batch.errors import UsageError
from residue_batch.synthetic.bare import PixelBox
from residue_batch.synthetic.board import BAR, Board, render_board
from residue_batch.synthetic.camera import DIFFICULTIES, Shot, photograph, photograph_card, uneven_light, write_shot
from residue_batch.synthetic.canvas import Plane
from residue_batch.synthetic.residue import clean_residue, plant_residue

BOARD_KINDS = ("reduce", "null", "worse", "blank", "truncated", "unpaired", "swapped", "other_board")
FORMATS = {"jpg": (".jpg", 8), "png": (".png", 8), "png16": (".png", 16), "tif": (".tif", 8), "tif16": (".tif", 16)}


@dataclass(frozen=True)
class Truth:
    """What is true of one area: mean opacity before and after, and the reduction in per cent.

    ``reduction_pct`` is None where there was nothing before.
    """

    pixels: int
    load_before: float
    load_after: float
    reduction_pct: float | None


@dataclass(frozen=True)
class BoardTruth:
    """One board of a lot: its files (None if withheld) and its truth per region; ``whole`` is the first."""

    board: str
    kind: str
    before: str | None
    after: str | None
    regions: Mapping[str, Truth]
    before_matrix: tuple[float, ...]
    after_matrix: tuple[float, ...]

    @property
    def whole(self) -> Truth:
        return self.regions["whole"]


@dataclass(frozen=True)
class LotTruth:
    """A written lot. Geometry is in px of the golden shot: points [x, y], boxes [x, y, width, height]."""

    folder: str
    lot: str
    golden: str
    shape: tuple[int, int]
    colour: str
    difficulty: str
    outline: tuple[tuple[int, int], ...]
    label: PixelBox
    elements: tuple[PixelBox, ...]
    bars: tuple[PixelBox, ...]
    bar_share: float
    pixel_size_um: float
    boards: tuple[BoardTruth, ...]


def areas(board: Board) -> dict[str, NDArray[np.bool_]]:
    """The counted pixels of each region: ``whole``, ``elements`` and each element, bool (H, W)."""
    counted = board.counted()
    found = {"whole": counted, "elements": np.zeros_like(counted)}
    for number, (x, y, width, height) in enumerate(board.elements, 1):
        single = np.zeros_like(counted)
        single[y : y + height, x : x + width] = counted[y : y + height, x : x + width]
        found["elements"] |= single
        found[f"element_{number}"] = single
    return found


def true_reduction(board: Board, before: Plane, after: Plane) -> dict[str, Truth]:
    """The truth of a pair per region: over the outline minus the label minus the white bars."""
    if before.shape != board.shape or after.shape != board.shape:
        raise UsageError(f"opacities of {before.shape} and {after.shape} do not fit a board of {board.shape}")
    result = {}
    for name, mask in areas(board).items():
        pixels = int(mask.sum())
        a, b = (float(sheet[mask].mean(dtype=np.float64)) if pixels else 0.0 for sheet in (before, after))
        result[name] = Truth(pixels, a, b, 100 * (1 - b / a) if a > 0 else None)
    return result


def write_lot(
    folder: str | Path,
    boards: int = 8,
    seed: int = 0,
    shape: tuple[int, int] = (1500, 2000),
    difficulty: str = "medium",
    format: str = "jpg",  # noqa: A002  the word of the files
    kinds: Sequence[str] = ("reduce",),
    colour: str = "green",
    lot: str = "lot",
    uneven: float = 0.0,
) -> LotTruth:
    """Photograph a lot before and after cleaning and write it with its truth.

    Writes ``golden.*``, ``shots/<lot>/<board>_<phase>.*`` and ``truth.json``; in uneven light ``card.*`` too.

    Parameters
    ----------
    folder
        Where to; made if need be.
    boards
        How many boards.
    seed
        The board type and everything else.
    shape
        Rows and columns of every shot.
    difficulty
        ``fixed``, ``easy``, ``medium`` or ``hard``.
    format
        ``jpg``, ``png``, ``png16``, ``tif`` or ``tif16``.
    kinds
        What happens to each board, repeated to the number of boards:
        ``reduce`` cleaned, ``null`` not cleaned, ``worse`` more after than
        before, ``blank`` clean both times, ``truncated`` after-file cut short,
        ``unpaired`` no after-file, ``swapped`` phases exchanged,
        ``other_board`` the after-shot shows another board type.
    colour
        Solder mask.
    lot
        Name of the lot.
    uneven
        How much less light there is where there is least, in every photograph, the golden shot and that of the card.
    """
    if format not in FORMATS:
        raise UsageError(f"no such format: {format!r}; there are {', '.join(FORMATS)}")
    unknown = sorted(set(kinds) - set(BOARD_KINDS))
    if unknown or not kinds:
        raise UsageError(
            f"no such kind of board: {', '.join(unknown) or 'none given'}; there are {', '.join(BOARD_KINDS)}"
        )
    if boards < 1:
        raise UsageError(f"a lot has at least one board, not {boards}")
    root = Path(folder)
    suffix, bits = FORMATS[format]
    golden = render_board(seed, shape, colour)
    quality = DIFFICULTIES.get(difficulty, DIFFICULTIES["medium"]).quality
    lamps = uneven_light(shape, uneven) if uneven else None
    write_shot(root / f"golden{suffix}", photograph(golden, None, seed, "fixed", bits, lamps).pixels, 95)
    if lamps is not None:
        write_shot(root / f"card{suffix}", photograph_card(shape, seed, lamps, bits), 95)
    rows = []
    for index in range(boards):
        kind = kinds[index % len(kinds)]
        rows.append(_write_board(root, seed, index, kind, shape, colour, difficulty, lot, suffix, bits, quality, lamps))
    truth = LotTruth(
        str(root),
        lot,
        f"golden{suffix}",
        golden.shape,
        colour,
        difficulty,
        golden.outline,
        golden.label,
        golden.elements,
        golden.bars,
        BAR,
        round(1000 / golden.mm, 2),
        tuple(rows),
    )
    plain = {k: v for k, v in asdict(truth).items() if k != "folder"}
    (root / "truth.json").write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return truth


def _write_board(
    root: Path,
    seed: int,
    index: int,
    kind: str,
    shape: tuple[int, int],
    colour: str,
    difficulty: str,
    lot: str,
    suffix: str,
    bits: int,
    quality: int,
    lamps: Plane | None,
) -> BoardTruth:
    rng = np.random.default_rng([seed, 19, index])
    board = render_board(seed, shape, colour, index + 1)
    name = f"B{index + 1:03d}"
    before = plant_residue(board, int(rng.integers(2**31)), 0.0 if kind == "blank" else float(rng.uniform(0.045, 0.10)))
    after = _after(board, before, kind, rng)
    shots = {
        p: photograph(board, a, int(rng.integers(2**31)), difficulty, bits, lamps)
        for p, a in (("before", before), ("after", after))
    }
    if kind == "other_board":
        stranger = render_board(seed + 1000, shape, colour, 1)
        shots["after"] = photograph(
            stranger, plant_residue(stranger, index, 0.01), int(rng.integers(2**31)), difficulty, bits, lamps
        )
    names: dict[str, str | None] = {}
    for phase in ("before", "after"):
        if kind == "unpaired" and phase == "after":
            names[phase] = None
            continue
        shown = {"before": "after", "after": "before"}[phase] if kind == "swapped" else phase
        relative = f"shots/{lot}/{name}_{phase}{suffix}"
        write_shot(root / relative, shots[shown].pixels, quality)
        if kind == "truncated" and phase == "after":
            whole = (root / relative).read_bytes()
            (root / relative).write_bytes(whole[: len(whole) * 2 // 5])
        names[phase] = relative
    return BoardTruth(
        name,
        kind,
        names["before"],
        names["after"],
        true_reduction(board, before, after),
        _row_major(shots["before"]),
        _row_major(shots["after"]),
    )


def _after(board: Board, before: Plane, kind: str, rng: np.random.Generator) -> Plane:
    """What lies on the board at the second shot."""
    if kind in {"null", "blank"}:
        return before
    if kind == "worse":
        new = plant_residue(board, int(rng.integers(2**31)), float(rng.uniform(0.01, 0.03)))
        return np.asarray(before + new - before * new, np.float32)
    efficiency, back = float(rng.choice([0.72, 0.85, 0.92, 0.96, 0.985])), float(rng.choice([0.0, 0.0, 0.01]))
    return clean_residue(board, before, int(rng.integers(2**31)), efficiency, back)


def _row_major(shot: Shot) -> tuple[float, ...]:
    return tuple(float(v) for v in shot.matrix.ravel())
