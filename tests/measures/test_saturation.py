"""Thick crystals clip first: on solder mask they are residue, however white; on metal it is glare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small

from residue_batch.api import try_pair
from residue_batch.synthetic import Board, compose, render_board, write_shot

SHAPE = (600, 800)
STOPS = 0.6  # over-exposed: what is as white as the label clips
FLOW = Path(__file__).parent.parent.parent / "workflows" / "flux_residue.yaml"


def crystals(board: Board, where: np.ndarray, count: int = 60) -> np.ndarray:
    """Thick plates of 12 px on some of the pixels, opacity 0.96."""
    rng, sheet = np.random.default_rng(5), np.zeros(board.shape, np.float32)
    rows, columns = np.nonzero(where)
    for k in rng.integers(0, len(rows), count):
        cv2.circle(sheet, (int(columns[k]), int(rows[k])), 6, 0.96, -1)
    return np.where(board.counted(), cv2.GaussianBlur(sheet, (0, 0), 0.8), 0).astype(np.float32)


def exposed(path: Path, board: Board, opacity: np.ndarray | None, stops: float, lamp: np.ndarray | None = None) -> Path:
    """A photograph of the board where it lies; ``lamp`` is where its metal mirrors a lamp."""
    glints = None if lamp is None else lamp.astype(np.float32) * 3
    light = cv2.GaussianBlur(compose(board, opacity, glints), (0, 0), 0.6) * np.float32(2**stops)
    light += np.random.default_rng(sum(path.name.encode())).normal(0, 0.002, light.shape).astype(np.float32)
    light = np.clip(light, 0, 1)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    write_shot(path, np.rint(code * 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def board() -> Board:
    return render_board(3, SHAPE, "green")


@pytest.fixture(scope="module")
def read(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """The record of a before-shot with these crystals and mirrors, over-exposed unless told; after it was cleaned."""
    folder = tmp_path_factory.mktemp("saturation")
    truth = small.make_lot(folder, 1, shape=SHAPE, colour="green").truth
    exposed(folder / "clean.png", board, None, 0)
    after = exposed(folder / "after_.png", board, None, 0)
    board_type = small.write_type(folder / "plain.yaml", truth, golden="clean.png")

    def record(
        opacity: np.ndarray | None, lamp: np.ndarray | None = None, stops: float = STOPS, flow: Path = FLOW
    ) -> Any:
        return try_pair(board_type, exposed(folder / "before.png", board, opacity, stops, lamp), after, flow)

    return record


def bare(board: Board) -> np.ndarray:
    """Solder mask and other dark surfaces, well away from metal and whatever is bright."""
    bright = board.metal | (board.linear.min(axis=2) > 0.1)
    return board.counted() & (cv2.dilate(bright.astype(np.uint8), np.ones((25, 25), np.uint8)) == 0)


def tin(board: Board) -> np.ndarray:
    """Metal without a dark channel."""
    bright = cv2.erode((board.metal & (board.linear.min(axis=2) > 0.27)).astype(np.uint8), np.ones((3, 3), np.uint8))
    return board.counted() & (bright != 0)


def test_saturated_crystals_on_solder_mask_count_as_residue(read, board):
    opacity = crystals(board, bare(board))
    record, plain = read(opacity), read(opacity, stops=0)
    values = record["values"]
    assert values["load_saturated_pct"][0][0] > 50, "most of the load clips"
    assert plain["values"]["load_saturated_pct"][0][0] == 0
    true = opacity.sum() / record["observable_px"][0]
    # a lower bound: white clips at 2^-0.6 = 0.66 of the light, the label has 0.74
    assert 0.85 * true < values["load"][0][0] < 1.02 * true
    assert values["load_reduction_pct"][0] == pytest.approx(100, abs=2)
    assert values["change_removed"][0] == pytest.approx(values["load"][0][0], rel=0.05)


def test_glare_on_metal_does_not_count(read, board):
    lamp = tin(board) & (np.arange(SHAPE[1]) % 160 < 80)
    record = read(None, lamp)
    assert record["observable_pct"][0] < read(None)["observable_pct"][0] - 1, "it is hidden instead"
    assert abs(record["values"]["load"][0][0]) < 1e-3
    assert record["values"]["change_removed"][0] < 1e-3


def test_glare_on_copper_is_told_by_a_lower_level(read, board, tmp_path):
    """Bare copper and gold have a dark channel, as solder mask has: the default takes their mirrors for residue."""
    copper = board.metal & board.counted() & (board.linear[..., 0] > 3 * board.linear[..., 2])
    lamp = cv2.erode(copper.astype(np.uint8), np.ones((3, 3), np.uint8)) != 0
    told = tmp_path / "told.yaml"
    told.write_text(FLOW.read_text().replace("grow: 5 px}", "grow: 5 px, metal_above: 0.05}"))
    assert read(None, lamp)["values"]["load_saturated_pct"][0][0] > 20
    assert read(None, lamp)["values"]["load"][0][0] > 5e-3
    assert abs(read(None, lamp, flow=told)["values"]["load"][0][0]) < 1e-3


def test_crystals_on_metal_are_hidden_as_glare_and_those_on_mask_still_count(read, board):
    on_mask, on_metal = crystals(board, bare(board)), crystals(board, tin(board))
    both, mask = read(np.maximum(on_mask, on_metal)), read(on_mask)
    assert both["observable_pct"][0] < mask["observable_pct"][0] - 0.5
    assert both["values"]["load"][0][0] > 0.95 * mask["values"]["load"][0][0]
