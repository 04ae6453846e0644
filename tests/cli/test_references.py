"""The commands that build and show a reference."""

from __future__ import annotations

import json
import re
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
    # the board type of the call stands above that of the lot, as everywhere
    other = made.lot.with_name("other.yaml")
    other.write_text(re.sub("board_type:.*", "board_type: demo_board", made.lot.read_text()))
    above = ("reference", "build", "--lot", other, "--board-type", made.board_type, "--out", "refs", "--workers", "0")
    assert json.loads(residue(*above, "--json").stdout)["digest"] == again["digest"]
    shown = json.loads(residue("reference", "show", "refs/v1", "--json").stdout)
    assert shown["digest"] == again["digest"]
    assert "6 shots used" in residue("reference", "show", "refs/v1").stdout
    nothing = residue("reference", "show", "refs")
    assert nothing.exit_code == 2
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
    wrong = residue("reference", "build", "--lot", mixed.lot, "--board-type", "nowhere", "--out", tmp_path / "refs")
    assert wrong.exit_code == 2
