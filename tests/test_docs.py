"""What the pages say is what the product does: names are complete, examples run, links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import re
import shlex
import shutil
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import DOCS, HOME, PAGES, SPAN, Block, blocks, every, prose

from residue_batch.checking import kind_of
from residue_batch.cli import residue
from residue_batch.compiler import compile_program
from residue_batch.config import BoardType, Workflow
from residue_batch.config import yaml as strict_yaml
from residue_batch.config.load import MODELS, json_schema, load
from residue_batch.config.lot import Finding
from residue_batch.config.scanning import COLUMNS
from residue_batch.demo import COLOUR, SEED, SHAPE
from residue_batch.measure import MEASURES
from residue_batch.outcome import FLAGS, INTERNAL_ERROR, WORKER_LOST
from residue_batch.photo.header import Reason
from residue_batch.program import NAMED
from residue_batch.report.meanings import REASONS
from residue_batch.results import REGION_STATUSES
from residue_batch.step import STEPS, Kind
from residue_batch.synthetic import write_lot

PAGE_OF = {"workflow": "workflows", "board_type": "board-types", "lot": "lots", "cluster": "cluster"}
RUN = re.compile(r"runs/week_47-\w+-[0-9a-f]{8}")
"""A run directory as pages write it; the fingerprint of the reader's own is another."""


def words(*names: str) -> set[str]:
    """Everything that stands as code on these pages: in spans and in blocks, whole and word by word."""
    pages = [DOCS / f"{name}.md" for name in names]
    code = [span for page in pages for span in SPAN.findall(prose(page))]
    code += [block.text for page in pages for block in blocks(page)]
    return {*code, *(word for text in code for word in re.findall(r"[A-Za-z_][\w*]*", text))}


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys_of(kind: str) -> set[str]:
    """Every YAML key of a kind of file, those of inner maps too."""
    schema = json_schema(kind)
    return {key for model in (schema, *schema.get("$defs", {}).values()) for key in model["properties"]}


# complete -----------------------------------------------------------------------------


def test_the_reference_is_what_the_product_says_now() -> None:
    written = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert written == generator().reference(), "run: python docs/reference.py"


@pytest.mark.parametrize("name", [*sorted(STEPS), *sorted(MEASURES)])
def test_every_step_and_measure_has_a_page_that_explains_its_parameters(name: str) -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    section = page.split(f"\n### {name}\n", 1)[1].split("\n### ")[0]
    registered: Any = STEPS.get(name) or MEASURES[name]
    for key in registered.signature.keys:
        assert re.search(rf"^\| `{key}` \| [^|]+ \| [^|]+ \| [^–|]", section, re.MULTILINE), f"{name}: {key}"


@pytest.mark.parametrize("kind", MODELS)
def test_every_yaml_key_is_explained_on_the_page_of_its_kind(kind: str) -> None:
    assert keys_of(kind) - words(PAGE_OF[kind]) == set()
    assert keys_of(kind) - words("reference") == set()


def test_every_built_in_plane_is_explained() -> None:
    for page in ("workflows", "reference"):
        assert set(NAMED) - words(page) == set()


def test_every_status_flag_and_gate_is_explained() -> None:
    gates = set(BoardType.model_fields["gates"].annotation.model_fields)  # type: ignore[union-attr]
    for page in ("measurand", "reference"):
        assert {*REGION_STATUSES, *FLAGS, *gates} - words(page) == set()
    assert gates <= words("board-types")


