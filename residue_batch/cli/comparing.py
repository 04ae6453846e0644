"""The command that holds two photographs against each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import rich_click as click

from residue_batch.cli.shell import shared
from residue_batch.cli.show import out, pairs, write_json
from residue_batch.errors import UsageError

PHOTOGRAPH = click.Path(path_type=Path)
SHOWN = {
    "correlation": "correlation, aligned",
    "phase_peak_ratio": "phase correlation, peak ratio",
    "spectrum": "spectrum similarity",
    "inlier_share": "features that agree, share",
    "ruzicka": "histogram similarity (Ruzicka)",
    "hellinger": "histogram distance (Hellinger)",
    "earth_mover": "histogram distance (earth mover)",
    "shift_px": "shift left after aligning, px",
    "rotation_deg": "rotation, degrees",
    "scale": "scale",
    "perspective": "perspective",
    "blur_px": "blur, px",
    "differ_levels": "blocks differ by, levels",
    "noise_levels": "noise differs by, levels",
}


@click.command
@click.argument("first", type=PHOTOGRAPH)
@click.argument("second", type=PHOTOGRAPH)
@shared()
def compare(first: Path, second: Path, *, as_json: bool) -> int:
    """How alike two photographs are, and what they are to each other.

    The same file, one photograph saved twice, the same board, turned, mirrored,
    blurred, or another board. The order of the two does not matter.
    """
    from residue_batch import api
    from residue_batch.comparing import VERDICTS

    for path in (first, second):
        if not path.is_file():
            raise UsageError(f"there is no photograph {path}")
    found = api.compare(first, second)
    if as_json:
        write_json({**asdict(found), "meaning": VERDICTS[found.verdict], "exit_code": 0})
        return 0
    out(f"{found.verdict}: {VERDICTS[found.verdict]}")
    out("; ".join((found.found, *found.notes)))
    numbers = asdict(found)
    pairs({text: f"{numbers[key]:.3f}" for key, text in SHOWN.items() if numbers[key] is not None})
    return 0


COMMANDS = (compare,)
