"""The same with PlantCV's own parallel runner, which starts a Python for each board.

    python -m benchmarks.peers.plantcv_runner PAIRS OUT --workers N

It runs this file again as its workflow, once for each pair. It ends well even if every workflow has died, so results
are counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.workload import PHASES, Pair, arguments, board_by, read_pairs

COMMAND = "plantcv-run-workflow"


def lay_out(pairs: list[Pair], folder: Path) -> None:
    """The photographs under names that PlantCV can take apart; it loses the last part of a name."""
    folder.mkdir(parents=True)
    for number, pair in enumerate(pairs):
        for phase in PHASES:
            path = Path(getattr(pair, phase)).resolve()
            (folder / f"{number}_{phase}_shot{path.suffix}").symlink_to(path)


def configured(out: Path, suffix: str, workers: int) -> dict[str, Any]:
    """What the runner is told: photographs of one board together, by phase, on a LocalCluster."""
    return {
        "input_dir": str(out / "photographs"),
        "json": str(out / "results"),
        "filename_metadata": ["plantbarcode", "camera", "id"],
        "workflow": __file__,
        "img_outdir": str(out / "pictures"),
        "tmp_dir": str(out / "parts"),
        "imgformat": suffix.removeprefix("."),
        "groupby": ["plantbarcode"],
        "group_name": "camera",
        "other_args": {"out": str(out)},
        "cluster": "LocalCluster",
        "cluster_config": {"n_workers": workers},
    }


def run(pairs: list[Pair], out: Path, workers: int) -> Iterator[tuple[str, Any, float]]:
    """Every board with its numbers and when it was done.

    FileNotFoundError where a board has no numbers, whatever the runner says.
    """
    out.mkdir(parents=True, exist_ok=True)
    lay_out(pairs, out / "photographs")
    config = out / "config.json"
    config.write_text(json.dumps(configured(out, Path(pairs[0].before).suffix, max(workers, 1))))
    # the runner starts whatever 'python' there is
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [str(Path(sys.executable).with_name(COMMAND)), "--config", str(config)]
    with (out / "told").open("w") as told:
        subprocess.run(command, env=os.environ | {"PATH": places}, check=True, stdout=told, stderr=told)  # noqa: S603
    for number, pair in enumerate(pairs):
        found = out / f"{number}.json"
        yield pair.board, json.loads(found.read_text()), found.stat().st_mtime


def workflow() -> None:
    """One board, as the runner calls it."""
    sys.path.pop(0)  # this folder: its modules are called like the libraries that they use
    from plantcv.parallel import workflow_inputs  # type: ignore[import-not-found]
    from plantcv.plantcv import outputs  # type: ignore[import-not-found]

    from benchmarks.peers.plantcv import measure

    given = workflow_inputs("out")
    number = Path(given.before).name.split("_")[0]
    out = Path(given.out)
    _, numbers = board_by(measure, out, Pair(number, given.before, given.after))
    for name, value in numbers.items():
        words = {"sample": "board", "variable": name, "trait": name, "label": name, "method": "workload", "scale": ""}
        outputs.add_observation(**words, datatype=float, value=value)
    outputs.save_results(filename=given.result)
    (out / f"{number}.json").write_text(json.dumps(numbers))


def main() -> None:
    """The script: the runner, or one of its workflows."""
    if "--result" in sys.argv:
        workflow()
        return
    given = arguments()
    found = list(run(read_pairs(given.pairs), given.out, given.workers))
    boards = {board: numbers for board, numbers, _ in found}
    sys.stdout.write(json.dumps({"boards": boards, "moments": sorted(moment for _, _, moment in found)}) + "\n")


if __name__ == "__main__":
    main()
