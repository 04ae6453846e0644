"""Boards of known truth beside the repository, where they are: the reference built from their own lot."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.pairs import read_pairs
from residue_batch import api

LOT = Path(__file__).resolve().parents[2] / "shared" / "lot"


@pytest.mark.deep
@pytest.mark.skipif(not LOT.is_dir(), reason=f"there is no lot of known truth at {LOT}")
def test_a_lot_without_a_clean_board_is_read_within_two_points(tmp_path: Path) -> None:
    pairs = read_pairs(LOT)
    first = pairs[0]
    assert first.label is not None
    kind = {"schema": 1, "board_type": "shared", "reference": "lot", "frame": str(first.before)}
    kind |= {"outline": {"polygon": first.outline.tolist()}, "white": {"polygon": first.label.tolist()}}
    (tmp_path / "type.yaml").write_text(yaml.safe_dump(kind))
    with (tmp_path / "boards.csv").open("w", newline="") as manifest:
        rows = csv.writer(manifest)
        rows.writerow(["board", "phase", "path"])
        rows.writerows([pair.id, phase, path] for pair in pairs for phase, path in
                       (("before", pair.before), ("after", pair.after)))  # fmt: skip
    lot = {"schema": 1, "lot": "shared", "manifest": "boards.csv", "board_type": "type.yaml"}
    (tmp_path / "lot.yaml").write_text(yaml.safe_dump(lot))
    dataset = api.run(tmp_path / "lot.yaml", out=tmp_path / "runs", workers=0)
    found = dataset.sel(region="whole")["load_reduction_pct"]
    errors = [float(found.sel(board=pair.id)) - (pair.reduction_pct or 0) for pair in pairs]
    assert np.mean(np.abs(errors)) <= 1.7
