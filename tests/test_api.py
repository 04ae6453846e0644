"""The public calls: a run measures each board once, a plan counts, and both tell what cannot be measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small
from distributed import LocalCluster
from run_directory import files, measured, rows
from small import SmallLot

import residue_batch
from residue_batch import api, records
from residue_batch.errors import UsageError


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> SmallLot:
    """A lot with every kind of bad input between two good boards."""
    made = small.make_lot(
        tmp_path_factory.mktemp("mixed"), 6, ("reduce", "truncated", "unpaired", "other_board", "reduce", "worse")
    )
    shots = made.folder / "shots" / "L1"
    good = shots / "B001_before.png"
    (shots / "C1_before.png").write_bytes(b"")
    shutil.copy(good, shots / "C1_after.png")
    shutil.copy(good, shots / "C2_before.png")
    shutil.copy(good, shots / "C2_after.png")
    shutil.copy(good, shots / "C3_before.png")
    small.write_image(shots / "C3_after.png", cv2.cvtColor(small.read_image(good), cv2.COLOR_BGR2GRAY))
    shutil.copy(good, shots / "C4_before.png")
    small.write_image(shots / "C4_after.png", cv2.rotate(small.read_image(made.shot(0, "after")), cv2.ROTATE_180))
    shutil.copy(good, shots / "C5_before.png")
    enlarged = cv2.resize(
        small.read_image(made.shot(0, "after")), None, fx=1.125, fy=1.125, interpolation=cv2.INTER_LINEAR
    )
    small.write_image(shots / "C5_after.png", enlarged)
    return made


@pytest.fixture(scope="module")
def finished(mixed: SmallLot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Any]]:
    out = tmp_path_factory.mktemp("runs")
    dataset = api.run(mixed.lot, mixed.workflow, out=out, workers=0, tile=192)
    yield Path(dataset.attrs["folder"]), dataset
    dataset.close()


# what a run gives -----------------------------------------------------------------------


def test_bad_boards_are_rows_and_the_others_are_measured(finished: tuple[Path, Any]) -> None:
    folder, dataset = finished
    table = rows(folder)
    assert {name: row["reason"] for name, row in table.items()} == {
        "B001": "",
        "B002": "unreadable",
        "B003": "unpaired",
        "B004": "other_board",
        "B005": "",
        "B006": "",
        "C1": "unreadable",
        "C2": "same_photo",
        "C3": "colour",
        "C4": "rotated",
        "C5": "",
    }
    for name, row in table.items():
        assert row["outcome"] == ("refused" if row["reason"] else "measured"), name
        assert bool(row["load_reduction_pct"]) == (not row["reason"]), f"{name}: a refused board has no number"
    assert list(table) == sorted(table)
    assert dataset.attrs["exit_code"] == 3
    for name, message in zip(dataset.board.values, dataset.message.values, strict=True):
        doubted = "phases_may_be_exchanged" in table[name]["flags"].split()
        assert bool(message) == (table[name]["outcome"] == "refused" or doubted)


def test_before_and_after_may_differ_in_size(finished: tuple[Path, Any]) -> None:
    table = rows(finished[0])
    small_one, large_one = (float(table[name]["load_reduction_pct"]) for name in ("B001", "C5"))
    assert large_one == pytest.approx(small_one, abs=5)


def test_the_numbers_are_near_the_truth(finished: tuple[Path, Any], mixed: SmallLot) -> None:
    table = rows(finished[0])
    for truth in mixed.truth.boards:
        if truth.kind == "reduce":
            assert float(table[truth.board]["load_reduction_pct"]) == pytest.approx(truth.whole.reduction_pct, abs=6)
        if truth.kind == "worse":
            assert table[truth.board]["status"] == "increase"
            assert float(table[truth.board]["load_reduction_pct"]) < 0


def test_the_state_says_how_it_ended(finished: tuple[Path, Any]) -> None:
    folder, _ = finished
    state = json.loads((folder / "run.json").read_text())
    assert state["status"] == "finished"
    assert state["counts"] == {"boards": 11, "measured": 4, "refused": 7}
    assert state["exit_code"] == 3
    assert state["damaged_records"] == 0
    assert (folder / "report.html").stat().st_size > 10_000
    assert {p.name for p in (folder / "resolved").iterdir()} == {"workflow.yaml", "lot.yaml", "board_type-small.yaml"}
    pictures = {p.stem for p in (folder / "boards").iterdir()}
    kept = records.read(folder)[0]
    assert pictures == {key for key, record in kept.items() if record["outcome"] == "measured"}


def test_status_counts_boards_that_have_no_record_too(finished: tuple[Path, Any], tmp_path: Path) -> None:
    """Seven are refused, one of them by the scan of the lot alone."""
    folder, state = finished[0], json.loads((finished[0] / "run.json").read_text())
    found = api.status(folder)
    assert [found[n] for n in ("done", "boards", "refused")] == [11, 11, 7]
    going = tmp_path / "going"
    shutil.copytree(folder, going)
    unusable = state["counts"]["boards"] - found["recorded"]
    assert unusable > 0
    counts = {"boards": state["counts"]["boards"], "unusable": unusable}
    (going / "run.json").write_text(json.dumps({**state, "status": "running", "counts": counts}))
    log = (going / records.LOG).read_bytes().splitlines(keepends=True)
    (going / records.LOG).write_bytes(b"".join(log[:4]))
    found = api.status(going)
    assert [found[n] for n in ("status", "done", "boards")] == ["interrupted", 4 + unusable, 11]


def test_a_record_holds_no_folder_of_this_machine(finished: tuple[Path, Any], mixed: SmallLot) -> None:
    text = (finished[0] / records.LOG).read_text()
    assert str(mixed.folder) not in text


def test_a_finished_run_opens_again(finished: tuple[Path, Any]) -> None:
    folder, dataset = finished
    with residue_batch.open_run(folder) as again:
        assert again.load_reduction_pct.dims == dataset.load_reduction_pct.dims
        np.testing.assert_array_equal(again.load_reduction_pct.values, dataset.load_reduction_pct.values)


def test_a_folder_without_a_run_does_not_open(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no run directory"):
        residue_batch.open_run(tmp_path / "nope")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="no finished run"):
        residue_batch.open_run(tmp_path)


# the same call again ----------------------------------------------------------------------


def test_the_same_call_again_measures_nothing_and_changes_no_byte(finished: tuple[Path, Any], mixed: SmallLot) -> None:
    folder, _ = finished
    before, log = files(folder), measured(folder)
    told: list[Any] = []
    api.run(mixed.lot, mixed.workflow, out=folder.parent, workers=0, tile=192, on_progress=told.append).close()
    assert files(folder) == before
    assert measured(folder) == log
    assert told == [], "there was nothing to do"


def test_a_cluster_gives_the_bytes_of_this_process(
    finished: tuple[Path, Any], mixed: SmallLot, cluster: LocalCluster, tmp_path: Path
) -> None:
    for executor, tile in (("auto", 192), ("graph", 192)):
        out = tmp_path / executor
        dataset = api.run(
            mixed.lot, mixed.workflow, out=out, cluster=cluster.scheduler_address, executor=executor, tile=tile
        )
        dataset.close()
        assert files(Path(dataset.attrs["folder"])) == files(finished[0])


# plan and try -----------------------------------------------------------------------------


def test_a_plan_counts_and_measures_nothing(mixed: SmallLot, tmp_path: Path) -> None:
    made = api.plan(mixed.lot, mixed.workflow, out=tmp_path, tile=192)
    assert (made.boards, made.refused, made.done, made.passes) == (11, 2, 0, 1)
    assert made.tiles == 6 * 9
    assert made.peak_bytes > 0
    assert list(tmp_path.iterdir()) == []


def test_a_plan_knows_what_is_done(finished: tuple[Path, Any], mixed: SmallLot) -> None:
    made = api.plan(mixed.lot, mixed.workflow, out=finished[0].parent, tile=192)
    assert made.done == 10
    assert made.folder == str(finished[0])


def test_a_pair_is_measured_as_in_a_run(lot: SmallLot, tmp_path: Path) -> None:
    record = api.try_pair(lot.board_type, lot.shot(0, "before"), lot.shot(0, "after"), lot.workflow, folder=tmp_path)
    kept = small.board(small.setting(lot.board_type), lot.shot(0, "before"), lot.shot(0, "after"))
    from residue_batch.board import plan_board
    from residue_batch.engine.inline import run_inline

    expected = run_inline(plan_board(kept), kept).record
    assert expected is not None
    assert record["values"] == expected["values"]
    assert {"opacity.before.png", "opacity.after.png", "observable.png", "raw.before.png"} <= {
        p.name for p in tmp_path.iterdir()
    }
    assert small.read_image(tmp_path / "opacity.before.png").shape == small.SHAPE


def test_planes_without_a_place_are_refused_before_anything_is_measured(lot: SmallLot, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(UsageError, match="file cannot be made: File exists; name another folder"):
        api.try_pair(lot.board_type, tmp_path / "a.jpg", tmp_path / "b.jpg", lot.workflow, folder=taken)


def test_a_pair_that_cannot_be_measured_is_a_refused_record(lot: SmallLot, tmp_path: Path) -> None:
    record = api.try_pair(lot.board_type, lot.shot(0, "before"), tmp_path / "missing.jpg", lot.workflow)
    assert (record["outcome"], record["reason"]) == ("refused", "unreadable")
    assert "missing.jpg" in record["message"]
