"""The variables of a result: how the numbers of a program are called, and whose names they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from residue_batch.measure import Output
from residue_batch.program import PHASES, Measured, primary_of

RESERVED = frozenset(
    {
        *("board", "phase", "region", "channel", "lot", "board_type"),
        *("outcome", "reason", "message", "remedy", "status", "flags", "shot_sha256"),
        *("observable_pct", "observable_px", "unseen_pct", "load_reduction_at_least_pct", "load_lod"),
        *("source", "component", "shot_blur_px", "shot_saturated_pct"),
        *(f"light_{name}" for name in ("error", "film", "gain", "residual", "share")),
        *(f"registration_{name}" for name in ("correlation", "displacement_px", "inliers", "matches", "perspective")),
        *(f"registration_{name}" for name in ("residual_px", "rotation_deg", "scale", "windows")),
    }
)
"""Variables that every result has: no measure may take their names."""
INTERVALS = ("low", "high", "sampling_low", "sampling_high")
"""How the intervals of a reduction end."""
AT_LEAST = "load_reduction_at_least_pct"


def variables_of(measures: Iterable[Measured]) -> dict[str, tuple[Measured, Output, bool]]:
    """Variables of the measures: name -> (measure, output, whether it is the reduction)."""
    found = {}
    for m in measures:
        for output in m.outputs:
            found[m.variable(output)] = (m, output, False)
            if output.reducible and len(m.phases) == len(PHASES):
                found[f"{m.variable(output)}_reduction_pct"] = (m, output, True)
    return found


def reductions_of(measures: Iterable[Measured]) -> list[str]:
    """Every reduction, its intervals, and what else is said of that of the primary load."""
    measures = tuple(measures)
    own = [name for name, (_, _, reduction) in variables_of(measures).items() if reduction]
    primary = primary_of(measures)
    ends = ("reduction_best_pct", "reduction_worst_pct", "reduction_pct_share") if primary else ()
    return [
        *own,
        *(f"{name}_{kind}" for name in own for kind in INTERVALS),
        *(f"{primary.key}_{end}" for end in ends if primary),
    ]


def clashes(measures: Iterable[Measured]) -> Iterator[tuple[str, str, str]]:
    """(measure, variable, whose it is) wherever a measure takes a name that is taken."""
    measures = tuple(measures)
    owner = dict.fromkeys(RESERVED, "every result")
    owner |= {o.dim: f"the values along which {m.key!r} is given" for m in measures for o in m.outputs if o.dim}
    primary = primary_of(measures)
    if primary:
        said = [name for name, *_ in described(primary.key)]
        owner |= dict.fromkeys([*said, f"{primary.key}_uncertainty"], f"what is said of the load {primary.key!r}")
    own = {name for name, (_, _, reduction) in variables_of(measures).items() if reduction}
    owner |= {name: "what is said of a reduction" for name in reductions_of(measures) if name not in own}
    for m in measures:
        for name in variables_of([m]):
            if name in owner:
                yield m.key, name, owner[name]
            owner.setdefault(name, f"the measure {m.key!r}")


def interval_name(kind: str) -> str:
    """What one of `INTERVALS` is, in words."""
    end = "lower" if kind.endswith("low") else "upper"
    return f"{end} end of the 95 % {'sampling' if kind.startswith('sampling') else 'measurement'} interval"


def described(key: str) -> list[tuple[str, bool, str, str]]:
    """(name, by phase, long name, unit) of the variables that only the primary load has; ``key`` is its own."""
    change = f"{key} after - {key} before"
    return [
        (f"{key}_change", False, change, "1"),
        (f"{key}_change_low", False, f"{change}, {interval_name('low')}", "1"),
        (f"{key}_change_high", False, f"{change}, {interval_name('high')}", "1"),
        (AT_LEAST, False, "smallest reduction, where less is left than can be detected", "%"),
        ("load_lod", True, "limit of detection: of the board type, or of this board's budget", "1"),
        (f"{key}_reduction_best_pct", False, "reduction if all were gone where only the after-shot has glare", "%"),
        (f"{key}_reduction_worst_pct", False, "reduction if none were gone where only the after-shot has glare", "%"),
        (f"{key}_under_glare_pct", True, f"share of the {key} that lies where only the other shot has glare", "%"),
        ("unseen_pct", False, "share of the region that the before-shot does not show either", "%"),
    ]
