"""Speed and memory of every way to do the same work, in one table, and the limits that hold it.

    python -m benchmarks.speed [--boards 3] [--megapixels 12] [--repeat 3] [--only NAME ...] [--rounds N]
                               [--plantcv PYTHON] [--folder DIR] [--json FILE]

Each way runs in a fresh process, in turn (A B C, C B A, A B C: what drifts cancels), on the same photographs. Numbers
are medians; a ratio is that of every turn, the median of which is held against its limit: what slows the machine for a
while slows both. Before each way memory is copied, to tell a busy machine from a slow way. MP are input pixels of both
shots; speed is that of the median board after the first third, so that no import is in it. ``MP per CPU s`` is what
one core does when it does nothing else: other work disturbs it least, so ratios are made of it. ``cores`` are those
that were busy: CPU seconds of a board over its seconds. Ends with 1 if a limit of ``limits.csv`` is missed, or a way
fails.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import platform
import stat
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pictures import largest_difference, lay_out
from benchmarks.watch import FailedError, copied, watched
from benchmarks.ways import WAYS, WORKFLOWS, Way

LIMITS = Path(__file__).with_name("limits.csv")
NUMBERS = ("board_s", "board_cpu_s", "first_s", "wall_s", "tree_mb", "process_mb")
KEPT = (*NUMBERS, "boards_s", "boards_cpu_s", "copied_gb_s")
"""What is written of every run."""
REFERENCE = "scikit_image"
OPTIONAL = {"plantcv", "plantcv_runner"}
"""Not everybody has them: what cannot be run is said, and nothing is missed."""


def measure(
    folder: Path,
    ways: Sequence[Way],
    boards: int = 3,
    megapixels: float = 12,
    repeat: int = 3,
    plantcv: str = sys.executable,
) -> dict[str, Any]:
    """Run every way ``repeat`` times in turn, some only once; ``folder`` keeps the photographs."""
    runs: dict[str, list[dict[str, Any]]] = {way.name: [] for way in ways}
    lacking: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=folder) as written:
        for turn in range(repeat):
            for way in reversed(ways) if turn % 2 else ways:
                if way.name in lacking or (way.once and turn):
                    continue
                print(f"{turn + 1}/{repeat} {way.label}", file=sys.stderr, flush=True)
                try:
                    runs[way.name].append(_run(folder, way, boards, megapixels, plantcv, written))
                except FailedError as error:
                    lacking[way.name] = str(error).splitlines()[-1]
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rendered_boards": boards,
        "megapixels": megapixels,
        "repeat": repeat,
        "ways": {way.name: _numbers(way, runs[way.name], megapixels) for way in ways if runs[way.name]},
        "agreement": _agreement({way.name: runs[way.name] for way in ways if way.work == "workload"}, boards),
        "lacking": lacking,
    }


def _run(folder: Path, way: Way, boards: int, megapixels: float, plantcv: str, written: str) -> dict[str, Any]:
    place = lay_out(folder, boards, megapixels, way.form, way.boards)
    out = Path(tempfile.mkdtemp(dir=written))
    try:
        if way.module == "benchmarks.ours":
            given: tuple[object, ...] = (place / f"{way.work}.yaml", WORKFLOWS[way.work], out, *way.given)
        else:
            given = (place / "pairs.json", out, *way.given)
        python = plantcv if way.name in OPTIONAL else sys.executable
        weather = {"copied_gb_s": copied()}
        return weather | watched(way.module, *given, boards=way.boards, python=python, workers=way.in_turn)
    finally:
        emptied(out)


def emptied(folder: Path) -> None:
    """Take what files hold, and leave them: for minutes after files were removed, ext4 is slow to make new ones.

    What else has a name elsewhere, like a photograph that a way has linked, keeps what it holds.
    """
    for file in folder.rglob("*"):
        state = file.lstat()
        if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
            os.truncate(file, 0)


def _numbers(way: Way, runs: Sequence[Mapping[str, Any]], megapixels: float) -> dict[str, Any]:
    """Medians and spread of one way. MP are of both shots."""
    medians = {name: statistics.median(run[name] for run in runs) for name in NUMBERS}
    speeds = [2 * megapixels / run["board_cpu_s"] for run in runs]
    return medians | {
        "label": way.label,
        "work": way.work,
        "form": way.form,
        "cores": medians["board_cpu_s"] / medians["board_s"],
        "boards": way.boards,
        "mp_s": 2 * megapixels / medians["board_s"],
        "mp_cpu_s": 2 * megapixels / medians["board_cpu_s"],
        "spread": [min(speeds), max(speeds)],
        "runs": [{name: run[name] for name in KEPT} for run in runs],
    }


def _agreement(runs: Mapping[str, Sequence[Mapping[str, Any]]], boards: int) -> dict[str, float | None]:
    """Largest difference of each way to the scikit-image script, points of reduction."""
    if not runs.get(REFERENCE):
        return {}
    reference = runs[REFERENCE][0]["boards"]
    found = {
        name: largest_difference(all_of[0]["boards"], reference, boards) for name, all_of in runs.items() if all_of
    }
    return {name: points for name, points in found.items() if points is not None}


# ratios and limits ----------------------------------------------------------------


def floors_of(ways: Mapping[str, Any], form: str) -> list[float]:
    """CPU seconds of a board by turns: the faster of the two writers, and decoding; empty if neither was run.

    As many turns as both have: one of them may have failed on the way.
    """
    writers = [_turns(ways, f"floor_{writer}_{form}", "board_cpu_s") for writer in ("zarr", "store")]
    return [min(turn) for turn in zip(*filter(None, writers), strict=False)]


def _turns(ways: Mapping[str, Any], name: str, key: str) -> list[float]:
    return [float(run[key]) for run in ways[name]["runs"]] if name in ways else []


def over(slower: Sequence[float], faster: Sequence[float]) -> list[float]:
    """How many times as long one takes, turn by turn; some ways have one turn only."""
    return [a / b for a, b in zip(slower, faster, strict=False)]


def ratios(found: Mapping[str, Any]) -> dict[str, tuple[float, float, float]]:
    """What the limits are held against, by turns: median, smallest and largest; NaN where a way was not run."""
    ways = found["ways"]

    def cpu(name: str) -> list[float]:
        return _turns(ways, name, "board_cpu_s")

    def clock(name: str) -> list[float]:
        return _turns(ways, name, "board_s")

    ours = [name for name in ways if name.startswith(("workload_", "flux_"))]
    points = [p for n, p in found["agreement"].items() if n.startswith("workload_")]
    jpg = floors_of(ways, "jpg")
    turns = {
        "workload_mp_cpu_s": [2 * found["megapixels"] / seconds for seconds in cpu("workload_inline")],
        "workload_of_floor": over(jpg, cpu("workload_inline")),
        "workload_over_scikit_image": over(cpu("scikit_image"), cpu("workload_inline")),
        "workload_over_opencv": over(cpu("opencv"), cpu("workload_inline")),
        "workload_over_dask_image": over(cpu("dask_image"), cpu("workload_inline")),
        "two_workers_over_dask_image": over(clock("dask_image"), clock("workload_cluster_2")),
        "workload_png_of_floor": over(floors_of(ways, "png"), cpu("workload_png")),
        "workload_tif_of_floor": over(floors_of(ways, "tif"), cpu("workload_tif")),
        "workload_points_off": [max(points)] if points else [],
        "flux_mp_cpu_s": [2 * found["megapixels"] / seconds for seconds in cpu("flux_inline")],
        "flux_of_floor": over(jpg, cpu("flux_inline")),
        "two_workers_over_one": over(clock("flux_cluster_1"), clock("flux_cluster_2")),
        "cluster_of_bare_pool": over(clock("flux_pool_2"), clock("flux_cluster_2")),
        "worker_mb": [max(mb) for mb in zip(*(_turns(ways, name, "process_mb") for name in ours), strict=False)],
        "first_result_s": _turns(ways, "flux_inline", "first_s"),
    }
    return {name: (statistics.median(of), min(of), max(of)) if of else (math.nan,) * 3 for name, of in turns.items()}


def judged(found: Mapping[str, Any], limits: Path = LIMITS) -> list[dict[str, Any]]:
    """Each limit with what was measured; those whose ways were not run are left out."""
    values = ratios(found)
    rows = []
    with limits.open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            value, low, high = values[row["name"]]
            if math.isnan(value):
                continue
            least, most = float(row["at_least"] or -math.inf), float(row["at_most"] or math.inf)
            target = float(row["target"])
            rows.append(
                {"name": row["name"], "value": value, "limit": row["at_least"] or row["at_most"], "target": target,
                 "what": row["what"], "spread": [low, high], "met": least <= value <= most,
                 "reached": value >= target if row["at_least"] else value <= target}
            )  # fmt: skip
    return rows


# what is printed ------------------------------------------------------------------


def table(found: Mapping[str, Any], limits: Sequence[Mapping[str, Any]]) -> str:
    """Readable."""
    ways = found["ways"]
    base = _turns(ways, REFERENCE, "board_cpu_s")
    head = f"{found['rendered_boards']} pairs of {found['megapixels']:g} MP, medians of {found['repeat']}"
    held = f"{len(limits)} of {len(ratios(found))} limits judged"
    lines = [f"{head}; {found['machine']}", f"{_weather(ways)}; {held}", ""]
    columns = ("MP/s", "cores", "MP/CPU s", "spread", "x sk-image", "of floor", "MB", "first s", "points off")
    lines += [f"{'way':50}" + "".join(f"{name:>12}" for name in columns)]
    for name, way in ways.items():
        points, own = found["agreement"].get(name), _turns(ways, name, "board_cpu_s")
        ratio = over(base, own) if way["work"] == "workload" else []
        share = over(floors_of(ways, way["form"]), own) if way["work"] != "floor" else []
        low, high = way["spread"]
        cells = (
            _cell(way["mp_s"], 1),
            _cell(way["cores"], 1),
            _cell(way["mp_cpu_s"], 1),
            f"{low:.1f}-{high:.1f}",
            _cell(statistics.median(ratio) if ratio else math.nan, 1),
            _cell(statistics.median(share) if share else math.nan, 2),
            _cell(way["tree_mb"], 0),
            _cell(way["first_s"], 1),
            _cell(math.nan if points is None else points, 4),
        )
        lines += [f"{way['label']:50}" + "".join(f"{cell:>12}" for cell in cells)]
    lines += [f"{_label(name):50}  not measured: {reason}" for name, reason in found["lacking"].items()]
    lines += ["", f"{'limit':34}{'measured':>10}{'spread':>16}{'limit':>10}{'target':>10}"]
    for one in limits:
        verdict = "MISSED" if not one["met"] else "" if one["reached"] else "below its target"
        spread = f"{one['spread'][0]:.3g}-{one['spread'][1]:.3g}"
        numbers = f"{one['value']:10.3g}{spread:>16}{one['limit']:>10}{one['target']:10.3g}"
        lines += [f"{one['name']:34}{numbers}  {verdict}"]
    return "\n".join(lines)


def _weather(ways: Mapping[str, Any]) -> str:
    speeds = [run["copied_gb_s"] for way in ways.values() for run in way["runs"]]
    if not speeds:
        return "no way was measured"
    return f"memory copied at {statistics.median(speeds):.1f} ({min(speeds):.1f}-{max(speeds):.1f}) GB/s"


def _cell(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _label(name: str) -> str:
    return next(way.label for way in WAYS if way.name == name)


def _positive(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)


def _chosen(only: Sequence[str] | None, rounds: int | None) -> list[Way]:
    """The ways whose names begin like one of ``only``, with no more boards than asked for; ValueError for a typo."""
    for name in only or ():
        if not any(way.name.startswith(name) for way in WAYS):
            raise ValueError(f"no way begins with '{name}'; there are {', '.join(way.name for way in WAYS)}")
    ways = [way for way in WAYS if only is None or way.name.startswith(tuple(only))]
    return ways if rounds is None else [replace(way, rounds=min(way.rounds, rounds)) for way in ways]


def _write(path: Path | None, found: Mapping[str, Any]) -> None:
    if path:
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--boards", type=_positive, default=3, help="pairs that are rendered; ways measure them over and over"
    )
    parser.add_argument("--megapixels", type=float, default=12, help="of one shot")
    parser.add_argument("--repeat", type=_positive, default=3)
    parser.add_argument("--rounds", type=_positive, help="at most so many boards of each worker after its first")
    parser.add_argument("--only", nargs="+", help="names of ways, or how they begin")
    parser.add_argument("--plantcv", default=sys.executable, metavar="PYTHON", help="of an environment with PlantCV")
    parser.add_argument("--folder", type=Path, help="keep the photographs here; default a temporary folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    given = parser.parse_args(arguments)
    try:
        ways = _chosen(given.only, given.rounds)
    except ValueError as error:
        parser.error(str(error))
    with tempfile.TemporaryDirectory() as temporary:
        folder = (given.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(folder, ways, given.boards, given.megapixels, given.repeat, given.plantcv)
    _write(given.json, found)  # before anything is made of it: minutes of measuring must not be lost
    limits = judged(found)
    _write(given.json, found | {"limits": limits})
    print(table(found, limits))
    return 0 if all(one["met"] for one in limits) and not found["lacking"].keys() - OPTIONAL else 1


if __name__ == "__main__":
    sys.exit(main())
