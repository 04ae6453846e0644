"""Commands about YAML files: check, new, schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import rich_click as click

from residue_batch.cli.shell import settings, shared
from residue_batch.cli.show import DASH, complain, out, pairs, plural, say, show_problem, stdout, table, write_json
from residue_batch.errors import UsageError

KINDS = ("workflow", "board_type", "lot", "cluster")


@click.command
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--board-type", metavar="NAME", help="Compile workflows for this board type.")
@settings
@shared()
def check(names: tuple[str, ...], board_type: str | None, sets: tuple[str, ...], *, as_json: bool) -> int:
    """Check workflows, board types, lots and clusters: every mistake at once.

    NAME is a name or a path; without one, everything that a name reaches from
    this folder is checked. Ends with 2 if anything is wrong.
    """
    from residue_batch import api

    checked = api.check(names, board_type=board_type, sets=sets)
    wrong = sum(not one.sound for one in checked)
    if as_json:
        write_json({"checked": checked, "wrong": wrong, "exit_code": 2 if wrong else 0})
        return 2 if wrong else 0
    for index, one in enumerate(checked):
        if index:
            out()
        _show(one)
    if wrong:
        mistakes = sum(len(one.problems) for one in checked)
        complain(f"{plural(mistakes, 'mistake')} in {plural(wrong, 'file')}")
    return 2 if wrong else 0


def _show(one: Any) -> None:
    if one.file:
        kind = one.kind.replace("_", " ")
        out(f"{kind} {one.name}: {'ok' if one.sound else 'cannot be used'}", "bold green" if one.sound else "bold red")
        out(f"  {one.file} ({one.why})")
    for problem in one.problems:
        show_problem(problem, stdout())
    if one.sound:
        {"workflow": _workflow, "board_type": _board_type, "lot": _lot}.get(one.kind, _cluster)(one.facts)
    for note in one.notes:
        out(f"  note: {note}", "yellow")


def _workflow(facts: Any) -> None:
    out(f"  for reference: {', '.join(facts['references'])}")
    for number, one in enumerate(facts["passes"], 1):
        out(f"  pass {number} {one['does']}: {one['planes']} planes, reads {one['halo_px']} px beyond each tile")
    rows = [
        [
            f"  {p['plane']}",
            p["step"],
            {"shot": "each shot", "pair": "each board", "type": "each board type"}[p["scope"]],
            " ".join(map(str, p["passes"])),
            ", ".join(p["reads"]),
            ", ".join(f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in p["parameters"].items()),
        ]
        for p in facts["planes"]
    ]
    table(["  plane", "step", "made for", "pass", "reads", "parameters (lengths in px)"], rows)
    if facts["unused"]:
        out(f"  unused planes: {', '.join(facts['unused'])}")
    out(f"  numbers: {', '.join(facts['numbers'])}")
    if facts["keep"]:
        out(f"  kept: {', '.join(facts['keep'])}")
    for name, limit in facts["limits"].items():
        out(f"  limit: {name} {' '.join(f'{k} {v:g}' for k, v in limit.items())}")


def _board_type(facts: Any) -> None:
    if "frame_px" not in facts:
        out(f"  reference: {facts['reference']}; regions: {', '.join(facts['regions'])}")
        return
    width, height = facts["frame_px"]
    out(f"  reference: {facts['reference']}; frame {width} x {height} px ({facts['frame']})")
    rows = []
    for name, one in facts["regions"].items():
        counted = one["pixels"] - one["ignored_pixels"]
        area = f"{one['mm2']:.1f} mm2" if one["mm2"] is not None else DASH
        rows.append([f"  {name}", f"{one['pixels']:,} px", f"{counted:,} px", area])
    table(["  region", ">inside the outline", ">not ignored", ">area"], rows)
    out(f"  white {'assumed' if facts['white_assumed'] else 'of the patch'}: {facts['white']} (linear light)")
    if "golden_registration" in facts:
        told = ", ".join(f"{name} {value}" for name, value in facts["golden_registration"].items())
        out(f"  golden shot in the frame: {told}")
    for role, darkest in facts.get("flat_field", {}).items():
        out(f"  flat field of {role}: {100 * darkest:.0f} % of the light where it is darkest")


def _lot(facts: Any) -> None:
    if "boards" in facts:
        told = "".join(f"; {count} {kind}" for kind, count in facts["findings"].items())
        out(f"  {plural(facts['boards'], 'board')}, {facts['usable']} with both shots{told}")


def _cluster(facts: Any) -> None:
    pairs((f"  {key}", value) for key, value in facts.items())


@click.group
@shared(json=False)
def new() -> None:
    """Write a commented YAML file to fill in."""


@new.command("board")
@click.argument("name")
@shared()
def new_board(name: str, *, as_json: bool) -> int:
    """Write configs/boards/NAME.yaml, a board type that explains itself.

    '-' writes to stdout. A file that is there is never overwritten.
    """
    from residue_batch.config import new_board as template

    if name == "-":
        written = template("my_board")
        if as_json:
            write_json({"file": None, "yaml": written})
        else:
            click.echo(written, nl=False)
        return 0
    name = name.removesuffix(".yaml")
    if not name or "/" in name or "\\" in name or name.startswith("."):
        raise UsageError(f"'{name}' is not a name; write for example 'residue new board panel_a'")
    path = Path("configs/boards") / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template(name))
    except FileExistsError:
        raise UsageError(f"{path} exists; choose another name, or remove it") from None
    if as_json:
        write_json({"file": path, "yaml": path.read_text(encoding="utf-8")})
        return 0
    out(path)
    say(f"Work through it from the top, then: residue check {name}")
    return 0


@click.command
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Write the schemas of all kinds into a folder.")
@shared()
def schema(kind: str | None, folder: Path | None, *, as_json: bool) -> int:
    """Print the JSON Schema of a kind of file, for completion in an editor.

    A first line in a YAML file tells the editor where it is:
    "# yaml-language-server: $schema=configs/schemas/workflow.json"
    """
    from residue_batch.cli.schemas import schema_of

    if (kind is None) == (folder is None):
        raise UsageError(f"name one of {', '.join(KINDS)}, or a folder with --out")
    if kind is not None:
        write_json(schema_of(kind))
        return 0
    assert folder is not None
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{one}.json" for one in KINDS]
    for one, path in zip(KINDS, paths, strict=True):
        path.write_text(json.dumps(schema_of(one), indent=1) + "\n", encoding="utf-8")
    if as_json:
        write_json({"files": paths})
    else:
        for path in paths:
            out(path)
    return 0


COMMANDS = (check, new, schema)
