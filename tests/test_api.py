"""The public calls: a run measures each board once, resumes, and tells what it could not measure."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import small
from distributed import LocalCluster
from small import FLUX, SmallLot

import residue_batch
from residue_batch import api, records
from residue_batch import board as boards
from residue_batch.config import Cluster
from residue_batch.engine import cluster as rooms
from residue_batch.errors import ClusterError, ConfigError, LockedError, StaleRunError, UsageError
from residue_batch.step import Mask, Plane, step

# what only the clock, the host and the attempt decide
OWN = {"run.json", "run.jsonl", ".lock"}


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


def measured(folder: Path) -> list[str]:
    """Boards in the order in which they were measured; a board may stand here twice."""
    return [
        r["board"] for line in (folder / records.LOG).read_bytes().splitlines(True) if (r := records.record_of(line))
    ]


def files(folder: Path) -> dict[str, bytes]:
    """Every file that must not depend on clock, host or attempt; the report without its footer."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or name in OWN or name == records.LOG:
            continue
        data = path.read_bytes()
        if name == "report.html":
            data, changes = re.subn(rb"made \d{4}-\d\d-\d\d \d\d:\d\d [^<]*", b"", data)
            assert changes == 1, "the footer"
        found[name] = data
    return found


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "boards.csv").open(newline="", encoding="utf-8") as table:
        return {row["board"]: row for row in csv.DictReader(table)}


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


def test_a_record_holds_no_folder_of_this_machine(finished: tuple[Path, Any], mixed: SmallLot) -> None:
    text = (finished[0] / records.LOG).read_text()
    assert str(mixed.folder) not in text


def test_a_finished_run_opens_again(finished: tuple[Path, Any]) -> None:
    folder, dataset = finished
    with residue_batch.open_run(folder) as again:
        assert again.load_reduction_pct.dims == dataset.load_reduction_pct.dims
        np.testing.assert_array_equal(again.load_reduction_pct.values, dataset.load_reduction_pct.values)


def test_a_folder_without_a_run_does_not_open(tmp_path: Path) -> None:
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


# changes --------------------------------------------------------------------------------


_matches: dict[Any, Any] = {}


