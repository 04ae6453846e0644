"""Residue that a cleaning process removes from circuit boards, measured from photographs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from residue_batch.api import check, compare, open_run, plan, run, try_pair
    from residue_batch.speed import bench
    from residue_batch.trust import blanks, nullcheck, selftest

__version__ = "0.1.0"
__all__ = ["bench", "blanks", "check", "compare", "nullcheck", "open_run", "plan", "run", "selftest", "try_pair"]
ROOMS = {"bench": "speed", **dict.fromkeys(("blanks", "nullcheck", "selftest"), "trust")}


def __getattr__(name: str) -> Any:
    # numpy and OpenCV load when a call is asked for, not when the package is named
    if name in __all__:
        return getattr(import_module(f"residue_batch.{ROOMS.get(name, 'api')}"), name)
    raise AttributeError(f"module 'residue_batch' has no attribute {name!r}")
