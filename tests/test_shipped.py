"""What ships beside the code: workflows, board types, lots, clusters, schemas, the demo."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from residue_batch import api
from residue_batch.cli import residue as commands
from residue_batch.cli.schemas import schema_of
from residue_batch.config import known_names, load_board_type, load_workflow
from residue_batch.config.load import MODELS, shipped
from residue_batch.demo import COLOUR, SEED, SHAPE, SPOILT, demo
from residue_batch.synthetic import photograph, render_board

ROOT = shipped()
FILES = sorted([*ROOT.glob("workflows/*.yaml"), *ROOT.glob("configs/*/*.yaml")])
WORKFLOWS = [path.stem for path in ROOT.glob("workflows/*.yaml")]
OF_OPACITY = [name for name in WORKFLOWS if "load" in load_workflow(name).measures]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_shipped_file_checks_clean(path):
    (checked,) = api.check([path])
    assert checked.sound, checked.problems


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_shipped_file_names_its_schema_first_and_explains_itself(path):
    lines = path.read_text().splitlines()
    modeline = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", lines[0])
    assert modeline
    (checked,) = api.check([path])
    assert (path.parent / modeline[1]).resolve() == ROOT / "configs" / "schemas" / f"{checked.kind}.json"
    comments = sum(line.lstrip().startswith("#") for line in lines)
    assert comments >= len(lines) / 4
    assert yaml.safe_load(path.read_text())["description"]


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_shipped_file_fits_its_schema(path):
    jsonschema = pytest.importorskip("jsonschema")
    (checked,) = api.check([path])
    jsonschema.Draft202012Validator(schema_of(checked.kind)).validate(yaml.safe_load(path.read_text()))


def test_the_schema_of_a_workflow_knows_the_parameters_of_each_step():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema_of("workflow"))
    good = yaml.safe_load((ROOT / "workflows" / "flux_residue.yaml").read_text())
    for spoil in ({"step": "thresold"}, {"levl": 0.1}, {"level": "high"}):
        planes = {**good["planes"], "residue": {**good["planes"]["residue"], **spoil}}
        assert list(validator.iter_errors({**good, "planes": planes})), spoil


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_the_committed_schemas_are_those_of_the_code(kind):
    committed = json.loads((ROOT / "configs" / "schemas" / f"{kind}.json").read_text())
    assert committed == schema_of(kind), "run: residue schema --out configs/schemas"


def test_names_reach_everything_that_ships():
    reached = {found.path.resolve() for kind in MODELS for _, found in known_names(kind)}
    assert {path.resolve() for path in FILES} <= reached


def test_nothing_is_kept_and_no_limit_is_set_unless_one_asks():
    for name in WORKFLOWS:
        workflow = load_workflow(name)
        # its mask is what one looks at: it stands for no opacity
        assert not workflow.keep or name == "bright_particles"
        assert not workflow.limits


@pytest.mark.parametrize("workflow", OF_OPACITY)
def test_every_shipped_workflow_measures_a_board(workflow, lot):
    truth = lot.truth.boards[0].whole
    record = api.try_pair(lot.board_type, lot.shot(0, "before"), lot.shot(0, "after"), workflow)
    assert record["outcome"] == "measured", record["message"]
    assert record["values"]["load_reduction_pct"][0] == pytest.approx(truth.reduction_pct, abs=8)


@pytest.mark.parametrize("board_type", ["as_taken", "any_board"])
def test_particles_are_found_where_residue_is(board_type, lot):
    record = api.try_pair(board_type, lot.shot(0, "before"), lot.shot(0, "after"), "bright_particles")
    assert record["outcome"] == "measured", record["message"]
    assert record["values"]["grains"][0][0] > 0.01


@pytest.mark.parametrize("workflow", OF_OPACITY)
def test_any_board_measures_a_pair_of_which_nothing_is_known(workflow, lot):
    record = api.try_pair("any_board", lot.shot(0, "before"), lot.shot(0, "after"), workflow)
    assert record["outcome"] == "measured", record["message"]
    assert record["regions"] == ["whole", "upper_half", "lower_half"]
    assert all("indicative" in flags for flags in record["flags"])
    assert record["values"]["load_reduction_pct"][0] > 0


def test_a_film_is_told_from_crystals(tmp_path):
    """A haze is all film; small thick spots are mostly crystals."""
    from residue_batch.synthetic import plant_residue, write_shot

    board = render_board(SEED, SHAPE, COLOUR, 0)
    clean = photograph(board, None, 1, "fixed").pixels
    haze = np.where(board.inside(), np.float32(0.06), np.float32(0))
    spots = plant_residue(board, 5, 0.02, kinds=("crystal",))
    shares = {}
    write_shot(tmp_path / "after.png", clean)
    for name, opacity in {"haze": haze, "spots": spots}.items():
        write_shot(tmp_path / f"{name}.png", photograph(board, opacity, 2, "fixed").pixels)
        record = api.try_pair("demo_board", tmp_path / f"{name}.png", tmp_path / "after.png", "film_and_crystals")
        values = record["values"]
        shares[name] = values["film"][0][0] / values["load"][0][0]
    assert shares["haze"] > 0.9
    assert shares["spots"] < 0.6


# the demo ------------------------------------------------------------------------------


def test_the_golden_shot_of_the_demo_board_is_the_rendered_one():
    golden = Path(str(load_board_type("demo_board").golden))
    assert golden.stat().st_size < 600_000
    committed = cv2.imread(str(golden))
    assert committed is not None
    rendered = photograph(render_board(SEED, SHAPE, COLOUR), None, SEED, "fixed", 8).pixels[:, :, ::-1]
    assert committed.shape == rendered.shape
    assert np.abs(committed.astype(np.int16) - rendered).mean() < 4


def test_the_geometry_of_the_demo_board_is_that_of_the_rendered_one():
    board, board_type = render_board(SEED, SHAPE, COLOUR), load_board_type("demo_board")
    assert board_type.outline is not None
    assert [tuple(p) for p in board_type.outline.polygon] == [tuple(p) for p in board.outline]
    assert board_type.ignore[0].box == board.label
    assert board_type.pixel_size_um == pytest.approx(1000 / board.mm, abs=0.01)
    (checked,) = api.check(["demo_board"])
    regions = checked.facts["regions"]
    real = sum(w * h for _, _, w, h in board.elements)
    assert regions["elements"]["pixels"] == pytest.approx(real, rel=0.15)
    bars = sum(w * h for _, _, w, h in board.bars)
    assert regions["elements"]["ignored_pixels"] == pytest.approx(bars, rel=0.15)


def test_the_demo_ends_well_refuses_what_it_spoilt_and_resumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = CliRunner().invoke(commands, ["demo", "--boards", "1", "--workers", "0"])
    assert first.exit_code == 0, first.output
    assert "mean absolute error" in first.stdout
    assert first.stdout.count("refused on purpose") == len(SPOILT)
    again = demo("demo", 1, workers=0)
    assert not again.failures
    assert Path(again.report).is_file()
    assert {b.kind: b.outcome for b in again.boards} == {
        "reduce": "measured",
        "truncated": "refused",
        "unpaired": "refused",
    }
    # the shipped lot 'demo' finds the same photographs
    scanned = CliRunner().invoke(commands, ["lot", "scan", "demo", "--set", "lot.root=demo", "--json"])
    assert json.loads(scanned.stdout)["usable"] == 2
    other = CliRunner().invoke(commands, ["demo", "--boards", "2", "--workers", "0"])
    assert other.exit_code == 2
    assert "another demo" in other.stderr


def test_the_demo_fails_when_its_numbers_are_wrong():
    from residue_batch.demo import Compared, Demo

    sound = Compared("B1", "reduce", 90.0, 91.0, "measured", "")
    wrong = Compared("B2", "reduce", 90.0, 80.0, "measured", "")
    spoilt = Compared("B3", "truncated", None, None, "refused", "unreadable")
    kept = Compared("B4", "unpaired", None, None, "measured", "")
    assert not Demo("l", "r", "h", (sound, spoilt)).failures
    assert len(Demo("l", "r", "h", (sound, wrong, kept)).failures) == 2


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    result = CliRunner().invoke(commands, ["demo", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