@pytest.fixture
def own(lot: SmallLot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLot:
    """A copy of the lot that a test may change; the same shot in the same frame is registered once in all tests."""
    match_shot = boards.match_shot

    def remembered(board: boards.Board, phase: str) -> dict[str, Any]:
        setting, shot = board.setting, board.shots[phase].sha256
        key = (phase, shot, setting.board_type.identity(), setting.golden, setting.program.blur)
        key += (setting.frame.sha256 if setting.frame else "",)
        if key not in _matches:
            _matches[key] = match_shot(board, phase)
        return _matches[key]  # type: ignore[no-any-return]

    monkeypatch.setattr(boards, "match_shot", remembered)
    folder = tmp_path / "own"
    shutil.copytree(lot.folder, folder)
    return SmallLot(folder, lot.truth, folder / "lot.yaml", folder / "small.yaml", folder / "flux.yaml")


def run(lot: SmallLot, **given: Any) -> Path:
    options = {"out": lot.folder / "runs", "workers": 0, **given}
    with api.run(lot.lot, options.pop("workflow", lot.workflow), **options) as dataset:
        return Path(dataset.attrs["folder"])


def test_a_changed_photograph_is_measured_again_and_a_touched_one_is_not(own: SmallLot) -> None:
    folder = run(own)
    old = rows(folder)
    assert measured(folder) == ["B001", "B002"]
    os.utime(own.shot(0, "before"), (1, 1))
    assert run(own) == folder
    assert measured(folder) == ["B001", "B002"], "new time, same bytes"
    assert [line["board"] for line in journal(folder)] == ["B001", "B002", "B001"], "it was hashed again, once"
    assert run(own) == folder
    assert len(journal(folder)) == 3, "the new time is known now"

    image = small.read_image(own.shot(1, "after"))
    image[100:140, 100:140] = 255
    small.write_image(own.shot(1, "after"), image)
    assert run(own) == folder
    assert measured(folder) == ["B001", "B002", "B002"]
    new = rows(folder)
    assert new["B001"] == old["B001"]
    assert new["B002"]["load_after"] != old["B002"]["load_after"]


def test_the_first_photograph_put_back_is_known(own: SmallLot) -> None:
    folder = run(own)
    before = files(folder)
    data = own.shot(0, "after").read_bytes()
    shutil.copy(own.shot(1, "after"), own.shot(0, "after"))
    run(own)
    assert files(folder) != before
    own.shot(0, "after").write_bytes(data)
    run(own)
    assert measured(folder) == ["B001", "B002", "B001"]
    after = files(folder)
    assert {name: after[name] for name in before} == before


def test_a_changed_configuration_is_a_new_directory(own: SmallLot) -> None:
    folders = [run(own)]
    own.workflow.write_text(FLUX.replace("grow: 5 px", "grow: 6 px"))
    folders.append(run(own))
    folders.append(run(own, sets=["planes.glare.above=0.9"]))
    text = own.board_type.read_text()
    own.board_type.write_text(text + "gates: {min_inliers: 31}\n")
    folders.append(run(own))
    image = small.read_image(own.folder / own.truth.golden)
    image[0, 0] = 0
    small.write_image(own.folder / own.truth.golden, image)
    folders.append(run(own))
    assert len(set(folders)) == len(folders)
    assert all(measured(folder) == ["B001", "B002"] for folder in folders)


def test_what_changes_no_number_is_the_same_directory(own: SmallLot) -> None:
    folder = run(own)
    own.workflow.write_text(FLUX + "limits: {load_reduction_pct: {min: 99.9}}\ndescription: other words\n")
    assert run(own, tile=128) == folder
    assert measured(folder) == ["B001", "B002"]
    state = json.loads((folder / "run.json").read_text())
    assert state["exit_code"] == 6, "a limit judges what was measured before"


def test_another_place_is_the_same_configuration(own: SmallLot, tmp_path: Path) -> None:
    folder = run(own)
    moved = tmp_path / "elsewhere"
    shutil.copytree(own.folder, moved, ignore=shutil.ignore_patterns("runs"))
    elsewhere = run(SmallLot(moved, own.truth, moved / "lot.yaml", moved / "small.yaml", moved / "flux.yaml"))
    assert elsewhere.name == folder.name
    assert (elsewhere / "boards.csv").read_bytes() == (folder / "boards.csv").read_bytes()
    assert {k: v for k, v in files(elsewhere).items() if k.startswith("lot.zarr")} == {
        k: v for k, v in files(folder).items() if k.startswith("lot.zarr")
    }


def test_a_photograph_that_was_away_is_measured_when_it_is_back(own: SmallLot) -> None:
    manifest(own)
    path = own.shot(0, "after")
    away = path.with_name("away")
    path.rename(away)
    folder = run(own)
    assert rows(folder)["B001"]["outcome"] == "refused"
    assert rows(folder)["B002"]["outcome"] == "measured"
    away.rename(path)
    run(own)
    assert rows(folder)["B001"]["outcome"] == "measured"
    path.rename(away)
    run(own)
    assert rows(folder)["B001"]["outcome"] == "refused"
    away.rename(path)
    run(own)
    assert rows(folder)["B001"]["outcome"] == "measured"
    assert [
        r["board"]
        for r in map(records.record_of, (folder / records.LOG).read_bytes().splitlines(True))
        if r and r["outcome"] == "measured"
    ] == ["B002", "B001"]


def manifest(lot: SmallLot) -> None:
    """The same lot by a manifest that promises what each file hashes to."""
    from residue_batch.photo import hash_file

    lines = ["board,phase,path,sha256"]
    for index, board in enumerate(lot.truth.boards):
        for phase in ("before", "after"):
            path = lot.shot(index, phase)
            lines.append(f"{board.board},{phase},{path.relative_to(lot.folder)},{hash_file(path).sha256}")
    (lot.folder / "boards.csv").write_text("\n".join(lines) + "\n")
    lot.lot.write_text("schema: 1\nlot: L1\nboard_type: small.yaml\nmanifest: boards.csv\n")


def test_a_file_that_is_not_the_promised_one_is_refused_until_it_is(own: SmallLot) -> None:
    manifest(own)
    path = own.shot(0, "after")
    data = path.read_bytes()
    path.write_bytes(data + b"x")
    folder = run(own)
    assert rows(folder)["B001"]["reason"] == "hash_mismatch"
    path.write_bytes(data)
    run(own)
    assert rows(folder)["B001"]["outcome"] == "measured"


def test_a_fifo_is_refused_and_waited_for_by_nobody(own: SmallLot) -> None:
    path = own.shot(0, "after")
    path.unlink()
    os.mkfifo(path)
    folder = run(own)
    assert rows(folder)["B001"]["outcome"] == "refused"
    assert rows(folder)["B002"]["outcome"] == "measured"


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.999])
def test_a_damaged_log_costs_only_what_is_damaged(own: SmallLot, cut: float) -> None:
    folder = run(own)
    before = files(folder)
    log = (folder / records.LOG).read_bytes()
    first = log.index(b"\n") + 1
    (folder / records.LOG).write_bytes(log[: first + int(cut * (len(log) - first))])
    run(own)
    assert files(folder) == before
    assert [line["board"] for line in journal(folder)] == ["B001", "B002", "B002"]


