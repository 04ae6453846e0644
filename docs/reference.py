"""Write ``docs/reference.md`` from the product itself: registries, models, commands, outcomes.

    python docs/reference.py

What a step, a key or an option is called, takes and means is said once, where
it is made; here it is only laid out. What the product does not say about its
refusals stands in ``REASONS``, and a test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from residue_batch.cli import residue
from residue_batch.config import json_schema
from residue_batch.program import BUILTINS, NAMED
from residue_batch.report.meanings import FLAGS, REASONS, STATUS

TARGET = Path(__file__).with_name("reference.md")

HEAD = """\
# Reference

Every name that YAML, the command line and the tables know. Written by `python docs/reference.py` from the product
itself; change the docstring or the model, not this page.

[Steps](#steps) · [Measures](#measures) · [Built-in planes](#built-in-planes) · [Commands](#commands) ·
[YAML keys](#yaml-keys) · [Gates](#gates) · [Statuses](#statuses) · [Flags](#flags) ·
[Refusal reasons](#refusal-reasons) · [Exit codes](#exit-codes)
"""

FILES = {
    "workflow": ("Workflow", "[workflows.md](workflows.md)"),
    "board_type": ("Board type", "[board-types.md](board-types.md)"),
    "lot": ("Lot", "[lots.md](lots.md)"),
    "cluster": ("Cluster", "[cluster.md](cluster.md)"),
}

UNSAID = {
    "name": "What it is called in messages.",
    "min": "The number must be at least this.",
    "max": "The number must be at most this.",
    "found": "How to find them: the keys of `found`, below.",
    "part": "Which side of which region: the keys of `part`, below.",
    "top": "How much of each piece, from its top.",
    "bottom": "How much of each piece, from its bottom.",
    "left": "How much of each piece, from its left.",
    "right": "How much of each piece, from its right.",
    "before": "Words that mean before cleaning.",
    "after": "Words that mean after cleaning.",
}
"""Keys whose model says nothing about them."""

AREAS = {
    "Polygon": "a polygon",
    "Rectangle": "a box",
    "Found": "found elements",
    "Near": "what is near a region",
    "Part": "a part of a region",
}
"""The five ways to say where something is."""

OWNERS = {
    **AREAS,
    "Search": "found",
    "Side": "part",
    "Gates": "gates",
    "Detection": "detection",
    "Cards": "flat_field",
    "ShotCards": "flat_field",
    "Phases": "phases",
    "PlaneSpec": "planes.NAME",
    "MeasureSpec": "measures.NAME",
    "Limit": "limits.VARIABLE",
}
"""Where the keys of an inner model stand."""

GATES = {
    "min_correlation": "registration",
    "min_inliers": "registration",
    "max_residual_px": "registration",
    "scale": "scale",
    "max_rotation_deg": "rotated",
    "max_perspective": "tilted",
    "max_blur_px": "out_of_focus",
    "max_saturated_pct": "over_exposed",
    "gain": "under_exposed",
    "max_light_residual": "light",
    "min_light_share": "light",
    "refuse_copies": "same_photo",
    "max_increase_pct": "swapped",
    "min_observable_pct": "low_observable",
}
"""Gate -> the reason with which a board is refused."""
"""Reason -> what it means, what to do. The message and remedy of a board's own row are more exact."""

EXIT_CODES = {
    1: "A bug. `--debug` shows the traceback; a bug in one board still lets the others be measured.",
    2: "Wrong usage or configuration; nothing was measured.",
    4: "Another process writes the same run directory.",
    5: "The cluster was lost or made no progress; the same command resumes.",
    130: "Interrupted; the same command resumes.",
    6: "Finished, and a limit of the workflow was not met.",
    3: "Finished, but some boards have no number.",
    0: "Done.",
}
"""In the order in which they apply."""


def reference() -> str:
    """The whole page."""
    parts = (HEAD, *_steps(), *_builtins(), *_commands(), *_keys(), *_outcomes())
    return "\n".join(parts).rstrip() + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|") or "–"


def _code(value: Any) -> str:
    """A value as it would stand in YAML."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "`[" + ", ".join(_code(v).strip("`") for v in value) + "]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "`{}`" if not value else "see below"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value != "" else "`''`"


# steps and measures -------------------------------------------------------------------


def _steps() -> Iterator[str]:
    listed = json.loads(_called("steps", "--json"))
    yield "## Steps\n"
    yield "A step makes a plane. A fitted step looks at the whole board first, which costs another pass.\n"
    for one in listed["steps"]:
        yield from _call(one)
    yield "## Measures\n"
    yield "A measure makes numbers, for each region. Numbers that are reducible have `<name>_reduction_pct` as well.\n"
    for one in listed["measures"]:
        yield from _call(one)


def _called(*arguments: str) -> str:
    result = CliRunner().invoke(residue, list(arguments), prog_name="residue")
    if result.exit_code:
        raise SystemExit(result.output)
    return result.stdout


def _call(one: dict[str, Any]) -> Iterator[str]:
    text, parameters = _page(one["page"])
    yield f"### {one['name']}\n"
    reads = ", ".join(f"`{r}`" for r in one["reads"])
    does = f"makes a {one['makes']} plane" if "makes" in one else "makes numbers"
    where = "; takes `where`" if one["takes_where"] else ""
    fit = _fit(one["name"]) if one["kind"] == "fitted step" else ""
    yield f"*{one['kind']}, version {one['version']}; reads {reads}; {does}{where}{fit}*\n"
    yield text + "\n"
    rows = [
        (f"`{p['name']}`", p["what"], "required" if p["required"] else _code(p["default"]), parameters[p["name"]])
        for p in one["parameters"]
    ]
    if rows:
        yield _table(("key", "what to write", "default", "meaning"), rows)
    if "outputs" in one:
        named = [(f"NAME_{o['name']}" if o["name"] else "NAME", o) for o in one["outputs"]]
        rows = [
            (f"`{name}`", o["unit"], f"per `{o['dim']}`" if o["dim"] else "", "yes" if o["reducible"] else "",
             o["long_name"])
            for name, o in named
        ]  # fmt: skip
        yield _table(("number", "unit", "several", "reducible", "meaning"), rows)


def _fit(name: str) -> str:
    from residue_batch.step import STEPS

    fit = STEPS[name].fit
    return f"; its fit is `{fit.name}`" if fit else ""


def _page(doc: str) -> tuple[str, dict[str, str]]:
    """A docstring as Markdown, and the meaning of each of its parameters."""
    body, _, listed = doc.replace("``", "`").partition("\nParameters\n")
    parameters: dict[str, str] = {}
    names: list[str] = []
    for line in listed.splitlines():
        if line.startswith("    "):
            parameters |= {name: f"{parameters[name]} {line.strip()}".strip() for name in names}
        elif line and not line.startswith("-"):
            names = [name.strip() for name in line.split(",")]
            parameters |= dict.fromkeys(names, "")
    return _fenced(body.strip()), parameters


def _fenced(text: str) -> str:
    """Indented blocks as fenced ones: YAML where it is a plane or a measure."""

    def block(found: re.Match[str]) -> str:
        inner = re.sub(r"^    ", "", found[0].strip("\n"), flags=re.MULTILINE)
        kind = "yaml" if re.match(r"\w+:\s+\{", inner) else "text"
        return f"```{kind}\n{inner}\n```\n"

    return re.sub(r"(?:^    .*\n?)+", block, text, flags=re.MULTILINE).rstrip()


def _builtins() -> Iterator[str]:
    yield "## Built-in planes\n"
    yield "Always there; a name in `of:` may be any of them. `NAME.before` and `NAME.after` name one phase.\n"
    rows = [
        (f"`{name}`", str(one.kind), "each shot" if one.per_phase else "each board", one.meaning)
        for name, one in ((name, BUILTINS[name]) for name in NAMED)
    ]
    yield _table(("plane", "kind", "made for", "meaning"), rows)


# commands -----------------------------------------------------------------------------


def commands(group: click.Command = residue, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    if isinstance(group, click.Group):
        for name, command in sorted(group.commands.items()):
            yield from commands(command, (*path, name))
    else:
        yield " ".join(path), group


def _commands() -> Iterator[str]:
    yield "## Commands\n"
    yield "Data goes to stdout, everything else to stderr. Every command has `--help` (`-h`); `residue --version`.\n"
    for name, command in commands():
        yield f"### residue {name}\n"
        with click.Context(command, info_name=f"residue {name}") as context:
            pieces = " ".join(command.collect_usage_pieces(context))
        yield f"```text\nresidue {name} {pieces}\n```\n"
        yield _help(command.help or "")
        rows = [_option(one) for one in command.params if isinstance(one, click.Option)]
        yield _table(("option", "value", "default", "meaning"), rows)


def _help(text: str) -> str:
    """The text of a command; what stands below a bell mark keeps its lines."""
    paragraphs = re.split(r"\n\s*\n", re.sub(r"\s*\f.*", "", text, flags=re.DOTALL).strip())
    shown = [
        "```text\n" + p.split("\n", 1)[1] + "\n```" if p.startswith("\b") else " ".join(p.split()) for p in paragraphs
    ]
    return "\n\n".join(shown) + "\n"


def _option(option: click.Option) -> tuple[str, str, str, str]:
    kind = option.type
    if option.is_flag:
        value, default = "", ""
    else:
        value = (
            ", ".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else str(option.metavar or kind.name)
        )
        default = _code(option.default) if isinstance(option.default, str | int | float) else ""
    many = ", as often as wanted" if option.multiple else ""
    return ", ".join(f"`{name}`" for name in option.opts), value + many, default, option.help or ""


# YAML ---------------------------------------------------------------------------------


def _keys() -> Iterator[str]:
    yield "## YAML keys\n"
    yield (
        "Lengths carry a unit (`5 px`, `0.2 mm`, `50 um`), areas too (`16 px2`, `0.5 mm2`); shares are `15 %` or "
        "`0.15`. Every kind of file has `schema` (always 1), `description` and `extends`.\n"
    )
    for kind, (title, page) in FILES.items():
        schema = json_schema(kind)
        yield f"### {title} keys\n\nExplained in {page}.\n"
        needed = [*schema["required"], *schema["then"]["required"]]
        yield _key_table(schema, needed, schema)
        inner_models = schema.get("$defs", {})
        for name, inner in sorted(inner_models.items(), key=lambda one: list(OWNERS).index(one[0])):
            yield f"#### {'An area: ' if name in AREAS else ''}{OWNERS[name]}\n\n{inner['description']}\n"
            yield _key_table(inner, inner.get("required", []), schema)


def _key_table(model: dict[str, Any], needed: list[str], schema: dict[str, Any]) -> str:
    rows = []
    for key, value in model["properties"].items():
        default = "required" if key in needed else _code(value.get("default"))
        meaning = value.get("description") or UNSAID[key]
        rows.append((f"`{key}`", _type(value, schema), default, meaning))
    return _table(("key", "what to write", "default", "meaning"), rows)


def _type(value: dict[str, Any], schema: dict[str, Any]) -> str:
    """What may stand there, in words."""
    if "$ref" in value:
        return OWNERS[value["$ref"].rpartition("/")[2]]
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " or ".join(f"`{v}`" for v in value["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in value:
            if len(value[choice]) == len(AREAS) and all("$ref" in one for one in value[choice]):
                return "an area"
            found = [_type(one, schema) for one in value[choice] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(found))
    kind = value.get("type")
    if kind == "array":
        if "prefixItems" in value:
            return f"{len(value['prefixItems'])} values: {_type(value['prefixItems'][0], schema)} each"
        return f"a list: {_type(value.get('items', {}), schema)}"
    if kind == "object":
        inner = value.get("additionalProperties") or next(iter(value["patternProperties"].values()))
        return f"`NAME:` {_type(inner, schema)}, as many as wanted"
    if kind in ("number", "integer"):
        return ("a number" if kind == "number" else "a whole number") + _bounds(value)
    if kind == "boolean":
        return "`true` or `false`"
    pattern = value.get("pattern", "")
    examples = ", ".join(f"`{one}`" for one in value.get("examples", ()))
    if "px2" in pattern:
        return "an area, `16 px2`"
    if "px" in pattern:
        return "a length, `5 px`"
    return f"text such as {examples}" if examples else "text"


def _bounds(value: dict[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    said = [f"{word} {value[key]:g}" for key, word in words.items() if key in value]
    return (" " + " ".join(said)) if said else ""


# outcomes -----------------------------------------------------------------------------


def _outcomes() -> Iterator[str]:
    gates = json_schema("board_type")["$defs"]["Gates"]["properties"]
    yield "## Gates\n"
    yield "Keys of `gates:` in a board type. A board that fails one has no number.\n"
    yield _table(
        ("gate", "default", "judges", "refused as"),
        [(f"`{k}`", _code(v["default"]), v["description"], f"`{GATES[k]}`") for k, v in gates.items()],
    )
    yield "## Statuses\n"
    yield "`status(board, region)`: how a region ended, the first that applies in the order of measurand.md.\n"
    yield _table(("status", "meaning"), [(f"`{name}`", text) for name, text in STATUS.items()])
    yield "## Flags\n"
    yield "`flags(board, region)`: reservations about a number that exists.\n"
    yield _table(("flag", "meaning"), [(f"`{name}`", text) for name, text in FLAGS.items()])
    yield "## Refusal reasons\n"
    yield "`reason(board)`: why a board has no number. Its row has the message and the remedy for this very board.\n"
    rows = [(f"`{name}`", meaning, remedy) for name, (meaning, remedy) in REASONS.items()]
    yield _table(("reason", "meaning", "what to do"), rows)
    yield "## Exit codes\n"
    yield "The first that applies.\n"
    yield _table(("code", "meaning"), [(f"`{code}`", text) for code, text in EXIT_CODES.items()])


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
