"""Where the work runs: this machine, or a Dask scheduler that already runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from residue_batch.config.model import Configuration, Count, Mistake

_MEMORY = re.compile(r"auto|\d+(\.\d+)?\s*([kMGT]i?B|%)", re.ASCII)
_ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+:\d+", re.ASCII)
_DASHBOARD = re.compile(r"none|\S*:\d+", re.ASCII)


def _schema(pattern: re.Pattern[str], example: str) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^({pattern.pattern})$", "examples": [example]}


def _memory(text: str) -> str:
    if not _MEMORY.fullmatch(text):
        raise ValueError(f"'{text}' is not a memory size", "write for example '4 GiB', '80 %' or 'auto'")
    return text


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise ValueError(f"'{text}' is not the address of a scheduler", "write for example 'tcp://10.0.0.5:8786'")
    return text


def _dashboard(text: str) -> str | None:
    if text == "none":
        return None
    if not _DASHBOARD.fullmatch(text):
        raise ValueError(
            f"'{text}' is not host:port", "write for example '127.0.0.1:8787', or none; port 0 takes a free one"
        )
    return text


class Cluster(Configuration):
    """Where the work runs. Each worker has one thread."""

    file_kind: ClassVar[str] = "cluster"
    paths: ClassVar[tuple[str, ...]] = ("scheduler_file",)

    kind: Literal["local", "address", "scheduler_file"] = "local"
    """`local` starts workers on this machine; the others join a scheduler that runs."""
    workers: Annotated[Count, Field(ge=1)] | None = None
    """How many workers `local` starts; default one per core."""
    memory_limit: Annotated[str, AfterValidator(_memory), WithJsonSchema(_schema(_MEMORY, "4 GiB"))] = "auto"
    """Memory of one worker that `local` starts."""
    address: (
        Annotated[str, AfterValidator(_address), WithJsonSchema(_schema(_ADDRESS, "tcp://10.0.0.5:8786"))] | None
    ) = None
    """The scheduler, for `kind: address`."""
    scheduler_file: str | None = None
    """The file a scheduler has written, for `kind: scheduler_file`."""
    dashboard: (
        Annotated[str, AfterValidator(_dashboard), WithJsonSchema(_schema(_DASHBOARD, "127.0.0.1:8787"))] | None
    ) = "127.0.0.1:8787"
    """Where `local` shows its dashboard, or a free port when that one is taken; `none`: nowhere."""

    @classmethod
    def mistakes(cls, data: Mapping[str, Any]) -> list[Mistake]:
        kind = data.get("kind", "local")
        found = []
        for key in ("address", "scheduler_file"):
            if kind == key and data.get(key) is None:
                found.append(Mistake(("kind",), f"kind: {key} needs '{key}'", f"add '{key}: ...'"))
            if kind in ("local", "address", "scheduler_file") and kind != key and data.get(key) is not None:
                found.append(Mistake((key,), f"'{key}' is for kind: {key}, not for kind: {kind}", "remove it", "key"))
        if kind in ("address", "scheduler_file") and data.get("workers") is not None:
            message = "'workers' is for kind: local; a scheduler that runs has its own"
            found.append(Mistake(("workers",), message, "remove it", "key"))
        return found
