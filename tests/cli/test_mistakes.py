"""Bad input: a clear message with its place and its remedy, never a traceback."""

from __future__ import annotations

import re
import shutil

import pytest
import small

FIVE = """\
schema: 1
workflow: bad
planes:
  opacity: {step: unmix}
  residue: {step: threshold, of: opacty, level: 0.05}
  spots: {step: threshold, of: opacity, levl: 0.05, level: 0.1}
  film: {step: gaussian, of: opacity, sigma: 5}
  one: {step: not, of: other}
  other: {step: not, of: one}
measures:
  load: {measure: load, of: opacity}
limts: {}
"""


def test_five_different_mistakes_in_one_file_are_all_shown_with_line_and_column(residue, tmp_path):
    (tmp_path / "bad.yaml").write_text(FIVE)
    result = residue("check", "bad.yaml")
    assert result.exit_code == 2
    shown = result.stdout
    assert re.search(r"bad.yaml:5:34: there is no plane 'opacty'", shown)
    assert re.search(r"bad.yaml:6:41: .*'levl'; did you mean 'level'", shown)
    assert re.search(r"bad.yaml:7:46: 5 has no unit: write 5 px", shown)
    assert re.search(r"bad.yaml:8:3: planes go round in a circle: one -> other -> one", shown)
    assert re.search(r"bad.yaml:12:1: unknown key 'limts'", shown)
    assert "did you mean 'opacity'" in shown
    assert "did you mean 'limits'" in shown
    assert "5 mistakes in 1 file" in result.stderr


def test_the_caret_stands_under_the_mistake(residue, tmp_path):
    (tmp_path / "bad.yaml").write_text(FIVE)
    lines = residue("check", "bad.yaml").stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if "opacty'" in line)
    assert lines[at + 1][lines[at + 2].index("^") :].startswith("opacty")


def test_mistakes_of_all_files_of_a_run_are_shown_together(residue, copied):
    (copied / "flux.yaml").write_text(FIVE.replace("limts: {}\n", ""))
    (copied / "small.yaml").write_text((copied / "small.yaml").read_text().replace("white:", "whit:"))
    result = residue("run", copied / "lot.yaml", "--workflow", copied / "flux.yaml")
    assert result.exit_code == 2
    assert "unknown key 'whit'" in result.stderr


def test_a_mistake_that_only_follows_from_another_is_not_shown(residue, tmp_path):
    text = (
        "schema: 1\nworkflow: w\nplanes:\n  opacity: {stap: unmix}\nmeasures:\n  load: {measure: load, of: opacity}\n"
    )
    (tmp_path / "bad.yaml").write_text(text)
    shown = residue("check", "bad.yaml").stdout
    assert "bad.yaml:4" in shown
    assert "no plane" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema: 1\nplanes: {a: b: c}\n", "a.yaml:2"),
        ("just text\n", "a.yaml"),
        ("schema: 1\nsomething: else\n", "do not tell what this file is"),
        ("", "a.yaml"),
        ("schema: 1\nboard_type: x\nreference: golden\ngolden: nowhere.jpg\n", "nowhere.jpg"),
        ("schema: 1\nlot: x\nboard_type: no_such_type\nroot: .\npattern: '{board}_{phase}.*'\n", "no_such_type"),
        ("schema: 1\nkind: locl\n", "did you mean 'local'"),
    ],
)
def test_files_of_every_kind_are_refused_with_a_reason(residue, tmp_path, text, said):
    (tmp_path / "a.yaml").write_text(text)
    result = residue("check", "a.yaml")
    assert result.exit_code == 2
    assert said in result.stdout


def test_a_misspelt_name_is_answered_with_the_right_one(residue):
    assert "did you mean 'flux_residue'" in residue("check", "flux_residu").stdout


def test_a_region_outside_the_board_is_a_mistake(residue, copied):
    path = copied / "small.yaml"
    path.write_text(path.read_text().replace("box: [0, 180, 480, 180]", "box: [0, 1180, 480, 180]"))
    result = residue("check", path)
    assert result.exit_code == 2
    assert "region 'lower' has no pixel" in result.stdout


def test_elements_that_are_not_found_are_a_mistake(residue, copied):
    path = copied / "small.yaml"
    path.write_text(path.read_text() + "  six: {found: {what: bright_metal, expect: 60, area: [10 px2, 20 px2]}}\n")
    result = residue("check", path)
    assert result.exit_code == 2
    assert "of 60 elements" in result.stdout


def run_copied(residue, copied):
    return residue("run", copied / "lot.yaml", "--workflow", copied / "flux.yaml", "--workers", 0)


def test_a_missing_file_refuses_its_board_only(residue, copied):
    shots = copied / "shots" / "L1"
    (shots / "B001_after.png").unlink()
    shutil.copy(shots / "B002_before.png", shots / "B002_after.png")
    result = run_copied(residue, copied)
    assert result.exit_code == 3
    assert "unpaired" in result.stdout
    assert "same_photo" in result.stdout


def test_an_unreadable_image_refuses_its_board_only(residue, copied):
    (copied / "shots" / "L1" / "B001_before.png").write_text("this is no picture")
    result = run_copied(residue, copied)
    assert result.exit_code == 3
    assert "B001" in result.stdout
    assert "0 measured, 3 refused" in result.stdout


def test_two_photographs_for_one_board_and_phase_are_ambiguous(residue, copied):
    shots = copied / "shots" / "L1"
    shutil.copy(shots / "B001_before.png", shots / "B001_before.tif")
    result = run_copied(residue, copied)
    assert result.exit_code == 3
    assert "ambiguous" in result.stdout
    scanned = residue("lot", "scan", copied / "lot.yaml")
    assert scanned.exit_code == 3
    assert "B001_before.tif" in scanned.stdout


def test_shots_of_another_size_are_measured_or_refused(residue, copied):
    path = copied / "shots" / "L1" / "B001_after.png"
    image = small.read_image(path)
    small.write_image(path, image[: image.shape[0] // 2])
    result = run_copied(residue, copied)
    assert result.exit_code == 3
    assert "3 boards" in result.stdout


def test_an_error_with_json_is_a_json_document(residue, tmp_path):
    import json

    result = residue("run", "no_such_lot", "--json")
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.exit_code == 2
    assert "no_such_lot" in said["error"]["problems"][0]["message"]


@pytest.mark.parametrize("name", ["status", "tau", "load_noise", "light_gain"])
def test_a_measure_with_a_name_that_is_taken_is_a_mistake(residue, tmp_path, name):
    """It would be found out when every board is measured, and the tables cannot be written."""
    text = f"schema: 1\nextends: flux_residue\nworkflow: w\nmeasures:\n  {name}: {{measure: load, of: opacity}}\n"
    (tmp_path / "w.yaml").write_text(text)
    result = residue("check", "w.yaml")
    assert result.exit_code == 2
    assert f"w.yaml:5:3: '{name}' gives a number '{name}', which is a name of" in result.stdout
