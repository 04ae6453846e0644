"""The load of each board of a run as plain values: what the checks before a night judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch import api
from residue_batch.config import BoardType, load_board_type
from residue_batch.errors import UsageError
from residue_batch.outcome import MEASURED

if TYPE_CHECKING:
    from residue_batch.ledger import Progress

OnProgress = Callable[["Progress"], None] | None


@dataclass(frozen=True)
class Reading:
    """One board as it was measured, over the whole board; None where there is no number.

    Loads are shares of full cover, reductions per cent.
    """

    board: str
    board_type: str
    outcome: str
    reason: str
    message: str
    remedy: str
    status: str
    load_before: float | None
    load_after: float | None
    reduction_pct: float | None
    low_pct: float | None
    high_pct: float | None

    @property
    def measured(self) -> bool:
        return self.outcome == MEASURED and self.load_before is not None and self.load_after is not None


def measure(lot: str | Path, workflow: str | Path, **given: Any) -> tuple[list[Reading], Mapping[str, BoardType]]:
    """Measure a lot with ``api.run``; its boards, and their board types by name.

    Raises
    ------
    UsageError
        If the workflow measures no load before and after.
    """
    dataset = api.run(lot, workflow, **given)
    folder = Path(dataset.attrs["folder"])
    found = [load_board_type(path) for path in sorted((folder / "resolved").glob("board_type-*.yaml"))]
    return _readings(dataset, str(workflow)), {one.board_type: one for one in found}


def _readings(dataset: Any, workflow: str) -> list[Reading]:
    from residue_batch.results import words

    reduction = str(dataset.attrs.get("primary_variable", ""))
    if not reduction:
        raise UsageError(f"workflow {workflow} measures no load before and after; give one that does with --workflow")
    whole = dataset.sel(region="whole")
    load = whole[str(dataset[reduction].attrs["reduction_of"])]
    outcome, status = words(dataset["outcome"]), words(whole["status"])
    found = []
    for index, board in enumerate(dataset["board"].values.tolist()):
        reading = Reading(
            board=str(board),
            board_type=str(dataset["board_type"].values[index]),
            outcome=str(outcome[index]),
            reason=str(dataset["reason"].values[index]),
            message=str(dataset["message"].values[index]),
            remedy=str(dataset["remedy"].values[index]),
            status=str(status[index]),
            load_before=_number(load.sel(phase="before").values[index]),
            load_after=_number(load.sel(phase="after").values[index]),
            reduction_pct=_number(whole[reduction].values[index]),
            low_pct=_number(whole[f"{reduction}_low"].values[index]),
            high_pct=_number(whole[f"{reduction}_high"].values[index]),
        )
        found.append(reading)
    return found


def _number(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def without_number(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """Boards that were refused."""
    return tuple(one for one in readings if not one.measured)
