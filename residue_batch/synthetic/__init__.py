"""Boards of known truth: rendered, soiled, cleaned and photographed.

Everything is deterministic by integer seeds. A scene is composed in linear
light as ``(1 - a) B + a W``, with ``B`` the clean board, ``a`` the opacity of
the residue and ``W`` the white of the board's label, and then photographed:
moved, lit, blurred, with highlights and noise, sRGB coded.

    board = render_board(1)
    before = plant_residue(board, seed=2, amount=0.08)
    after = clean_residue(board, before, seed=3, efficiency=0.9)
    shot = photograph(board, after, seed=4)
    true_reduction(board, before, after)["whole"].reduction_pct
"""

from residue_batch.synthetic.bare import COLOURS
from residue_batch.synthetic.board import Board, render_board
from residue_batch.synthetic.camera import (
    DIFFICULTIES,
    Difficulty,
    Shot,
    compose,
    photograph,
    photograph_card,
    rephotograph,
    uneven_light,
    write_shot,
)
from residue_batch.synthetic.lot import (
    BOARD_KINDS,
    FORMATS,
    BoardTruth,
    LotTruth,
    Truth,
    areas,
    true_reduction,
    write_lot,
)
from residue_batch.synthetic.residue import KINDS, Ground, clean_residue, plant_residue

__all__ = [
    "BOARD_KINDS",
    "COLOURS",
    "DIFFICULTIES",
    "FORMATS",
    "KINDS",
    "Board",
    "BoardTruth",
    "Difficulty",
    "Ground",
    "LotTruth",
    "Shot",
    "Truth",
    "areas",
    "clean_residue",
    "compose",
    "photograph",
    "photograph_card",
    "plant_residue",
    "render_board",
    "rephotograph",
    "true_reduction",
    "uneven_light",
    "write_lot",
    "write_shot",
]
