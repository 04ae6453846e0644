"""How a profile is shown: stages with their bars, and the dearest parts of the work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from residue_batch.cli.show import number, out, plural, table

PHASES = ("prepare", "references", "cluster", "boards", "finish")
PARTS = 12
"""The dearest parts are shown; all of them are in profile.json."""
BAR = 30


def bar(share: float) -> str:
    """A share of 1 as a bar."""
    return "█" * round(BAR * share)


def show_profile(profile: Mapping[str, Any]) -> None:
    """Stages and parts of what the boards of a run cost."""
    from residue_batch.profile import stages_of

    total, boards = profile["seconds"], profile["boards"]
    if not boards:
        out("profile: no board was measured")
        return
    speed = f"{profile['input_mp'] / total:.1f} MP/s of input" if total else ""
    out(f"profile of {plural(boards, 'board')}: {total:.1f} s of one worker, {speed}, "
        f"peak {profile['peak_mb']:.0f} MB", "bold")  # fmt: skip
    rows = [
        [
            name,
            f"{seconds:.3f}",
            f"{1000 * seconds / boards:.0f}",
            f"{100 * seconds / total:.0f} %",
            bar(seconds / total),
        ]
        for name, seconds in stages_of(profile).items()
    ]
    table(["stage", ">seconds", ">ms a board", ">share", ""], rows)
    dearest = sorted(profile["parts"], key=lambda part: -part["seconds"])[:PARTS]
    rows = [
        [
            part["stage"],
            part["part"] or "(the rest)",
            f"{part['seconds']:.3f}",
            number(part["share_pct"], 1, " %"),
            number(part["ns_per_px"]),
            number(part["bytes_per_px"]),
        ]
        for part in dearest
    ]
    table(["stage", "part", ">seconds", ">share", ">ns/px", ">bytes/px"], rows)
    clock = profile["run_s"]
    seconds = ", ".join(f"{name} {clock[name]:.1f} s" for name in PHASES if name in clock)
    out(f"the run by the clock: {seconds}")
