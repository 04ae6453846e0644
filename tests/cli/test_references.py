"""The commands that build and show a reference."""

from __future__ import annotations

import json
from pathlib import Path

import small


def test_a_reference_is_built_shown_and_named(residue, tmp_path):
    made = small.make_lot(tmp_path / "lot", 3)
    given = ("reference", "build", "--lot", made.lot, "--out", "refs", "--workers", "0")
    result = residue(*given)
    assert result.exit_code == 0, result.output
    assert "6 shots used, 0 left out" in result.stdout
    assert "built:" in result.stderr
    again = json.loads(residue(*given, "--json").stdout)
    assert (Path(again["folder"]).name, again["new"], len(again["shots"])) == ("v1", False, 6)
    shown = json.loads(residue("reference", "show", "refs/v1", "--json").stdout)
    assert shown["digest"] == again["digest"]
    assert "6 shots used" in residue("reference", "show", "refs/v1").stdout
    nothing = residue("reference", "show", "refs")
    assert nothing.exit_code == 3
    assert "v1" in nothing.stderr
    planned = residue("plan", write_lot(made), "--workflow", made.workflow).stdout
    assert "1 reference built from 6 shots" in planned


def write_lot(made):
    """The same lot with a board type whose reference is the lot's."""
    small.write_type(made.board_type, made.truth, "lot")
    return made.lot


def test_a_lot_of_few_boards_gives_no_reference(residue, mixed, tmp_path):
    result = residue("reference", "build", "--lot", mixed.lot, "--out", tmp_path / "refs", "--workers", "0")
    assert result.exit_code == 3
    assert "lot_reference" in result.stderr
    assert not (tmp_path / "refs" / "v1").exists()
    wrong = residue("reference", "build", "--lot", mixed.lot, "--board-type", "demo_board", "--out", tmp_path / "refs")
    assert wrong.exit_code == 2
