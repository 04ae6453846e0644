"""Where the time of one board goes: by stage, by function, and by tile size; in this process, on one core.

CPU seconds, not wall seconds: other work on the machine disturbs them less.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import cv2

import residue_batch
from residue_batch.board import Board, forget_photographs, plan_board
from residue_batch.engine.inline import identify
from residue_batch.files import read_photo
from residue_batch.prepare import check_scene, prepare
from residue_batch.stages import Stage

REPEATS = 2


def inline(lot: Path, workflow: str, out: Path, tile_sizes: Sequence[int]) -> dict[str, Any]:
    """Seconds of the lot's first board: ``decode_s`` (the floor), ``stages_s``, ``functions_s``, ``tiles_s``."""
    cv2.setNumThreads(1)  # as in a worker
    prepared = prepare(lot, workflow)
    setting = next(iter(prepared.settings.values()))
    seconds = {"scene": _cpu(lambda: check_scene(setting))}
    board = next(prepared.boards(str(out)))
    _measured(board)  # warm: imports, caches, the allocator
    decode = _cpu(lambda: [read_photo(setting.board_type, file) for file in board.shots.values()])
    staged, last = _staged(board)
    profile = cProfile.Profile(time.process_time)
    with _profiled(profile):
        _measured(board)
    tiles_s, same = _by_tile(last, tile_sizes)
    forget_photographs()
    return {
        "decode_s": decode,
        "stages_s": seconds | staged,
        "functions_s": own_seconds(profile),
        "tiles_s": tiles_s,
        "same_numbers": same,
    }


@contextmanager
def _profiled(profile: cProfile.Profile) -> Iterator[None]:
    profile.enable()
    try:
        yield
    finally:
        profile.disable()


def _cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _measured(board: Board) -> Board:
    """The board, run inline to its end."""
    forget_photographs()
    board = identify(board)[0]
    for stage in plan_board(board).stages:
        board = _run(stage, board)
    return board


def _run(stage: Stage, board: Board) -> Board:
    done: Board = stage.then(board, reduce(stage.merge, (stage.function(board, item) for item in stage.items)))
    return done


def _staged(board: Board) -> tuple[dict[str, float], Board]:
    """Seconds of each stage, and the board before its last stage."""
    forget_photographs()
    start = time.process_time()
    board = before = identify(board)[0]
    seconds = {"hash": time.process_time() - start}
    for stage in plan_board(board).stages:
        before, start = board, time.process_time()
        board = _run(stage, board)
        seconds[stage.name] = time.process_time() - start
    return seconds, before


def _by_tile(board: Board, sizes: Sequence[int]) -> tuple[dict[int, float], bool]:
    """Seconds of the measuring stage by tile size, the least of a few turns; and whether the numbers agree."""
    seconds = dict.fromkeys(sizes, float("inf"))
    found: dict[int, Any] = {}
    for _ in range(REPEATS):
        for size in sizes:
            tiled = replace(board, setting=replace(board.setting, tile=size))
            stage = plan_board(tiled).stages[-1]
            start = time.process_time()
            record = _run(stage, tiled).record
            seconds[size] = min(seconds[size], time.process_time() - start)
            assert record is not None
            found[size] = record["values"]
    return seconds, all(values == found[sizes[0]] for values in found.values())


def own_seconds(profile: cProfile.Profile, top: int = 16) -> dict[str, float]:
    """Seconds in each function of the package itself, with what it calls outside the package."""
    root = str(Path(residue_batch.__file__).parent)
    own: dict[str, float] = defaultdict(float)
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, name), (_, _, itself, _, callers) in stats.items():
        if file.startswith(root):
            own[_named(file, name, root)] += itself
            continue
        for (caller, _, caller_name), (_, _, _, cumulative) in callers.items():
            if caller.startswith(root):
                own[_named(caller, caller_name, root)] += cumulative
    return dict(sorted(own.items(), key=lambda item: -item[1])[:top])


def _named(file: str, name: str, root: str) -> str:
    return f"{Path(file).relative_to(root).with_suffix('').as_posix().replace('/', '.')}.{name}"
