"""Small inputs of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from residue_batch.synthetic import write_lot

SHAPE = (600, 800)


@pytest.fixture(scope="session")
def rendered_pairs(tmp_path_factory) -> Path:
    """Two rendered boards laid out like photographed pairs: one cleaned, one not."""
    folder = tmp_path_factory.mktemp("pairs")
    lot = write_lot(
        folder / "lot", boards=2, seed=5, shape=SHAPE, difficulty="easy", format="png", kinds=("reduce", "null")
    )
    for number, board in enumerate(lot.boards, 1):
        pair = folder / f"easy_{number:02}_rendered"
        pair.mkdir()
        for name, source in (("before", board.before), ("after", board.after), ("golden", lot.golden)):
            (pair / f"{name}.png").symlink_to(Path(lot.folder) / source)
        before = np.array(board.before_matrix).reshape(3, 3)
        moved = cv2.perspectiveTransform(np.array([lot.outline], np.float64), before)[0]
        x, y, width, height = lot.label
        corner = cv2.perspectiveTransform(np.array([[[x, y]]], np.float64), before)[0, 0]
        truth = {
            "id": pair.name,
            "level": "easy",
            "kind": board.kind,
            "shape": list(SHAPE),
            "true_load_reduction_pct": board.whole.reduction_pct,
            "roi_polygon_frac": ((moved + 0.5) / SHAPE[::-1]).tolist(),
            "white_zone_xywh": [float(corner[0]) + 3, float(corner[1]) + 3, width - 6, height - 6],
            "H_before_to_golden": np.linalg.inv(before).tolist(),
        }
        (pair / "truth.json").write_text(json.dumps(truth))
    return folder
