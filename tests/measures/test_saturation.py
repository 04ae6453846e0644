"""Thick crystals clip first: on solder mask they are residue, however white; on metal it is glare."""

from __future__ import annotations

from pathlib import Path

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


def exposed(path: Path, board: Board, opacity: np.ndarray | None, stops: float, mirrors: bool = False) -> Path:
    """A photograph of the board; with ``mirrors`` some of its metal mirrors a lamp."""
    lamp = np.zeros(board.shape, np.float32)
    if mirrors:
        lamp[board.metal & (np.arange(board.shape[1]) % 160 < 60)] = 3
    light = cv2.GaussianBlur(compose(board, opacity, lamp), (0, 0), 0.6) * np.float32(2**stops)
    light += np.random.default_rng(len(path.name)).normal(0, 0.002, light.shape).astype(np.float32)
    light = np.clip(light, 0, 1)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    write_shot(path, np.rint(code * 255).astype(np.uint8))
    return path


@pytest.fixture(scope="module")
def lot(tmp_path_factory: pytest.TempPathFactory) -> small.SmallLot:
    return small.make_lot(tmp_path_factory.mktemp("lot"), 1, shape=SHAPE)


@pytest.fixture(scope="module")
def board(lot: small.SmallLot) -> Board:
    return render_board(3, SHAPE, lot.truth.colour)


def bare(board: Board) -> np.ndarray:
    """Solder mask and other dark surfaces, well away from metal and whatever is bright."""
    bright = board.metal | (board.linear.min(axis=2) > 0.1)
    return board.counted() & (cv2.dilate(bright.astype(np.uint8), np.ones((35, 35), np.uint8)) == 0)


def test_saturated_crystals_on_solder_mask_count_as_residue(lot, board, tmp_path):
    opacity = crystals(board, bare(board))
    before = exposed(tmp_path / "before.png", board, opacity, STOPS)
    after = exposed(tmp_path / "after.png", board, None, 0)
    record = try_pair(lot.board_type, before, after, FLOW)
    values = record["values"]
    share = 100 * record["observable_pct"][0] / 100
    true = opacity[board.counted()].mean() / (share / 100)
    assert values["load_saturated_pct"][0][0] > 60, "most of the load clips"
    # a lower bound: clipped at 2^-0.6 / 0.74 of the label's white
    assert 0.8 * true < values["load"][0][0] < 1.02 * true
    assert values["load_reduction_pct"][0] > 97
    assert values["change_removed"][0] == pytest.approx(values["load"][0][0], rel=0.05)


def test_crystals_that_do_not_clip_are_read_in_full(lot, board, tmp_path):
    """The same crystals in the right exposure: what the over-exposed shot is a lower bound of."""
    opacity = crystals(board, bare(board))
    after = exposed(tmp_path / "after.png", board, None, 0)
    loads = [
        try_pair(lot.board_type, exposed(tmp_path / f"before{stops}.png", board, opacity, stops), after, FLOW)["values"]
        for stops in (0, STOPS)
    ]
    assert loads[0]["load_saturated_pct"][0][0] == 0
    assert loads[1]["load"][0][0] < loads[0]["load"][0][0]


def test_glare_on_metal_does_not_count(lot, board, tmp_path):
    plain = exposed(tmp_path / "a_plain.png", board, None, 0)
    mirrors = exposed(tmp_path / "mirrors.png", board, None, STOPS, mirrors=True)
    record = try_pair(lot.board_type, mirrors, plain, FLOW)
    values = record["values"]
    assert record["observable_pct"][0] < try_pair(lot.board_type, plain, mirrors_free(board, tmp_path), FLOW)["observable_pct"][0] - 1
    assert abs(values["load"][0][0]) < 1e-3
    assert values["change_removed"][0] < 1e-3


def mirrors_free(board: Board, folder: Path) -> Path:
    return exposed(folder / "another.png", board, None, 0.1)


def test_crystals_on_metal_are_hidden_with_its_glare_and_those_on_mask_are_not(lot, board, tmp_path):
    on_mask, on_metal = crystals(board, bare(board)), crystals(board, board.metal)
    opacity = np.maximum(on_mask, on_metal)
    after = exposed(tmp_path / "after.png", board, None, 0)
    both = try_pair(lot.board_type, exposed(tmp_path / "both.png", board, opacity, STOPS), after, FLOW)
    mask = try_pair(lot.board_type, exposed(tmp_path / "mask.png", board, on_mask, STOPS), after, FLOW)
    assert both["observable_pct"][0] < mask["observable_pct"][0]
    assert both["values"]["load_saturated_pct"][0][0] > 60
    assert both["values"]["load"][0][0] > 0.95 * mask["values"]["load"][0][0]
