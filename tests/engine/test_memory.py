"""What a worker holds is what the plan says it holds."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
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


FREED_BY_THREADS = """
import sys
from pathlib import Path
from threading import Barrier, Thread
from residue_batch.engine.inline import set_up_process

def held():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line)

set_up_process()
together = Barrier(6)

def decode():
    data = bytes(b"x" * 1000) * 20_000
    together.wait()
    del data

threads = [Thread(target=decode) for _ in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
before = held()
planes = [bytes(b"x" * 1000) * 20_000 for _ in range(5)]
print((held() - before) / 1000)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is not that of glibc")
def test_what_threads_have_freed_serves_the_whole_process() -> None:
    done = subprocess.run([sys.executable, "-c", FREED_BY_THREADS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 30  # MB, of 100 that were asked for