def reasons() -> set[str]:
    """Every reason that the code can give, read from the calls that give it."""
    found = {*typing.get_args(Reason), INTERNAL_ERROR, WORKER_LOST}
    for path in (HOME / "residue_batch").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assigned = {n.targets[0].id: n.value for n in ast.walk(tree)
                    if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)}  # fmt: skip
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if getattr(call.func, "id", "") not in ("Refusal", "ShotProblem", "refuse"):
                continue
            first = call.args[0]
            first = assigned.get(first.id, first) if isinstance(first, ast.Name) else first
            found |= {n.value for n in ast.walk(first) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


def test_every_refusal_reason_has_a_meaning_and_a_remedy() -> None:
    assert set(REASONS) == reasons()
    assert reasons() <= words("reference")


def test_exit_codes_are_those_of_the_help() -> None:
    said = re.findall(r"(?<![\w.])(\d+)(?![\w.])", residue.epilog or "")
    assert sorted(set(map(int, said))) == sorted(generator().EXIT_CODES)


def test_every_finding_and_column_of_a_lot_is_explained() -> None:
    findings = typing.get_args(typing.get_type_hints(Finding)["kind"])
    assert {*findings, *COLUMNS} - words("lots") == set()


# examples -----------------------------------------------------------------------------


def kind_of_part(keys: set[str]) -> str | None:
    """The one kind of file that has all these keys at its top."""
    tops = {kind: {f.alias or n for n, f in model.model_fields.items()} for kind, model in MODELS.items()}
    found = [kind for kind, known in tops.items() if keys <= known]
    return found[0] if len(found) == 1 else None


def completed(data: dict[str, Any]) -> str:
    """A part of a workflow as a whole one: planes that it takes for granted are put in."""
    if not {"planes", "measures"} & set(data):
        made = {name: spec for name, spec in data.items() if "step" in spec}
        data = {"planes": made, "measures": {name: spec for name, spec in data.items() if "measure" in spec}}
    data = {"schema": 1, "extends": "flux_residue", "workflow": "part", "planes": {}, **data}
    specs = [*data["planes"].values(), *data.get("measures", {}).values()]
    for spec in specs:
        registered: Any = STEPS.get(spec.get("step", "")) or MEASURES[spec["measure"]]
        inputs = registered.signature.inputs
        of = spec.get("of", [])
        for position, name in enumerate([of] if isinstance(of, str) else of):
            stem = name.removesuffix(".before").removesuffix(".after")
            if stem in {*data["planes"], *NAMED, "opacity", "glare", "residue"}:
                continue
            mask = Kind.MASK in inputs[min(position, len(inputs) - 1)].kinds
            data["planes"] |= {stem: {"step": "contrast"} if mask else {"step": "luma", "of": "raw"}}
    return repr(data).replace("'", '"').replace("True", "true").replace("False", "false")


@pytest.mark.parametrize("block", every("yaml"), ids=str)
def test_yaml_loads(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    document = strict_yaml.parse(block.text)
    assert not document.problems
    path = tmp_path / "part.yaml"
    calls = all(isinstance(value, dict) and {"step", "measure"} & set(value) for value in document.data.values())
    if "schema" in document.data:
        path.write_text(block.text, encoding="utf-8")
    elif calls or (kind := kind_of_part(set(document.data))) in (None, "workflow"):
        path.write_text(completed(document.data), encoding="utf-8")
    else:
        base = {"board_type": "extends: demo_board\nboard_type: part\n"}.get(kind or "", "")
        path.write_text(f"schema: 1\n{base}{block.text}", encoding="utf-8")
    loaded = load(MODELS[kind_of(path)], path)
    if isinstance(loaded, Workflow):
        for reference in ("golden", "pair"):
            assert compile_program(loaded, reference=reference, pixel_size_um=20.0).measures


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it after the demo: photographs, and nothing configured."""
    folder = tmp_path_factory.mktemp("reader")
    write_lot(folder / "demo", 1, SEED, SHAPE, "medium", colour=COLOUR, lot="demo")
    shots = folder / "demo" / "shots" / "demo"
    for phase in ("before", "after"):
        shutil.copy(shots / f"B001_{phase}.jpg", shots / f"B002_{phase}.jpg")
        shutil.copy(shots / f"B001_{phase}.jpg", folder / f"{phase}.jpg")
    return folder


def tidy(world: Path, page: Path) -> None:
    """Forget what another page wrote; what README has set up is there for the others."""
    for folder in ("configs", "workflows", "planes"):
        shutil.rmtree(world / folder, ignore_errors=True)
    (world / "configs" / "boards").mkdir(parents=True)
    shutil.copy(HOME / "configs" / "boards" / "demo_board.jpg", world / "configs" / "boards")
    if page.name != "README.md":
        for block in blocks(HOME / "README.md", "yaml"):
            if "lots" in block.text.splitlines()[0]:
                write(world, block)


def write(world: Path, block: Block) -> None:
    """A YAML block that begins with its file's name becomes that file."""
    if found := re.match(r"# ((?:configs|workflows)/\S+\.yaml)\n", block.text):
        path = world / found[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def call(line: str) -> int:
    """A command as a reader would give it, in this process and without workers."""
    arguments = shlex.split(line, comments=True)[1:]
    if arguments[0] == "run" and "--workers" not in arguments:
        arguments += ["--workers", "0"]
    with pytest.raises(SystemExit) as left:
        residue.main(arguments)
    return int(left.value.code or 0)


def elsewhere(line: str) -> bool:
    """Commands that need another machine or boards that a reader has yet to photograph, or take too long."""
    if line.startswith(("residue blanks", "residue nullcheck", "residue selftest")):
        return True
    return not line.startswith("residue ") or "10.0.0.5" in line or "scheduler" in line


def run_folder(world: Path) -> str:
    """The run that pages look at; measured by the first that asks."""
    found = sorted((world / "runs").glob("week_47-*"))
    if not found:
        assert call("residue run week_47") == 0
        found = sorted((world / "runs").glob("week_47-*"))
    return f"runs/{found[0].name}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "reference.md"], ids=lambda page: page.name)
def test_a_reader_can_follow_the_page(
    page: Path, world: Path, registry: None, capsys: pytest.CaptureFixture[str]
) -> None:
    tidy(world, page)
    namespace: dict[str, Any] = {"__name__": "docs"}
    with contextlib.chdir(world):
        for block in blocks(page):
            text = RUN.sub(lambda _: run_folder(world), block.text)
            if block.kind == "yaml":
                write(world, block)
            elif block.kind == "python":
                exec(compile(text, str(block), "exec"), namespace)
            elif block.kind == "bash":
                for line in text.splitlines():
                    if not elsewhere(line):
                        assert call(line) == 0, f"{line}\n{capsys.readouterr().err}"
    pictures = set(re.findall(r"`([\w.]+\.png)`", prose(page)))
    assert not pictures or pictures <= {path.name for path in (world / "planes").iterdir()}


def test_every_variable_of_a_run_is_explained(world: Path) -> None:
    import xarray as xr

    tidy(world, DOCS / "results.md")
    with contextlib.chdir(world):
        folder = world / run_folder(world)
        head = (folder / "boards.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
        here = {path.name for path in folder.iterdir()}
    known = words("results", "measurand")
    endings = {word[1:] for word in known if word.startswith("*_")} | {w for w in known if w.startswith("_")}
    for group in (None, "statistics"):
        with xr.open_zarr(folder / "lot.zarr", group=group) as found:
            names = {str(name) for name in found.variables}
        assert {n for n in names if n not in known and not n.endswith(tuple(endings))} == set()
    plain = {re.sub(r"^\w+\.|\[.*?\]|_(before|after)$", "", column) for column in head}
    assert {n for n in plain if n not in known and not n.endswith(tuple(endings))} == set()
    page = (DOCS / "results.md").read_text(encoding="utf-8")
    assert [
        name for name in here if not name.startswith(".") and name not in page and name not in ("boards", "resolved")
    ] == []


# links and words ----------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_no_machine_and_keep_to_the_vocabulary(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|Users|mnt|var|opt)/", text)
    assert not re.search(r"https?://\S*(pypi|simple|registry|mirror)|index-url", text, re.IGNORECASE)
    banned = r"jobs?|pipelines?|nodes?|ROIs?|recipes?|processors?|managers?|utils|helpers?"
    found = re.findall(rf"\b({banned})\b", prose(page), re.IGNORECASE)
    assert found == []


def test_readme_begins_with_the_two_commands_and_says_what_is_not_claimed() -> None:
    readme = HOME / "README.md"
    assert blocks(readme)[0].text == "make demo\nmake test\n"
    text = readme.read_text(encoding="utf-8")
    assert "<!-- accuracy -->" in text
    for word in ("ionic", "under components", "mass", "standard", "process"):
        assert word in text
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)
    assert all((HOME / picture).stat().st_size < 150_000 for picture in pictures)
