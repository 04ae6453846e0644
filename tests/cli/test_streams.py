"""Pipes, colours and start-up: the command as a process."""

from __future__ import annotations

import os
import subprocess
import sys

LIGHT = [
    ("--help",),
    ("run", "--help"),
    ("check",),
    ("check", "demo_board", "flux_residue", "--json"),
    ("schema", "workflow"),
    ("new", "board", "-"),
    ("steps",),
    ("steps", "glare"),
]
ASK = """
import sys
from residue_batch.cli import residue
for arguments in {light!r}:
    try:
        residue.main(list(arguments))
    except SystemExit as end:
        assert not end.code, (arguments, end.code)
heavy = {{"dask", "distributed", "xarray", "pandas", "skimage"}} & set(sys.modules)
print("HEAVY", sorted(heavy), file=sys.stderr)
"""


def call(*given, **more):
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS", "RESIDUE_PATH")}
    command = [sys.executable, "-W", "error", *given]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False, **more)


def test_commands_that_look_things_up_import_neither_dask_nor_xarray(tmp_path):
    done = call("-c", ASK.format(light=LIGHT), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stderr


def test_help_loads_no_array_library(tmp_path):
    ask = "import sys, residue_batch.cli; print({'numpy', 'cv2', 'pydantic', 'zarr'} & set(sys.modules))"
    assert call("-c", ask, cwd=tmp_path).stdout.strip() == "set()"


def test_a_pipe_gets_plain_lines_and_the_dashboard_before_any_board(mixed, tmp_path):
    done = call(
        "-m", "residue_batch.cli", "run", str(mixed.lot), "--workflow", str(mixed.workflow), "--workers", "1",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "preparing"
    assert lines[1].startswith("dashboard: http")
    assert any("/3 boards" in line and "refused" in line for line in lines)
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stderr
    assert "load_reduction_pct of small: pooled" in done.stdout


def test_stdout_of_a_run_as_json_is_json_alone(mixed, tmp_path):
    import json

    done = call(
        "-m", "residue_batch.cli", "run", str(mixed.lot), "--workflow", str(mixed.workflow), "--workers", "0",
        "--json", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(done.stdout)["exit_code"] == done.returncode == 3


def test_a_reader_that_has_enough_is_no_error(tmp_path):
    done = subprocess.run(
        f"{sys.executable} -W error -m residue_batch.cli steps --json | head -c 10",
        shell=True, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""


def test_file_names_with_brackets_and_control_characters_are_shown_as_they_are(residue, tmp_path):
    (tmp_path / "a[bold]b\x1b[31m.yaml").write_text("schema: 1\nworkflow: [red]\n")
    shown = residue("check", "./a[bold]b\x1b[31m.yaml").stdout
    assert "a[bold]b" in shown
    assert "\x1b" not in shown