@pytest.mark.parametrize(
    "rubbish", [b'{"board": "B001", "sho', b"\xff\xfe\n", b"[1, 2]\n", b'{"shots": 3}\n', b"\0" * 64]
)
def test_a_damaged_journal_costs_only_time(own: SmallLot, rubbish: bytes) -> None:
    folder = run(own)
    before = files(folder)
    with (folder / "run.jsonl").open("ab") as log:
        log.write(rubbish)
    run(own)
    run(own)
    assert files(folder) == before
    assert measured(folder) == ["B001", "B002"]


def test_other_versions_do_not_resume_unless_told(own: SmallLot) -> None:
    folder = run(own)
    state = json.loads((folder / "run.json").read_text())
    state["versions"]["numpy"] = "0.1"
    (folder / "run.json").write_text(json.dumps(state))
    with pytest.raises(StaleRunError, match=r"numpy 0\.1 -> "):
        run(own)
    assert run(own, any_versions=True) == folder
    assert measured(folder) == ["B001", "B002"]


# what goes wrong --------------------------------------------------------------------------


def test_a_directory_has_one_run_at_a_time(own: SmallLot) -> None:
    folder = run(own)
    with records.lock(folder), pytest.raises(LockedError):
        run(own)
    assert measured(folder) == ["B001", "B002"]


def test_a_bug_in_a_step_costs_one_board_and_is_not_kept(own: SmallLot, registry: None) -> None:
    calls: list[int] = []

    @step(version=1)
    def fragile(plane: Plane) -> Mask:
        """Breaks on the first board that it sees."""
        calls.append(1)
        if len(calls) == 1:
            raise IndexError("a bug")
        return plane > 0.1

    text = FLUX.replace("exclude:", "  weak: {step: fragile, of: opacity}\nexclude:") + "keep: [weak]\n"
    own.workflow.write_text(text)
    with api.run(own.lot, own.workflow, out=own.folder / "runs", workers=0) as dataset:
        assert dataset.attrs["exit_code"] == 1
        folder = Path(dataset.attrs["folder"])
    assert rows(folder)["B001"]["reason"] == "internal_error"
    assert rows(folder)["B002"]["outcome"] == "measured"
    assert measured(folder) == ["B002"], "a bug is not a result of the board"
    assert "IndexError: a bug" in journal(folder)[0]["failure"]
    with api.run(own.lot, own.workflow, out=own.folder / "runs", workers=0) as dataset:
        assert dataset.attrs["exit_code"] == 0
    assert measured(folder) == ["B002", "B001"]


def test_a_scheduler_that_nobody_runs_ends_the_run_in_time(own: SmallLot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"):
        run(own, workers=None, cluster=Cluster(kind="address", address="tcp://127.0.0.1:9"))
    (folder,) = (own.folder / "runs").iterdir()
    state = json.loads((folder / "run.json").read_text())
    assert state["status"] == "interrupted"
    assert run(own) == folder, "the same command resumes"


def test_an_interrupted_run_says_so_and_resumes(own: SmallLot) -> None:
    def stop(progress: Any) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(own, on_progress=stop)
    (folder,) = (own.folder / "runs").iterdir()
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
    assert measured(folder) == ["B001"]
    run(own)
    assert measured(folder) == ["B001", "B002"]
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


def test_every_mistake_of_every_file_ends_the_run_before_it_starts(own: SmallLot) -> None:
    own.workflow.write_text(FLUX.replace("step: unmix", "step: unmixx"))
    own.board_type.write_text(own.board_type.read_text() + "gats: {}\n")
    with pytest.raises(ConfigError) as caught:
        run(own)
    text = str(caught.value)
    assert "gats" in text
    assert not (own.folder / "runs").exists()


@pytest.mark.parametrize("given", [{"executor": "fast"}, {"tile": 100}, {"tile": -64}])
def test_wrong_arguments_are_refused(own: SmallLot, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        run(own, **given)


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


def test_a_pair_that_cannot_be_measured_is_a_refused_record(lot: SmallLot, tmp_path: Path) -> None:
    record = api.try_pair(lot.board_type, lot.shot(0, "before"), tmp_path / "missing.jpg", lot.workflow)
    assert (record["outcome"], record["reason"]) == ("refused", "unreadable")
    assert "missing.jpg" in record["message"]
