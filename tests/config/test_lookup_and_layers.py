"""Files are found, laid over each other, and every mistake points into the right one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from residue_batch.config import find, json_schema, known_names, load_board_type, load_cluster, load_workflow, to_yaml
from residue_batch.config import load as loading
from residue_batch.errors import ConfigError

Write = Callable[..., Path]
Shown = Callable[[Callable[[], object]], list[str]]

FLOW = """\
schema: 1
workflow: flow
planes:
  opacity: {step: unmix}
  residue: {step: threshold, of: opacity, level: 0.05}
measures:
  area: {measure: area, of: opacity, tau: [0.02, 0.05]}
keep: [residue]
"""


def test_five_different_mistakes_are_all_shown_with_line_and_column(write: Write, shown: Shown) -> None:
    write(
        "bad.yaml",
        "schema: 1\n"
        "board_type: x\n"
        "reference: golde\n"
        "frame: f.png\n"
        "any_profile: no\n"
        "pixel_size_um: '25'\n"
        "outlin: {box: [0, 0, 10, 10]}\n"
        "regions:\n"
        "  tin: {near: tim, grow: 5}\n"
        "  tin: {box: [1, 2, 3]}\n"
        "gates: {min_inliers: 3}\n",
    )
    assert shown(lambda: load_board_type("bad.yaml")) == [
        "bad.yaml:3:12 reference: must be 'golden', 'lot', 'pair' or 'none', not 'golde' | did you mean 'golden'?",
        "bad.yaml:5:14 'no' is text to some readers and false to others | write false, or quote it: 'no'",
        "bad.yaml:6:16 pixel_size_um: must be a number, not '25'",
        "bad.yaml:7:1 unknown key 'outlin' | did you mean 'outline'?",
        "bad.yaml:9:15 there is no region 'tim' | did you mean 'tin'?",
        "bad.yaml:9:26 grow: 5 has no unit: write 5 px",
        "bad.yaml:10:3 'tin' is given twice | it stands on line 9 already: keep one of them",
        "bad.yaml:11:22 min_inliers: must be at least 4, not 3",
    ]


def test_what_is_missing_is_named_where_it_is_missing(write: Write, shown: Shown) -> None:
    write("bad.yaml", "description: x\nplanes:\n  one: {of: [a]}\n  two: 5\n")
    assert shown(lambda: load_workflow("bad.yaml")) == [
        "bad.yaml:1:1 'schema' is missing | write 'schema: 1' in the first line",
        "bad.yaml:1:1 'workflow' is missing",
        "bad.yaml:3:3 'step' is missing",
        "bad.yaml:4:8 two: must be a map (key: value), not 5",
    ]


def test_a_number_where_text_is_needed_is_told_to_be_quoted(write: Write, shown: Shown) -> None:
    write("bad.yaml", "schema: 2\nworkflow: 7\nlimits: {load: {min: 'x'}}\n")
    assert shown(lambda: load_workflow("bad.yaml")) == [
        "bad.yaml:1:9 schema: must be 1, not 2",
        "bad.yaml:2:11 workflow: must be text, not 7 | quote it: '7'",
        "bad.yaml:3:22 min: must be a number, not 'x'",
    ]


def test_parameters_are_kept_as_written_for_the_registry_to_check(write: Write) -> None:
    write("workflows/flow.yaml", FLOW)
    flow = load_workflow("flow")
    assert flow.planes["residue"].params == {"level": 0.05}
    assert flow.planes["residue"].of == ("opacity",)
    assert flow.measures["area"].params == {"tau": [0.02, 0.05]}
    problem = flow.problem(("planes", "residue", "level"), "is too low", at="key")
    assert (problem.line, problem.column, problem.file) == (5, 43, "workflows/flow.yaml")


def test_extends_merges_maps_replaces_lists_and_null_deletes(write: Write) -> None:
    write("base.yaml", FLOW)
    write(
        "flow.yaml",
        "schema: 1\nextends: base.yaml\nworkflow: mine\nplanes:\n  residue: {level: 0.1}\n  extra: {step: blur}\n"
        "measures:\n  area: {tau: [0.3]}\nkeep: null\n",
    )
    flow = load_workflow("flow.yaml")
    assert flow.workflow == "mine"
    assert list(flow.planes) == ["opacity", "residue", "extra"]
    assert flow.planes["residue"].params == {"level": 0.1}
    assert flow.planes["residue"].step == "threshold"
    assert flow.measures["area"].params == {"tau": [0.3]}
    assert flow.keep == ()


def test_extends_takes_several_files_and_the_later_wins(write: Write) -> None:
    write("a.yaml", "planes: {x: {step: one}}\nblur: 1 px\n")
    write("sub/b.yaml", "planes: {x: {step: two}}\n")
    write("flow.yaml", "schema: 1\nworkflow: w\nextends: [a.yaml, sub/b.yaml]\n")
    flow = load_workflow("flow.yaml")
    assert (flow.planes["x"].step, flow.blur) == ("two", "1 px")


def test_a_mistake_points_into_the_file_in_which_the_value_stands(write: Write, shown: Shown) -> None:
    write("base.yaml", FLOW.replace("keep:", "kep:").replace("workflow: flow", "workflow: 5"))
    write("flow.yaml", "schema: 1\nextends: base.yaml\nplanes:\n  residue: {level: 1, of: 3}\nblur: 2\n")
    assert shown(lambda: load_workflow("flow.yaml")) == [
        "base.yaml:2:11 workflow: must be text, not 5 | quote it: '5'",
        "base.yaml:8:1 unknown key 'kep' | did you mean 'keep'?",
        "flow.yaml:4:27 of: must be a list, not 3",
        "flow.yaml:5:7 blur: 2 has no unit: write 2 px",
    ]
    write("ok.yaml", "schema: 1\nextends: base.yaml\nworkflow: fine\nkep: null\n")
    flow = load_workflow("ok.yaml")
    place = flow.problem(("planes", "residue", "level"), "x")
    assert (place.file, place.line) == ("base.yaml", 5)


def test_files_that_extend_each_other_are_refused(write: Write, shown: Shown) -> None:
    write("a.yaml", "schema: 1\nextends: b.yaml\n")
    write("b.yaml", "schema: 1\nextends: a.yaml\n")
    said = shown(lambda: load_workflow("a.yaml"))
    assert said == ["b.yaml:2:10 these files extend each other: a.yaml -> b.yaml -> a.yaml | remove one 'extends:'"]


def test_what_is_extended_and_not_found_is_shown_at_extends(write: Write, shown: Shown) -> None:
    write("base.yaml", FLOW)
    write("flow.yaml", "schema: 1\nextends: ./bas.yaml\n")
    (said,) = shown(lambda: load_workflow("flow.yaml"))
    assert said.startswith("flow.yaml:2:10 the workflow ")
    assert said.endswith("bas.yaml does not exist | did you mean 'base.yaml'?")


def test_set_changes_values_entries_and_whole_branches(write: Write) -> None:
    write("flow.yaml", FLOW)
    sets = ("planes.residue.level=1e-1", "measures.area.tau.1=0.5", "limits.area={max: 3}", "keep=null", "blur=2 px")
    flow = load_workflow("flow.yaml", sets)
    assert flow.planes["residue"].params == {"level": 0.1}
    assert flow.measures["area"].params == {"tau": [0.02, 0.5]}
    assert flow.limits["area"].max == 3
    assert (flow.keep, flow.blur) == ((), "2 px")
    assert load_workflow("flow.yaml", ("description=a=b",)).description == "a=b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("blur=no", "'no' is text to some readers and false to others"),
        ("blur=3", "blur: 3 has no unit: write 3 px"),
        ("blurr=3 px", "unknown key 'blurr' | did you mean 'blur'?"),
        ("blur", "must be key=value"),
        ("=3", "must be key=value"),
        ("keep.4=x", "keep is a list; '4' is not one of 0 to 0"),
        ("workflow.x=1", "workflow is a single value and has no 'x'"),
        ("blur=[1", "is not YAML here"),
        ("planes.residue.of=5", "of: must be a list, not 5"),
    ],
)
def test_a_mistake_in_set_names_set(write: Write, text: str, said: str, shown: Shown) -> None:
    write("flow.yaml", FLOW)
    (found,) = shown(lambda: load_workflow("flow.yaml", (text,)))
    assert found.startswith(f"--set {text}:0:0 ")
    assert said in found


def test_names_are_looked_up_here_then_in_residue_path_then_in_what_is_shipped(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "shipped", lambda: tmp_path / "ship")
    monkeypatch.setenv("RESIDUE_PATH", f"{tmp_path / 'p1'}{':' if sys.platform != 'win32' else ';'}{tmp_path / 'p2'}")
    inside = "configs/boards/demo.yaml"
    for folder, why in (
        ("ship/", "shipped with residue-batch"),
        ("p2/", f"in $RESIDUE_PATH ({tmp_path / 'p2'})"),
        ("p1/", f"in $RESIDUE_PATH ({tmp_path / 'p1'})"),
        ("", "in ./configs/boards"),
    ):
        path = write(folder + inside, "schema: 1\n")
        assert find("demo", "board_type") == (path, why)
    assert [n for n, _ in known_names("board_type")] == ["demo"]
    write("workflows/demo.yml", "")
    assert find("demo", "workflow").path.name == "demo.yml"


def test_a_path_is_relative_to_the_file_that_names_it(write: Write, tmp_path: Path) -> None:
    other = write("deep/er/x.yaml")
    target = write("deep/t.yaml")
    assert find("../t.yaml", "lot", relative_to=other).path.resolve() == target
    assert find("deep/t.yaml", "lot").path == target
    assert find(tmp_path / "deep" / "t.yaml", "lot").path == target


def test_a_name_that_is_not_found_lists_where_it_looked_and_near_names(write: Write) -> None:
    write("configs/boards/demo_board.yaml")
    with pytest.raises(ConfigError) as caught:
        find("demo_bord", "board_type")
    (problem,) = caught.value.problems
    assert problem.message == "there is no board type 'demo_bord'"
    assert problem.remedy.startswith("did you mean 'demo_board'?; looked in configs/boards, ")
    with pytest.raises(ConfigError, match=r"the lot .*x\.yaml does not exist"):
        find("x.yaml", "lot")
    with pytest.raises(ConfigError, match="there is no workflow ''"):
        find("", "workflow")


def test_file_names_are_made_absolute_from_the_file_they_stand_in(write: Write, tmp_path: Path) -> None:
    write("types/base.yaml", "schema: 1\nreference: golden\ngolden: ../photos/clean.png\n")
    write("b.yaml", "schema: 1\nextends: types/base.yaml\nboard_type: b\nframe: f.png\n")
    board_type = load_board_type("b.yaml")
    assert board_type.golden == str(tmp_path / "photos" / "clean.png")
    assert board_type.frame == str(tmp_path / "f.png")
    write("again/b.yaml", to_yaml(board_type))
    assert load_board_type("again/b.yaml") == board_type
    assert load_board_type("b.yaml", ("frame=x/y.png",)).frame == str(tmp_path / "x" / "y.png")


def test_a_cluster_has_what_its_kind_needs(write: Write, shown: Shown) -> None:
    write("c.yaml", "schema: 1\nkind: local\nworkers: 4\nmemory_limit: 4 GiB\n")
    assert load_cluster("c.yaml").dashboard == "127.0.0.1:8787"
    assert load_cluster("c.yaml", ("dashboard=none",)).dashboard is None
    write("d.yaml", "schema: 1\nkind: address\nworkers: 0\nmemory_limit: lots\nscheduler_file: s.json\n")
    assert shown(lambda: load_cluster("d.yaml")) == [
        "d.yaml:2:7 kind: address needs 'address' | add 'address: ...'",
        "d.yaml:3:1 'workers' is for kind: local; a scheduler that runs has its own | remove it",
        "d.yaml:3:10 workers: must be at least 1, not 0",
        "d.yaml:4:15 memory_limit: 'lots' is not a memory size | write for example '4 GiB', '80 %' or 'auto'",
        "d.yaml:5:1 'scheduler_file' is for kind: scheduler_file, not for kind: address | remove it",
    ]


@pytest.mark.parametrize("kind", ["workflow", "board_type", "lot", "cluster"])
def test_every_schema_is_valid_and_begins_with_schema(kind: str) -> None:
    schema = json_schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert next(iter(schema["properties"])) == "schema"
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"schema": 1, "extends": "base"})
    assert not validator.is_valid({"schema": 1, "extends": "base", "colour": "red"})
    assert not validator.is_valid({"schema": 2, "extends": "base"})


def test_the_schema_accepts_a_workflow_and_refuses_a_bare_length() -> None:
    validator = jsonschema.Draft202012Validator(json_schema("workflow"))
    data = yaml.safe_load(FLOW)
    assert validator.is_valid(data)
    assert validator.is_valid({**data, "keep": "residue"})
    assert not validator.is_valid({**data, "blur": 2})
    assert not validator.is_valid({k: v for k, v in data.items() if k != "workflow"})


def test_configuration_imports_no_heavy_library() -> None:
    code = (
        "import sys, residue_batch.config; "
        "print([m for m in ('dask', 'zarr', 'xarray', 'skimage', 'cv2', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
