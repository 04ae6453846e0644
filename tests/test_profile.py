"""The profile of a run: where its time went, and nothing but clocks that is new."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import small
from distributed import LocalCluster
from small import SmallLot

from residue_batch import api
from residue_batch.errors import UsageError
from residue_batch.profile import PROFILE, lines_of, profile_of, stages_of

CLOCKS = {"run.json", "run.jsonl", PROFILE, "report.html"}


def folder_of(lot: SmallLot, out: Path, **given: Any) -> Path:
    return Path(api.run(lot.lot, lot.workflow, out=out, tile=192, **given).attrs["folder"])


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    # boards come as they are done
    return {
        name: b"".join(sorted(path.read_bytes().splitlines(True))) for name, path in found.items() if name not in CLOCKS
    }


@pytest.fixture(scope="module")
def plain(lot: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(lot, tmp_path_factory.mktemp("plain"), workers=0)


@pytest.mark.parametrize("executor", ["here", "inline", "graph"])
def test_every_executor_says_what_each_stage_plane_and_measure_cost(
    lot: SmallLot, cluster: LocalCluster, plain: Path, tmp_path: Path, executor: str
) -> None:
    where: dict[str, Any] = {"cluster": cluster.scheduler_address, "executor": executor}
    folder = folder_of(lot, tmp_path, profile=True, **({"workers": 0} if executor == "here" else where))
    found = api.profile(folder)
    assert found["boards"] == 2
    assert found["input_mp"] == pytest.approx(2 * 2 * 360 * 480 / 1e6)
    assert list(stages_of(found)) == ["identify", "open", "match", "measure"]
    parts = {(part["stage"], part["part"]): part for part in found["parts"]}
    assert {
        ("open", "decode"), ("match", "register"), ("match", "light"), ("measure", "plane opacity"),
        ("measure", "measure load"), ("measure", "evidence"), ("measure", "picture"),
    } <= parts.keys()  # fmt: skip
    # opacity is made twice on every tile of both boards, each value a float32
    assert parts["measure", "plane opacity"]["calls"] == 2 * 2 * 6
    assert parts["measure", "plane opacity"]["bytes_per_px"] == 4
    assert found["peak_mb"] > 50
    assert sum(part["seconds"] for part in found["parts"]) == pytest.approx(found["seconds"])
    if executor != "graph":  # there the parts of a board run side by side
        took = sum(json.loads(line)["seconds"] for line in (folder / "run.jsonl").read_text().splitlines())
        assert found["seconds"] <= took + 0.01
    assert found["run_s"].keys() >= {"prepare", "references", "boards", "finish"}
    # the same run without a profile differs in clocks only
    assert files(folder) == files(plain)


def test_a_run_without_a_profile_counts_nothing(plain: Path) -> None:
    assert lines_of(plain / "run.jsonl") == []
    with pytest.raises(UsageError, match="run the lot with --profile"):
        api.profile(plain)


def test_a_resumed_run_keeps_the_costs_of_its_boards(lot: SmallLot, tmp_path: Path) -> None:
    folder = folder_of(lot, tmp_path, profile=True, workers=0)
    first = api.profile(folder)
    assert folder_of(lot, tmp_path, profile=True, workers=0) == folder
    assert api.profile(folder)["parts"] == first["parts"]


def test_kept_planes_are_written_at_a_cost(lot: SmallLot, tmp_path: Path) -> None:
    folder = folder_of(lot, tmp_path, profile=True, workers=0, sets=["keep=[opacity]"])
    parts = {part["part"]: part for part in api.profile(folder)["parts"]}
    assert parts["write"]["seconds"] > 0
    # observable, and opacity before and after
    assert parts["write"]["bytes_per_px"] == 3


def test_torn_lines_are_passed_over_and_the_last_one_of_a_board_counts(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    lines = [
        '{"board": "A", "spent": {"open/": [1, 9.0, 9.0, 0, 0]}, "peak_bytes": 5}',
        '{"board": "A", "spent": {"open/": [1, 0.5, 0.25, 0, 0]}, "peak_bytes": 7}',
        '{"board": "B", "failure": ""}',
        '{"board": "C", "spe',
    ]
    journal.write_text("\n".join(lines))
    found = profile_of(lines_of(journal), {"boards": 1.0})
    assert (found["boards"], found["seconds"], found["cpu_s"], found["peak_mb"]) == (1, 0.5, 0.25, 7e-6)


def test_no_board_is_no_division_by_zero() -> None:
    assert profile_of([], {})["seconds"] == 0


def test_a_refused_board_is_not_in_the_profile(tmp_path: Path) -> None:
    mixed = small.make_lot(tmp_path / "mixed", boards=2, kinds=("reduce", "truncated"))
    found = api.profile(folder_of(mixed, tmp_path / "runs", profile=True, workers=0))
    assert found["boards"] == 1
    assert {part["calls"] for part in found["parts"] if part["part"] == "decode"} == {2}
