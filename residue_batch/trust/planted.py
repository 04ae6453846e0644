"""The self test: known residue on the user's own clean photographs, measured back as any lot is.

The residue is composited by the model by which it is measured, on a photograph
that may be the reference itself: what comes out is a lower bound of the error.
What it does find is a board type that cannot measure: a wrong golden shot, a
wrong outline, an exposure that saturates, a limit of detection that is not met.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from residue_batch.config import BoardType, find, load_board_type
from residue_batch.errors import UsageError
from residue_batch.outcome import detection_of
from residue_batch.prepare import sets_for
from residue_batch.trust.planting import AMOUNTS, Clean, Truth, clean_shot, plant
from residue_batch.trust.reading import OnProgress, Reading, measure

SEED, BOARDS = 1, 8
TOLERANCE = 3.0
"""Largest mean absolute error, points."""
COVERAGE = 90.0
"""Share of truths that their intervals shall cover, per cent."""
WORST = 3.0
"""No board may be off by more than so many tolerances."""
DOUBT = 0.05
"""Coverage fails when so few hits would be seen less often than this."""


@dataclass(frozen=True)
class Planted:
    """One board: what was planted, what was measured. Loads are shares of full cover, the rest per cent."""

    board: str
    kind: str
    photo: str
    true_before: float
    true_after: float
    load_before: float | None
    load_after: float | None
    estimate_pct: float | None
    low_pct: float | None
    high_pct: float | None
    status: str
    reason: str
    message: str

    @property
    def true_pct(self) -> float | None:
        """The true reduction; None where nothing was planted."""
        return 100 * (1 - self.true_after / self.true_before) if self.true_before > 0 else None

    @property
    def error(self) -> float | None:
        """Estimate minus truth, points."""
        if self.true_pct is None or self.estimate_pct is None:
            return None
        return self.estimate_pct - self.true_pct

    @property
    def covered(self) -> bool | None:
        """Whether the measurement interval holds the truth; None without one."""
        if self.true_pct is None or self.low_pct is None or self.high_pct is None:
            return None
        return self.low_pct <= self.true_pct <= self.high_pct


@dataclass(frozen=True)
class SelfTest:
    """What a self test came to, and by what it is judged."""

    board_type: str
    photos: tuple[str, ...]
    difficulty: str
    lod: float
    tolerance: float
    coverage: float
    boards: tuple[Planted, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        return tuple(b.error for b in self.boards if b.error is not None)

    @property
    def mean_error(self) -> float | None:
        """Mean absolute error, points."""
        return statistics.fmean(abs(e) for e in self.errors) if self.errors else None

    @property
    def bias(self) -> float | None:
        """Mean error, points."""
        return statistics.fmean(self.errors) if self.errors else None

    @property
    def covered(self) -> tuple[int, int]:
        """How many intervals hold the truth, of how many."""
        hits = [b.covered for b in self.boards if b.covered is not None]
        return sum(hits), len(hits)

    @property
    def mean_width(self) -> float | None:
        """Mean width of the intervals, points."""
        ends = [(b.low_pct, b.high_pct) for b in self.boards if b.covered is not None]
        widths = [high - low for low, high in ends if low is not None and high is not None]
        return statistics.fmean(widths) if widths else None

    @property
    def failures(self) -> tuple[str, ...]:
        """What is out of tolerance; empty when the board type can measure."""
        return tuple(_failures(self))


def selftest(
    board_type: str | Path,
    *,
    clean: Sequence[str | Path] = (),
    boards: int = BOARDS,
    difficulty: str = "medium",
    tolerance: float = TOLERANCE,
    coverage: float = COVERAGE,
    seed: int = SEED,
    folder: str | Path | None = None,
    workflow: str | Path = "flux_residue",
    workers: int | None = None,
    sets: Sequence[str] = (),
    on_plant: Callable[[int, int], None] | None = None,
    on_progress: OnProgress = None,
) -> SelfTest:
    """Plant known residue on clean photographs of a board type and measure it back.

    Parameters
    ----------
    clean
        Photographs of clean boards; default the golden shot of the board type.
    boards
        How many boards; their kinds follow ``AMOUNTS`` (typical, faint, heavy, null, worse, blank).
    difficulty
        How the shots differ: ``fixed`` (a camera on a stand), ``easy``, ``medium`` or ``hard`` (from the hand).
    tolerance
        Largest mean absolute error of the reduction, points.
    coverage
        Share of truths that the measurement intervals shall cover, per cent.
    seed
        Another seed is other residue and other shots.
    folder
        Keeps the photographs and the run; None for nowhere.
    workflow, workers, sets, on_progress
        As for ``run``; ``on_plant`` is told (board, of how many) as they are made.

    Raises
    ------
    ConfigError, UsageError, LockedError, StaleRunError, ClusterError
    """
    from residue_batch.synthetic import DIFFICULTIES

    if difficulty not in DIFFICULTIES:
        raise UsageError(f"no such difficulty: {difficulty!r}; there are {', '.join(DIFFICULTIES)}")
    if boards < 1 or tolerance <= 0 or not 0 <= coverage <= 100:
        raise UsageError("a self test has at least one board, a tolerance above 0 and a coverage of 0 to 100 per cent")
    path = find(str(board_type), "board_type").path
    kind = load_board_type(path, sets_for(sets, "board_type"))
    sources = _sources(kind, clean)
    if folder is not None:
        place = Path(folder)
        if place.exists() and any(place.iterdir()):
            raise UsageError(f"{place} is not empty; give another folder")
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary if folder is None else folder)
        truth = _write(place, path, [clean_shot(kind, s, seed) for s in sources], boards, seed, difficulty, on_plant)
        readings, _ = measure(
            place / "lot.yaml", workflow, out=place / "runs", workers=workers, sets=sets, on_progress=on_progress
        )
    found = {one.board: one for one in readings}
    compared = tuple(_compared(name, level, str(source), true, found[name]) for name, level, source, true in truth)
    lod, _ = detection_of(kind)
    names = tuple(str(source) for source in sources)
    return SelfTest(kind.board_type, names, difficulty, lod, tolerance, coverage, compared)


def _sources(board_type: BoardType, clean: Sequence[str | Path]) -> list[Path]:
    """The photographs to plant on."""
    if clean:
        return [Path(one).absolute() for one in clean]
    if board_type.golden:
        return [Path(board_type.golden)]
    raise UsageError(
        f"board type {board_type.board_type} has no golden shot; name photographs of clean boards with --clean"
    )


def _write(
    folder: Path,
    board_type: Path,
    cleans: Sequence[Clean],
    boards: int,
    seed: int,
    difficulty: str,
    tell: Callable[[int, int], None] | None,
) -> list[tuple[str, str, Path, Truth]]:
    """The lot on disk; name, kind, photograph and truth of each board."""
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for index in range(boards):
        if tell:
            tell(index + 1, boards)
        kind, clean = list(AMOUNTS)[index % len(AMOUNTS)], cleans[index % len(cleans)]
        name = f"{index + 1:02}_{kind}"
        truth = plant(clean, kind, 1000 * seed + 10 * index, difficulty, folder / "shots", name)
        found.append((name, kind, clean.path, truth))
    pattern = "shots/{board}_{phase}.*"
    lines = ("schema: 1", "lot: selftest", f"board_type: {_quoted(board_type)}", f"pattern: '{pattern}'", "")
    (folder / "lot.yaml").write_text("\n".join(lines), encoding="utf-8")
    return found


def _quoted(path: Path) -> str:
    text = str(path.absolute()).replace("'", "''")
    return f"'{text}'"


def _compared(name: str, kind: str, photo: str, truth: Truth, found: Reading) -> Planted:
    return Planted(
        board=name,
        kind=kind,
        photo=photo,
        true_before=truth.before,
        true_after=truth.after,
        load_before=found.load_before,
        load_after=found.load_after,
        estimate_pct=found.reduction_pct,
        low_pct=found.low_pct,
        high_pct=found.high_pct,
        status=found.status,
        reason=found.reason,
        message=found.message,
    )


def _failures(test: SelfTest) -> Iterator[str]:
    for board in test.boards:
        if board.reason:
            yield f"{board.board} has no number: {board.reason}: {board.message}"
        elif board.kind == "blank":
            high = max(board.load_before or 0.0, board.load_after or 0.0)
            if high > test.lod:
                yield (
                    f"{board.board} is clean and reads {high:.2g} of full cover, above the limit of detection "
                    f"{test.lod:g}; find the limits of this booth with 'residue blanks'"
                )
        elif board.estimate_pct is None and board.true_before > 3 * test.lod:
            yield f"{board.board} has no reduction ({board.status}), though {board.true_before:.3f} was planted"
    if test.mean_error is None:
        yield "no board has a reduction to compare"
    elif test.mean_error > test.tolerance:
        yield f"the mean absolute error is {test.mean_error:.2f} points, more than {test.tolerance:g}"
    for board in test.boards:
        if board.error is not None and abs(board.error) > WORST * test.tolerance:
            yield f"{board.board} is off by {board.error:+.1f} points, more than {WORST * test.tolerance:g}"
    hits, count = test.covered
    if count and chance(hits, count, test.coverage / 100) < DOUBT:
        yield (
            f"{hits} of {count} intervals hold the truth: at {test.coverage:g} % so few would be seen less than once "
            f"in {1 / DOUBT:.0f}"
        )


def chance(hits: int, count: int, share: float) -> float:
    """Probability of so few hits or fewer among ``count``, each with probability ``share``."""
    return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(hits + 1))
