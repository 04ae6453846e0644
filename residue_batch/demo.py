"""The demo: a lot of rendered boards whose truth is known, measured like any other.

Two of the boards are spoilt on purpose, one with a file that was cut short and
one without its after-shot, so that one sees what happens to such boards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from residue_batch import api
from residue_batch.errors import UsageError
from residue_batch.records import write_text

if TYPE_CHECKING:
    from residue_batch.ledger import Progress

SEED, SHAPE, COLOUR = 1, (1500, 2000), "green"
"""The board of configs/boards/demo_board.yaml and its golden shot."""
SPOILT = ("truncated", "unpaired")
TOLERANCE = 2.0
"""Largest mean absolute error of the reduction, points."""

LOT = """\
# The boards of the demo. Measure them again:
#     residue run {folder}/lot.yaml
schema: 1
lot: {lot}
board_type: demo_board
root: .
pattern: 'shots/{{lot}}/{{board}}_{{phase}}.*'
"""


@dataclass(frozen=True)
class Compared:
    """One board of the demo: what is true, what was measured."""

    board: str
    kind: str
    true_pct: float | None
    measured_pct: float | None
    outcome: str
    reason: str

    @property
    def error(self) -> float | None:
        """Points; None where there is no number."""
        if self.true_pct is None or self.measured_pct is None:
            return None
        return self.measured_pct - self.true_pct


@dataclass(frozen=True)
class Demo:
    """What the demo came to."""

    lot: str
    run: str
    report: str
    boards: tuple[Compared, ...]

    @property
    def mean_error(self) -> float | None:
        """Mean absolute error of the reduction, points."""
        errors = [abs(b.error) for b in self.boards if b.error is not None]
        return sum(errors) / len(errors) if errors else None

    @property
    def failures(self) -> tuple[str, ...]:
        """What is not as it should be; the demo knows its truth."""
        found = []
        if self.mean_error is None or self.mean_error > TOLERANCE:
            found.append(f"the mean absolute error is {self.mean_error} points, more than {TOLERANCE:g}")
        for board in self.boards:
            expected = "refused" if board.kind in SPOILT else "measured"
            if board.outcome != expected:
                found.append(f"{board.board} ({board.kind}) was {board.outcome}, not {expected}: {board.reason}")
        return tuple(found)


def demo(
    folder: str | Path = "demo",
    boards: int = 8,
    *,
    workers: int | None = None,
    on_render: Callable[[str], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Demo:
    """Render a lot, measure it on a cluster of this machine and compare it with its truth.

    A second call finds the photographs and resumes the run.

    Parameters
    ----------
    folder
        Where everything goes.
    boards
        How many sound boards; two spoilt ones come on top.
    on_render
        Told what is being done before the run begins.

    Raises
    ------
    UsageError
        If the folder holds something else, or another demo.
    """
    root = Path(folder)
    truth = _rendered(root, boards, on_render or (lambda _: None))
    lot = root / "lot.yaml"
    dataset = api.run(lot, workers=workers, out=root / "runs", on_progress=on_progress)
    run = Path(dataset.attrs["folder"])
    return Demo(str(lot), str(run), str(run / "report.html"), tuple(_compared(truth, dataset)))


def _rendered(root: Path, boards: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """The truth of the lot, rendered if it is not there yet."""
    from residue_batch.synthetic import write_lot

    path = root / "truth.json"
    wanted = {"boards": boards, "seed": SEED, "kinds": _kinds(boards)}
    asked = root / "demo.json"
    if asked.exists() and path.exists():
        if _read(asked) != wanted:
            raise UsageError(f"{root} holds another demo; give another --out, or remove it")
        tell(f"the photographs are in {root} already")
        return _read(path)
    if root.exists() and any(root.iterdir()) and not (root / "shots").is_dir():
        raise UsageError(f"{root} is not empty and no demo; give another --out")
    tell(f"rendering {boards + len(SPOILT)} boards before and after cleaning ...")
    kinds = _kinds(boards)
    write_lot(root, len(kinds), SEED, SHAPE, "medium", kinds=kinds, colour=COLOUR, lot="demo")
    # the board type has its own golden shot
    with suppress(FileNotFoundError):
        (root / "golden.jpg").unlink()
    write_text(root / "lot.yaml", LOT.format(folder=root, lot="demo"))
    write_text(asked, json.dumps(wanted) + "\n")
    return _read(path)


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _kinds(boards: int) -> list[str]:
    """What happens to each board: the spoilt ones stand between the others."""
    kinds = ["reduce"] * boards
    for place, kind in zip((2, 5), SPOILT, strict=True):
        kinds.insert(place, kind)
    return kinds


def _compared(truth: dict[str, Any], dataset: Any) -> Iterator[Compared]:
    from residue_batch.results import words

    name = dataset.attrs["primary_variable"]
    whole = dataset.sel(region="whole")
    reduction = dict(zip(dataset["board"].values.tolist(), whole[name].values.tolist(), strict=True))
    outcome = dict(zip(dataset["board"].values.tolist(), words(dataset["outcome"]).tolist(), strict=True))
    reason = dict(zip(dataset["board"].values.tolist(), dataset["reason"].values.tolist(), strict=True))
    for row in truth["boards"]:
        board, measured = row["board"], reduction.get(row["board"], float("nan"))
        yield Compared(
            board,
            row["kind"],
            row["regions"]["whole"]["reduction_pct"] if row["kind"] not in SPOILT else None,
            None if measured != measured else measured,  # noqa: PLR0124  NaN
            outcome.get(board, "missing"),
            reason.get(board, ""),
        )
