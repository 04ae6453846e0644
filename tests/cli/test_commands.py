"""What each command says, to people and as JSON."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from residue_batch.cli import residue as commands


def given_for(lot, finished):
    """One sound call of every command."""
    run = (lot.lot, "--workflow", lot.workflow, "--workers", "0")
    return {
        ("demo",): None,  # tests/test_shipped.py: it takes its time
        ("new", "board"): ("panel",),
        ("check",): (lot.board_type,),
        ("try",): (lot.board_type, lot.shot(0, "before"), lot.shot(0, "after"), "--workflow", lot.workflow),
        ("lot", "scan"): (lot.lot,),
        # the small lot is too small for a reference: tests/cli/test_references.py
        ("reference", "build"): None,
        ("reference", "show"): None,
        ("run",): run,
        ("plan",): run,
        ("bench",): (*run, "--boards", "1"),
        ("status",): (finished,),
        ("report",): (finished,),
        ("steps",): (),
        ("schema",): ("workflow",),
        ("compare",): (lot.shot(0, "before"), lot.shot(0, "after")),
        ("blanks",): run,
        ("nullcheck",): run,
        ("selftest",): (
            "--board-type",
            lot.board_type,
            "--workflow",
            lot.workflow,
            "--workers",
            "0",
            "--boards",
            "1",
        ),
    }


def every_command(group, above=()):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from every_command(command, (*above, name))
        else:
            yield (*above, name)


def test_every_command_prints_one_json_document(residue, mixed, finished):
    given = given_for(mixed, finished)
    assert set(every_command(commands)) == set(given)
    for command, arguments in given.items():
        if arguments is not None:
            result = residue(*command, *arguments, "--json")
            assert isinstance(json.loads(result.stdout), dict), command


def test_every_command_explains_itself(residue):
    for command in every_command(commands):
        result = residue(*command, "--help")
        assert result.exit_code == 0
        assert "--json" in result.stdout
        assert "--debug" in result.stdout


# check, new, schema, steps ---------------------------------------------------------------


def test_check_says_which_file_won_and_why(residue, tmp_path):
    assert "shipped with residue-batch" in residue("check", "flux_residue").stdout
    (tmp_path / "workflows").mkdir()
    (tmp_path / "workflows" / "flux_residue.yaml").write_text(
        "schema: 1\nworkflow: mine\nplanes: {opacity: {step: unmix}}\nmeasures: {load: {measure: load, of: opacity}}\n"
    )
    assert "in ./workflows" in residue("check", "flux_residue").stdout


def test_check_of_a_workflow_prints_passes_scope_and_unused_planes(residue, mixed):
    shown = residue("check", "film_and_crystals").stdout
    assert "pass 1 fits film.before, film.after" in shown
    assert "pass 2 measures" in shown
    assert "each shot" in shown
    facts = json.loads(residue("check", "flux_residue", "--board-type", mixed.board_type, "--json").stdout)
    assert facts["checked"][0]["facts"]["references"] == ["golden"]
    assert facts["checked"][0]["facts"]["unused"] == ["residue"]


def test_check_finds_the_scope_of_planes(residue, tmp_path):
    (tmp_path / "w.yaml").write_text(
        "schema: 1\nworkflow: w\nplanes:\n  opacity: {step: unmix}\n  metal: {step: whiteness, of: reference}\n"
        "  gone: {step: difference, of: [opacity.before, opacity.after]}\n"
        "measures:\n  load: {measure: load, of: opacity}\n  gone: {measure: intensity, of: gone}\n"
        "  metal: {measure: intensity, of: metal, where: outline}\n"
    )
    facts = json.loads(residue("check", "w.yaml", "--json").stdout)["checked"][0]["facts"]
    assert {p["plane"]: p["scope"] for p in facts["planes"]} == {"opacity": "shot", "metal": "type", "gone": "pair"}


def test_check_accepts_millimetres_and_says_what_they_need(residue, tmp_path):
    (tmp_path / "w.yaml").write_text(
        "schema: 1\nworkflow: w\nblur: 0.05 mm\nplanes: {opacity: {step: unmix}}\n"
        "measures: {load: {measure: load, of: opacity}}\n"
    )
    result = residue("check", "w.yaml")
    assert result.exit_code == 0
    assert "pixel_size_um" in result.stdout


def test_check_of_a_board_type_says_how_large_its_regions_are(residue, mixed):
    facts = json.loads(residue("check", mixed.board_type, "--json").stdout)["checked"][0]["facts"]
    assert facts["frame_px"] == [480, 360]
    assert facts["regions"]["whole"]["pixels"] > facts["regions"]["lower"]["pixels"] > 0
    assert facts["regions"]["whole"]["mm2"] > 0


def test_check_without_a_name_checks_everything_in_reach(residue):
    checked = json.loads(residue("check", "--json").stdout)["checked"]
    assert {"workflow", "board_type", "lot", "cluster"} == {one["kind"] for one in checked}


def test_check_of_a_name_of_two_kinds_checks_both(residue, tmp_path):
    (tmp_path / "configs" / "lots").mkdir(parents=True)
    text = "schema: 1\nlot: x\nboard_type: any_board\npattern: '{board}_{phase}.*'\n"
    (tmp_path / "configs" / "lots" / "any_board.yaml").write_text(text)
    checked = json.loads(residue("check", "any_board", "--json").stdout)["checked"]
    assert [one["kind"] for one in checked] == ["board_type", "lot"]


def test_a_new_board_type_is_sound_and_never_overwritten(residue, tmp_path):
    assert residue("new", "board", "panel").stdout.strip() == "configs/boards/panel.yaml"
    assert residue("check", "panel").exit_code == 0
    (tmp_path / "configs" / "boards" / "panel.yaml").write_text("mine")
    again = residue("new", "board", "panel")
    assert again.exit_code == 2
    assert "exists" in again.stderr
    assert (tmp_path / "configs" / "boards" / "panel.yaml").read_text() == "mine"


def test_a_new_board_type_goes_to_stdout_when_asked(residue, tmp_path):
    assert yaml.safe_load(residue("new", "board", "-").stdout)["schema"] == 1
    assert not list(tmp_path.iterdir())


def test_steps_lists_every_step_and_measure_with_its_parameters(residue):
    from residue_batch.measure import MEASURES
    from residue_batch.step import STEPS

    shown = residue("steps").stdout
    for name, registered in (STEPS | MEASURES).items():
        line = next(line for line in shown.splitlines() if line.startswith(f"{name} "))
        assert all(key in line for key in registered.signature.keys)


def test_steps_shows_the_page_of_one_with_units_and_defaults(residue):
    shown = residue("steps", "glare").stdout
    assert "Saturated pixels where the clean board is metal" in shown
    grow = next(line for line in shown.splitlines() if line.startswith("grow  "))
    assert "a length" in grow
    assert "5 px" in grow
    assert "<key>_reduction_pct" not in residue("steps", "load").stdout


# try, lot scan, plan, run ----------------------------------------------------------------


def test_try_prints_the_numbers_and_what_the_flags_mean(residue, mixed, tmp_path):
    result = residue(
        "try", mixed.board_type, mixed.shot(0, "before"), mixed.shot(0, "after"), "--workflow", mixed.workflow,
        "--planes", tmp_path / "planes",
    )  # fmt: skip
    assert result.exit_code == 0
    whole = next(line for line in result.stdout.splitlines() if line.startswith("whole") and " load " in line)
    assert whole.count("%") == 4
    assert "few_blocks: The area is small" in result.stdout
    assert "uncertain by: " in result.stdout
    assert "load after - before: " in result.stdout
    assert "correlation" in result.stdout
    assert (tmp_path / "planes" / "opacity.before.png").stat().st_size > 0


def test_try_as_json_is_the_record(residue, mixed):
    given = given_for(mixed, None)["try",]
    record = json.loads(residue("try", *given, "--json").stdout)
    assert record["outcome"] == "measured"
    assert record["values"]["load_reduction_pct"][0] == pytest.approx(mixed.truth.boards[0].whole.reduction_pct, abs=8)


def test_scan_lists_what_is_wrong_with_reasons_and_remedies(residue, mixed):
    result = residue("lot", "scan", mixed.lot)
    assert result.exit_code == 3
    assert "there is no after shot" in result.stdout
    assert "add the shot" in result.stdout
    assert "3 boards, 2 can be measured" in result.stdout
    assert "B001" not in result.stdout
    assert "B001" in residue("lot", "scan", mixed.lot, "--all").stdout


def test_a_lot_without_a_board_is_no_good_news(residue, mixed, tmp_path):
    """A script that scans before it runs stops here."""
    text = mixed.lot.read_text()
    assert "pattern:" in text
    lot = mixed.lot.with_name("astray.yaml")
    lot.write_text(re.sub("pattern:.*", 'pattern: "nothing/{board}_{phase}.*"', text))
    result = residue("lot", "scan", lot)
    assert result.exit_code == 3
    assert "0 boards, 0 can be measured" in result.stdout
    assert "fits the pattern" in result.stderr
    assert "says why boards cannot be measured" in residue("check", lot).output


def test_plan_and_dry_run_say_the_same_and_write_nothing(residue, mixed, tmp_path):
    options = (mixed.lot, "--workflow", mixed.workflow, "--workers", "2")
    planned, dry = residue("plan", *options), residue("run", *options, "--dry-run")
    assert planned.stdout == dry.stdout
    assert planned.exit_code == dry.exit_code == 0
    for word in ("boards", "tiles", "pass", "tasks", "peak memory", "time", "input"):
        assert word in planned.stdout
    assert not (tmp_path / "runs").exists()


def test_run_as_json_holds_state_statistics_and_boards(residue, mixed):
    result = residue("run", mixed.lot, "--workflow", mixed.workflow, "--workers", 0, "--json")
    said = json.loads(result.stdout)
    assert said["exit_code"] == result.exit_code == 3
    assert said["counts"] == {"boards": 3, "measured": 1, "refused": 2}
    assert [b["board"] for b in said["boards"]] == ["B001", "B002", "B003"]
    assert [b["outcome"] for b in said["boards"]] == ["measured", "refused", "refused"]
    assert said["boards"][1]["load_reduction_pct"] is None
    assert said["boards"][2]["remedy"]
    assert any(row["region"] == "lower" for row in said["lots"])


def test_a_profile_shows_where_the_time_went(residue, lot):
    run = ("run", lot.lot, "--workflow", lot.workflow, "--workers", 0, "--profile")
    shown = residue(*run).stdout
    assert "profile of 2 boards" in shown
    assert "by the clock: prepare" in shown
    rows = [line.split() for line in shown.splitlines()]
    stages = [row[0] for row in rows if row and row[0] in ("open", "match", "measure")]
    assert stages[:3] == ["open", "match", "measure"]
    assert any(row[:2] == ["match", "register"] for row in rows)
    # the same command again measures nothing and knows it still
    assert json.loads(residue(*run, "--json").stdout)["profile"]["boards"] == 2


def test_a_setting_above_the_files_is_another_run(residue, mixed, tmp_path):
    options = ("run", mixed.lot, "--workflow", mixed.workflow, "--workers", 0)
    residue(*options)
    residue(*options, "--set", "planes.glare.grow=2 px")
    assert len(list((tmp_path / "runs").iterdir())) == 2


# status, report --------------------------------------------------------------------------


def test_status_says_how_far_a_run_is(residue, finished, tmp_path):
    said = json.loads(residue("status", finished, "--json").stdout)
    assert (said["status"], said["boards"], said["refused"], said["exit_code"]) == ("finished", 3, 2, 3)
    assert "finished" in residue("status", finished).stdout


def test_status_of_a_killed_run_says_that_it_can_be_resumed(residue, finished, tmp_path):
    import shutil

    killed = shutil.copytree(finished, tmp_path / "killed")
    state = json.loads((killed / "run.json").read_text())
    (killed / "run.json").write_text(json.dumps({**state, "status": "running"}))
    assert "interrupted (the same command resumes)" in residue("status", killed).stdout


def test_report_is_written_again(residue, finished, tmp_path):
    import shutil

    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "report.html").unlink()
    assert residue("report", copy).stdout.strip() == str(copy / "report.html")
    page = (copy / "report.html").read_text()
    assert "B001" in page
    assert "data:image" in page
    assert residue("report", tmp_path).exit_code == 2
