"""The exit codes, the first that applies: 1, 2, 4, 5, 130, 6, 3, 0."""

from __future__ import annotations

import pytest

from residue_batch import api, records
from residue_batch.errors import ClusterError


def run_of(lot, *more):
    return ("run", lot.lot, "--workflow", lot.workflow, "--workers", 0, *more)


def test_a_lot_without_trouble_ends_with_0(residue, lot):
    result = residue(*run_of(lot))
    assert result.exit_code == 0
    assert "2 measured, 0 refused" in result.stdout
    assert "report.html" in result.stdout


def test_a_lot_with_refused_boards_ends_with_3(residue, mixed):
    result = residue(*run_of(mixed))
    assert result.exit_code == 3
    assert "1 measured, 2 refused" in result.stdout
    assert "unpaired" in result.stdout
    assert "copy the file again" in result.stderr


def test_a_limit_that_is_missed_ends_with_6_although_boards_are_refused(residue, mixed):
    result = residue(*run_of(mixed, "--set", "limits.load_reduction_pct.min=101"))
    assert result.exit_code == 6
    assert "verdict: fail" in result.stdout
    assert "missed a limit: B001" in result.stderr


def test_a_limit_that_is_met_is_said(residue, lot):
    result = residue(*run_of(lot, "--set", "limits.load_reduction_pct.min=-1000"))
    assert result.exit_code == 0
    assert "verdict: pass" in result.stdout


def test_a_pair_without_a_number_ends_with_3(residue, mixed):
    result = residue("try", mixed.board_type, mixed.shot(0, "before"), mixed.shot(0, "before"))
    assert result.exit_code == 3
    assert "same_photo" in result.stderr
    assert "give the shot taken after cleaning" in result.stderr


@pytest.mark.parametrize(
    "given",
    [("run",), ("nothing",), ("run", "--executor", "magic", "x"), ("run", "x", "--tile", "7"), ("schema",),
     ("run", "no_such_lot"), ("status", "nowhere"), ("report", "nowhere"), ("steps", "glar"), ("check", "nothing"),
     ("new", "board", "a/b"), ("try", "any_board", "no.jpg", "no.jpg"), ("lot", "scan", "no_such_lot"),
     ("reference", "show", "typo")],
)  # fmt: skip
def test_wrong_usage_and_configuration_end_with_2(residue, given):
    result = residue(*given)
    assert result.exit_code == 2
    assert "error" in result.stdout + result.stderr


def test_a_run_that_another_process_writes_ends_with_4(residue, mixed, tmp_path):
    residue(*run_of(mixed))
    folder = next((tmp_path / "runs").iterdir())
    with records.lock(folder):
        result = residue(*run_of(mixed))
        assert '"being_written": true' in residue("status", folder, "--json").stdout
    assert result.exit_code == 4
    assert "another run" in result.stderr


def _raise(error):
    def call(*given, **more):
        raise error

    return call


def test_a_lost_cluster_ends_with_5(residue, mixed, monkeypatch):
    monkeypatch.setattr(api, "run", _raise(ClusterError("the Dask scheduler went away; the same command resumes")))
    result = residue(*run_of(mixed))
    assert result.exit_code == 5
    assert "the same command resumes" in result.stderr


def test_an_interruption_ends_with_130(residue, mixed, monkeypatch):
    monkeypatch.setattr(api, "run", _raise(KeyboardInterrupt()))
    result = residue(*run_of(mixed))
    assert result.exit_code == 130
    assert "the same command resumes" in result.stderr


def test_a_bug_ends_with_1_and_one_line_that_says_how_to_see_more(residue, mixed, monkeypatch):
    monkeypatch.setattr(api, "run", _raise(ZeroDivisionError("oops")))
    result = residue(*run_of(mixed))
    assert result.exit_code == 1
    assert "this is a bug: ZeroDivisionError: oops" in result.stderr
    assert "--debug" in result.stderr
    shown = residue(*run_of(mixed, "--debug"))
    assert shown.exit_code == 1
    assert "Traceback" in shown.stderr


def test_a_folder_that_cannot_be_written_is_no_bug(residue, mixed, tmp_path):
    (tmp_path / "file").write_text("")
    result = residue(*run_of(mixed, "--out", tmp_path / "file" / "runs"))
    assert result.exit_code == 2
    assert "Not a directory" in result.stderr


def test_the_same_command_again_measures_nothing_twice(residue, mixed, tmp_path):
    first = residue(*run_of(mixed))
    folder = next((tmp_path / "runs").iterdir())
    before = (folder / "boards.csv").read_bytes(), (folder / "records.log").read_bytes()
    second = residue(*run_of(mixed))
    assert (first.exit_code, second.exit_code) == (3, 3)
    assert before == ((folder / "boards.csv").read_bytes(), (folder / "records.log").read_bytes())
