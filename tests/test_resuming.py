"""A run comes back to its directory: what changed is measured again and nothing else is, whatever went wrong."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import small
from run_directory import files, measured, rows
from small import FLUX, SmallLot

from residue_batch import api, records
from residue_batch import board as boards
from residue_batch.config import Cluster
from residue_batch.engine import cluster as rooms
from residue_batch.errors import ClusterError, ConfigError, LockedError, StaleRunError, UsageError
from residue_batch.step import Mask, Plane, step


def journal(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


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


def test_a_damaged_run_json_is_written_new(own: SmallLot) -> None:
    folder = run(own)
    (folder / "run.json").write_text("{bad")
    assert run(own) == folder
    assert json.loads((folder / "run.json").read_text())["status"] == "finished"


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


@pytest.mark.parametrize("given", [{"executor": "fast"}, {"tile": 100}, {"tile": -64}, {"workers": -1}])
def test_wrong_arguments_are_refused(own: SmallLot, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        run(own, **given)
