"""JSON Schemas of the YAML files, completed with the steps and measures that are installed."""

from __future__ import annotations

from typing import Any

from residue_batch.config import json_schema


def schema_of(kind: str) -> dict[str, Any]:
    """The schema of a kind of file; a workflow's knows every step and measure with its parameters."""
    schema = json_schema(kind)
    if kind != "workflow":
        return schema
    from residue_batch import measures, steps  # noqa: F401  registers the shipped ones
    from residue_batch.measure import MEASURES
    from residue_batch.step import STEPS

    definitions = dict(schema["$defs"])
    calls: tuple[tuple[str, str, Any], ...] = (("PlaneSpec", "step", STEPS), ("MeasureSpec", "measure", MEASURES))
    for name, key, registry in calls:
        definitions[name] = _with_calls(definitions[name], key, {n: r.signature for n, r in sorted(registry.items())})
        for one in registry.values():
            definitions |= one.signature.model.model_json_schema().get("$defs", {})
    return {**schema, "$defs": definitions}


def _with_calls(definition: dict[str, Any], key: str, signatures: dict[str, Any]) -> dict[str, Any]:
    own = definition["properties"]
    about = {name: _first(signature.doc) for name, signature in signatures.items()}
    named = {**own[key], "anyOf": [{"const": name, "description": text} for name, text in about.items()]}
    branches = []
    for name, signature in signatures.items():
        parameters = signature.model.model_json_schema()
        branches.append(
            {
                "if": {"properties": {key: {"const": name}}, "required": [key]},
                "then": {
                    "properties": {**dict.fromkeys(own, True), **parameters.get("properties", {})},
                    "required": parameters.get("required", []),
                    "additionalProperties": False,
                },
            }
        )
    return {**definition, "properties": {**own, key: named}, "allOf": branches}


def _first(doc: str) -> str:
    return doc.split("\n\n", 1)[0].replace("\n", " ")
