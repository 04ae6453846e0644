"""A configuration as YAML that reads back as the equal configuration."""

from __future__ import annotations

from typing import Any

import yaml

from residue_batch.config.model import Configuration, plain
from residue_batch.config.yaml import scalar

_Base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_Base):  # type: ignore[misc]
    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: Any, value: str) -> Any:
    try:
        bare = scalar(value) == value
    except ValueError:
        bare = False
    # `1e-3` is text to PyYAML and a number to us
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if bare else "'")


def _flat(dumper: Any, value: list[Any]) -> Any:
    simple = not any(isinstance(v, dict | list) for v in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=simple)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _flat)


def to_yaml(model: Configuration) -> str:
    """YAML that loads back to the equal model; file names in it are absolute."""
    data = plain(model)
    ordered = {"schema": data.pop("schema"), model.file_kind: data.pop(model.file_kind, None), **data}
    if ordered[model.file_kind] is None:
        del ordered[model.file_kind]
    return str(yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000))


def quoted(text: str) -> str:
    """A text as it may stand behind a colon, in quotes where it needs them."""
    return (
        str(yaml.dump(text, Dumper=_Dumper, allow_unicode=True, width=10_000)).removesuffix("...\n").removesuffix("\n")
    )
