"""Speed and memory of a whole run on a rendered lot.

    python -m benchmarks.throughput [--boards 8] [--megapixels 12] [--workers 1 2] [--json] [--out DIR]

MP/s are input pixels of both shots. Ratios (to the decode floor, between tile
sizes, between numbers of workers) say more than absolute numbers, and so do
CPU seconds on a machine that does other work as well.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.rendered import rendered_lot
from benchmarks.stages import inline
from benchmarks.watch import watched
from residue_batch.api import plan

TILES = (512, 1024, 2048)
TARGET_MP_S, TARGET_MB = 15.0, 700.0


def measure(
    folder: Path,
    boards: int = 8,
    megapixels: float = 12,
    workers: Sequence[int] = (1, 2),
    form: str = "jpg",
    workflow: str = "flux_residue",
) -> dict[str, Any]:
    """Render (once) and measure; ``folder`` keeps the lot."""
    lot = rendered_lot(folder, boards, megapixels, form)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        planned = plan(lot, workflow, out=Path(temporary) / "plan")
        pixels = planned.input_pixels / 1e6
        runs = [_rates(watched(lot, workflow, Path(temporary) / f"runs{n}", n), pixels) for n in workers]
        alone = inline(lot, workflow, Path(temporary) / "inline", TILES)
    per_board = pixels / boards
    board_s = sum(seconds for name, seconds in alone["stages_s"].items() if name != "scene")
    return {
        "boards": boards,
        "input_mp": pixels,
        "format": form,
        "workflow": workflow,
        "cores": os.cpu_count(),
        "planned_peak_mb": planned.peak_bytes / 1e6,
        "runs": runs,
        "inline": alone
        | {
            "board_s": board_s,
            "mp_per_cpu_s": per_board / board_s,
            "decode_mp_per_cpu_s": per_board / alone["decode_s"],
            "times_decode": board_s / alone["decode_s"],
        },
    }


def _rates(run: dict[str, Any], pixels: float) -> dict[str, Any]:
    cores = max(run["workers"], 1)
    return run | {
        "mp_s_per_core": pixels / run["wall_s"] / cores,
        "mp_s_per_core_without_start": pixels / run["boards_s"] / cores,
        "mp_per_cpu_s": pixels / run["cpu_s"],
    }


def table(found: dict[str, Any]) -> str:
    """Readable."""
    alone = found["inline"]
    size = f"{found['boards']} boards, {found['input_mp']:.0f} MP of {found['format']}"
    lines = [f"{size}, {found['workflow']}, {found['cores']} cores", ""]
    lines += [f"the whole process (targets: {TARGET_MP_S:g} MP/s per core, {TARGET_MB:g} MB per worker)"]
    columns = ("workers", "wall s", "start s", "boards s", "finish s", "cpu s", "MP/s/core", "no start", "MP/cpu s")
    lines += ["".join(f"{name:>11}" for name in columns)]
    for run in found["runs"]:
        keys = ("wall_s", "start_s", "boards_s", "finish_s", "cpu_s", "mp_s_per_core", "mp_s_per_core_without_start")
        numbers = "".join(f"{run[key]:11.1f}" for key in (*keys, "mp_per_cpu_s"))
        lines += [f"{run['workers']:11}{numbers}"]
    lines += ["", f"MB of the largest worker (planned {found['planned_peak_mb']:.0f})"]
    lines += [f"{'workers':>11}{'peak':>11}{'1st quarter':>13}{'last':>11}{'last / 1st':>12}"]
    for run in found["runs"]:
        memory = run["memory_mb"]
        ratio = memory["last_quarter"] / max(memory["first_quarter"], 1)
        numbers = f"{memory['peak']:11.0f}{memory['first_quarter']:13.0f}{memory['last_quarter']:11.0f}{ratio:12.2f}"
        lines += [f"{run['workers']:11}{numbers}"]
    lines += ["", "one board inline, CPU seconds", f"  {'decode alone (the floor)':38}{alone['decode_s']:8.3f}"]
    lines += [f"  {name:38}{seconds:8.3f}" for name, seconds in alone["stages_s"].items()]
    speed = f"{alone['mp_per_cpu_s']:.1f} MP/s, {alone['times_decode']:.1f} x decode"
    lines += [f"  {'the board, without the scene':38}{alone['board_s']:8.3f}   {speed}"]
    lines += ["", "by function, with what it calls outside the package (profiled)"]
    lines += [f"  {name:58}{seconds:8.3f}" for name, seconds in alone["functions_s"].items()]
    base = alone["tiles_s"][1024]
    sweep = ", ".join(f"{side} px {seconds / base:.2f}" for side, seconds in alone["tiles_s"].items())
    same = "same numbers" if alone["same_numbers"] else "NUMBERS DIFFER"
    lines += ["", f"measuring stage by tile size, against 1024 px: {sweep}; {same}"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--boards", type=int, default=8)
    parser.add_argument("--megapixels", type=float, default=12, help="of one shot")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--format", default="jpg", choices=["jpg", "png", "png16", "tif", "tif16"])
    parser.add_argument("--workflow", default="flux_residue", help="a name or a path")
    parser.add_argument("--out", type=Path, help="keep the rendered lot here; default a temporary folder")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(folder, given.boards, given.megapixels, given.workers, given.format, given.workflow)
    print(json.dumps(found, indent=1) if given.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
