"""What a worker holds is what the plan says it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.rendered import rendered_lot
from residue_batch import run
from residue_batch.board import plan_board
from residue_batch.prepare import prepare

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell peaks of memory"
)


@pytest.fixture(scope="module")
def lot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rendered_lot(tmp_path_factory.mktemp("rendered"), boards=2, megapixels=12)


@pytest.mark.deep
@pytest.mark.parametrize(
    ("workflow", "reference"), [("flux_residue", "golden"), ("flux_residue", "pair"), ("bright_particles", "none")]
)
def test_a_worker_holds_what_the_plan_says(lot: Path, tmp_path: Path, workflow: str, reference: str) -> None:
    text = (lot.parent / "board_type.yaml").read_text(encoding="utf-8")
    pair = text.replace("reference: golden", "reference: pair").replace("golden: golden", "frame: golden")
    (lot.parent / "pair.yaml").write_text(pair, encoding="utf-8")
    of_type = {"golden": "./board_type.yaml", "pair": "./pair.yaml", "none": "as_taken"}[reference]
    other = lot.with_name(f"lot_{reference}.yaml")
    other.write_text(lot.read_text(encoding="utf-8").replace("./board_type.yaml", of_type), encoding="utf-8")
    run(other, workflow, out=tmp_path / "run", workers=1, profile=True)
    (profile,) = tmp_path.glob("run/*/profile.json")
    peak = json.loads(profile.read_text(encoding="utf-8"))["peak_mb"]
    planned = max(plan_board(board).peak_bytes / 1e6 for board in prepare(other, workflow).boards(None))
    assert 0.8 < planned / peak < 1.2
