"""The command ``steps``: what a workflow can be made of, read from signatures and docstrings."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import rich_click as click

from residue_batch.cli.shell import shared
from residue_batch.cli.show import out, table, write_json
from residue_batch.errors import UsageError

UNIT = {"length": "px", "area": "px2", "fraction": ""}
WRITTEN = {"length": "a length: 5 px, 0.2 mm", "area": "an area: 16 px2, 0.5 mm2", "fraction": "a share: 15 %, 0.15"}


@click.command
@click.argument("name", required=False)
@shared()
def steps(name: str | None, *, as_json: bool) -> int:
    """List steps and measures with their parameters, or show the page of one.

    A step makes a plane, a measure makes numbers. A fitted step looks at the
    whole board first: each level of them costs another pass.
    """
    entries = _entries()
    if name is not None:
        chosen = [one for one in entries if one["name"] == name]
        if not chosen:
            from residue_batch.config.document import did_you_mean

            known = did_you_mean(name, [one["name"] for one in entries])
            raise UsageError(f"there is no step or measure '{name}'; {known}")
        if as_json:
            write_json(chosen[0])
        else:
            for one in chosen:
                _page(one)
        return 0
    if as_json:
        write_json({"steps": [one for one in entries if one["kind"] != "measure"],
                    "measures": [one for one in entries if one["kind"] == "measure"]})  # fmt: skip
        return 0
    for title, kinds in (("Steps", ("step", "fitted step")), ("Measures", ("measure",))):
        rows = [
            [one["name"], ", ".join(one["reads"]), ", ".join(map(_brief, one["parameters"])), one["summary"]]
            for one in entries
            if one["kind"] in kinds
        ]
        out(title, "bold")
        table(["name", "of", "parameters", "what it makes"], rows)
        out()
    fitted = ", ".join(one["name"] for one in entries if one["kind"] == "fitted step")
    out(f"Fitted: {fitted}. Always there: {', '.join(_builtins())}. 'residue steps NAME' shows a page.")
    return 0


def _builtins() -> list[str]:
    from residue_batch.program import NAMED

    return list(NAMED)


def _entries() -> list[dict[str, Any]]:
    from residue_batch import measures as _m  # noqa: F401  registers the shipped measures
    from residue_batch import steps as _s  # noqa: F401  registers the shipped steps
    from residue_batch.measure import MEASURES
    from residue_batch.step import STEPS

    found = []
    for name, step in sorted(STEPS.items()):
        kind = "fitted step" if step.fit else "step"
        made = {"makes": str(step.signature.output)}
        found.append(_entry(name, kind, step, made))
    for name, measure in sorted(MEASURES.items()):
        outputs = [
            {"name": o.name, "unit": o.unit, "long_name": o.long_name, "dim": o.dim, "reducible": o.reducible}
            for o in measure.outputs
        ]
        found.append(_entry(name, "measure", measure, {"outputs": outputs}))
    return found


def _entry(name: str, kind: str, registered: Any, more: dict[str, Any]) -> dict[str, Any]:
    signature = registered.signature
    reads = [i.name for i in signature.inputs]
    if signature.variadic:
        reads[-1] += " ..."
    return {
        "name": name,
        "kind": kind,
        "version": registered.version,
        "summary": " ".join(signature.doc.split("\n\n")[0].split()),
        "reads": reads,
        "parameters": _parameters(registered.function, signature.keys),
        "takes_where": "where" in signature.given,
        **more,
        "page": signature.doc,
    }


def _parameters(function: Callable[..., Any], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    from residue_batch import units

    hints = typing.get_type_hints(function, include_extras=True)
    given = inspect.signature(function).parameters
    found = []
    for key in keys:
        unit = units.marker_of(hints[key])
        default = given[key].default
        required = default is inspect.Parameter.empty
        written = None if required else _written(default, unit.kind if unit else "")
        found.append(
            {
                "name": key,
                "what": WRITTEN[unit.kind] if unit else _type(hints[key]),
                "unit": UNIT[unit.kind] if unit else None,
                "required": required,
                "default": written,
            }
        )
    return found


def _written(default: Any, kind: str) -> Any:
    """A default as it would stand in YAML."""
    if isinstance(default, float) and UNIT.get(kind):
        return f"{default:g} {UNIT[kind]}"
    return list(default) if isinstance(default, tuple) else default


def _type(hint: Any) -> str:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        return "a list of numbers"
    return {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(hint, str(hint))


def _brief(parameter: dict[str, Any]) -> str:
    return f"{parameter['name']}" if parameter["required"] else f"{parameter['name']}={_yaml(parameter['default'])}"


def _yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _page(one: dict[str, Any]) -> None:
    out(f"{one['name']} ({one['kind']}, version {one['version']})", "bold")
    out()
    out(one["page"])
    out()
    if one["parameters"]:
        rows = [[p["name"], p["what"], "required" if p["required"] else _yaml(p["default"])] for p in one["parameters"]]
        table(["parameter", "what to write", "default"], rows)
    if "outputs" in one:
        rows = [
            [f"<key>_{o['name']}" if o["name"] else "<key>", o["unit"], "yes" if o["reducible"] else "", o["long_name"]]
            for o in one["outputs"]
        ]
        table(["number", "unit", "has a reduction", "meaning"], rows)


COMMANDS = (steps,)
