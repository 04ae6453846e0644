"""A small rendered lot, its board types and workflows as YAML: what most tests measure."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from residue_batch.board import Board, Setting
from residue_batch.compiler import compile_program
from residue_batch.config import Workflow, load_board_type, load_workflow
from residue_batch.files import PhotoFile
from residue_batch.prepare import setting_of
from residue_batch.program import AFTER, BEFORE, Program
from residue_batch.synthetic import LotTruth, write_lot

SHAPE = (360, 480)

FLUX = """
schema: 1
workflow: flux
planes:
  opacity: {step: unmix}
  glare: {step: glare, of: raw, above: 0.94, grow: 5 px}
exclude: [glare]
measures:
  load: {measure: load, of: opacity}
  area: {measure: area, of: opacity, tau: [0.05, 0.2], main: 0.05}
"""

FITTED = """
schema: 1
workflow: fitted
planes:
  opacity: {step: unmix}
  film: {step: background, of: opacity, cell: 16 px, sigma: 40 px}
  detail: {step: difference, of: [opacity, film]}
  spots: {step: threshold, of: detail, level: 0.06}
measures:
  load: {measure: load, of: opacity}
  film: {measure: load, of: film}
  spots: {measure: intensity, of: opacity, where: spots}
"""

HALO = """
schema: 1
workflow: halo
planes:
  opacity: {step: unmix}
  glare: {step: glare, of: raw, above: 0.94, grow: 5 px}
  smooth: {step: gaussian, of: opacity, sigma: 3 px}
  residue: {step: threshold, of: smooth, level: 0.05}
  opened: {step: open, of: residue, radius: 2.5 px}
  grown: {step: dilate, of: opened, radius: 4 px}
  seen: {step: and, of: [grown, observable]}
exclude: [glare]
measures:
  load: {measure: load, of: opacity}
  under: {measure: intensity, of: smooth, where: seen}
  area: {measure: area, of: smooth}
"""

# every shipped step, wired so that each one decides a number
EVERY_STEP = """
schema: 1
workflow: every step
planes:
  opacity: {step: unmix}
  glare: {step: glare, of: raw, above: 0.94, grow: 5 px}
  bright: {step: luma, of: raw}
  green: {step: channel, of: image, name: green}
  pale: {step: whiteness, of: image}
  warm: {step: lab, of: image, which: b}
  film: {step: background, of: opacity, cell: 16 px, sigma: 40 px}
  detail: {step: difference, of: [opacity, film]}
  coarse: {step: background, of: detail, cell: 24 px, sigma: 50 px}
  rest: {step: difference, of: [detail, coarse]}
  smooth: {step: gaussian, of: rest, sigma: 2 px, where: seen}
  spots: {step: threshold, of: smooth, level: 0.02}
  crystals: {step: open, of: spots, radius: 1.5 px}
  filled: {step: close, of: crystals, radius: 3 px}
  thick: {step: erode, of: filled, radius: 1 px, shape: square}
  around: {step: dilate, of: thick, radius: 4 px}
  bare: {step: not, of: around}
  lit: {step: threshold, of: bright, level: 0.2}
  visible: {step: contrast}
  foreign: {step: moved, above: 0.02, size: 1 px}
  split: {step: otsu, of: rest, fit_on: before}
  grains: {step: area_opening, of: split, smallest: 5 px2, connectivity: 4}
  either: {step: or, of: [thick, lit, foreign, grains]}
  seen: {step: and, of: [outline, visible]}
  chosen: {step: and, of: [either, bare, observable]}
exclude: [glare]
measures:
  load: {measure: load, of: opacity}
  area: {measure: area, of: smooth}
  bright: {measure: intensity, of: bright}
  green: {measure: intensity, of: green}
  pale: {measure: intensity, of: pale, where: around}
  warm: {measure: intensity, of: warm, low: -100, high: 100}
  chosen: {measure: intensity, of: opacity, where: chosen, by: whole}
"""


# the parts of a workflow, to be put together
HEAD = "schema: 1\nworkflow: w\n"
PLANES = "planes:\n  opacity: {step: unmix}\n"
LOAD = "measures:\n  load: {measure: load, of: opacity}\n"


@dataclass(frozen=True)
class SmallLot:
    """A rendered lot with everything that a run needs beside it."""

    folder: Path
    truth: LotTruth
    lot: Path
    board_type: Path
    workflow: Path

    def shot(self, index: int, phase: str) -> Path:
        """A photograph, by the board's place in the lot."""
        name = getattr(self.truth.boards[index], phase)
        assert name is not None
        return self.folder / name


def make_lot(folder: Path, boards: int = 2, kinds: Sequence[str] = ("reduce",), **given: Any) -> SmallLot:
    """Render a lot and write its YAML."""
    options = {"seed": 3, "shape": SHAPE, "difficulty": "easy", "format": "png", "lot": "L1", **given}
    truth = write_lot(folder, boards=boards, kinds=kinds, **options)
    workflow, lot = folder / "flux.yaml", folder / "lot.yaml"
    workflow.write_text(FLUX)
    lot.write_text("schema: 1\nlot: L1\nboard_type: small.yaml\npattern: 'shots/{lot}/{board}_{phase}.*'\n")
    return SmallLot(folder, truth, lot, write_type(folder / "small.yaml", truth), workflow)


def write_type(path: Path, truth: LotTruth, reference: str = "golden", extra: str = "", golden: str = "") -> Path:
    """The board type of a rendered lot; `pair` has the golden shot as its frame."""
    x, y, width, height = truth.label
    image = f"golden: {golden or truth.golden}" if reference == "golden" else f"frame: {golden or truth.golden}"
    path.write_text(
        f"""
schema: 1
board_type: small
reference: {reference}
{image}
pixel_size_um: {truth.pixel_size_um}
outline: {{polygon: {[list(p) for p in truth.outline]}}}
white: {{box: [{x + 4}, {y + 4}, {width - 8}, {height - 8}]}}
ignore:
  - {{name: label, box: [{x - 2}, {y - 2}, {width + 4}, {height + 4}]}}
regions:
  lower: {{box: [0, {truth.shape[0] // 2}, {truth.shape[1]}, {truth.shape[0] - truth.shape[0] // 2}]}}
{extra}
"""
    )
    return path


def workflow(text: str) -> Workflow:
    """A workflow from its YAML; the file is called `workflow.yaml`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "workflow.yaml")
        path.write_text(text, encoding="utf-8")
        return load_workflow(path)


@functools.cache
def program(text: str, reference: str = "golden", pixel_size_um: float | None = None) -> Program:
    """A compiled workflow from its YAML."""
    return compile_program(workflow(text), reference=reference, pixel_size_um=pixel_size_um)


def setting(board_type: Path, text: str = FLUX, tile: int = 1024) -> Setting:
    """The setting of a board type and a workflow as text."""
    return setting_of(load_board_type(str(board_type)), workflow(text), tile)


def board(setting: Setting, before: Path, after: Path, name: str = "B") -> Board:
    """A board that has not been opened yet."""
    return Board(name, "L1", setting, {BEFORE: PhotoFile(str(before)), AFTER: PhotoFile(str(after))})


def read_image(path: Path) -> np.ndarray:
    """A picture as it is stored: dtype, channels (BGR)."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return np.asarray(image)


def write_image(path: Path, image: np.ndarray, *options: int) -> Path:
    """Write what `read_image` returned."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, list(options))
    return path
