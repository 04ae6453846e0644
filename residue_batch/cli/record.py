"""The record of one board as readable tables."""

from __future__ import annotations

from typing import Any

from residue_batch.budget import SOURCES
from residue_batch.cli.show import DASH, load, number, out, ranged, table
from residue_batch.variables import AT_LEAST

QUALITY = (
    ("correlation", "correlation", 3),
    ("inliers", "inliers", 0),
    ("residual_px", "residual, px", 2),
    ("rotation_deg", "rotation, deg", 2),
    ("scale", "scale", 3),
    ("displacement_px", "displaced, px", 0),
    ("film", "even film", 4),
    ("light_residual", "light residual", 4),
)


def show_record(record: dict[str, Any]) -> None:
    """Numbers by region, then how far they can be trusted, then what the words mean."""
    from residue_batch.report.meanings import FLAGS, STATUS

    out(f"{record['board']} ({record['board_type']})", "bold")
    _numbers(record)
    _sources(record)
    out()
    _shots(record)
    words = [(w, STATUS[w]) for w in dict.fromkeys(record["status"]) if w != "measured"]
    words += [(w, FLAGS[w]) for w in dict.fromkeys(w for names in record["flags"] for w in names)]
    if words:
        out()
        for word, meaning in words:
            out(f"{word}: {meaning}")


def _numbers(record: dict[str, Any]) -> None:
    """One line per region and measure with a reduction."""
    values, regions = record["values"], record["regions"]
    rows = []
    for index, region in enumerate(regions):
        for name in reductions(values):
            base = name.removesuffix("_reduction_pct")
            if index >= len(values[name]):  # made for the whole board only
                continue
            ends = [(values.get(f"{name}_{end}") or {index: None})[index] for end in ("low", "high")]
            reduction = ranged(values[name][index], *ends)
            bound = (values.get(AT_LEAST) or [])[index : index + 1]
            if name == "load_reduction_pct" and bound and bound[0] is not None:
                reduction = f"at least {bound[0]:.1f} % ({reduction})"
            rows.append(
                [
                    region,
                    base.removesuffix("_main"),
                    load(values[base][0][index]),
                    load(values[base][1][index]),
                    reduction,
                    number(record["observable_pct"][index], 1, " %"),
                    record["status"][index],
                    " ".join(record["flags"][index]) or DASH,
                ]
            )
    table(["region", "of", ">before", ">after", ">reduction", ">observable", "status", "flags"], rows)


def _sources(record: dict[str, Any]) -> None:
    """What makes the reduction of the whole board uncertain, the largest first; and its absolute change."""
    values = record["values"]
    shares = next((v[0] for n, v in values.items() if n.endswith("_reduction_pct_share")), None)
    if shares and all(share is not None for share in shares):
        parts = sorted(zip(shares, SOURCES, strict=True), reverse=True)
        told = ", ".join(f"{source} {share:.0f} %" for share, source in parts if share >= 0.5)
        out(f"uncertain by: {told}")
    for name in [n for n in values if n.endswith("_change")]:
        low, high = (values[f"{name}_{end}"][0] for end in ("low", "high"))
        if values[name][0] is not None:
            base = name.removesuffix("_change")
            out(f"{base} after - before: {load(values[name][0])} ({load(low)} to {load(high)})")


def reductions(values: dict[str, Any]) -> list[str]:
    """The variables that are one reduction per region."""
    names = [name for name in values if name.endswith("_reduction_pct")]
    return [name for name in names if not any(isinstance(v, list) for v in values[name])]


def _shots(record: dict[str, Any]) -> None:
    """How well each shot was laid into the frame, and in which light it was taken."""
    rows = []
    for phase, quality in record["match"].items():
        cells = [number(quality.get(key), digits) for key, _, digits in QUALITY]
        gain = " ".join(f"{g:.2f}" for g in quality["gain"])
        height, width, *_ = record["shots"][phase]["shape"]
        rows.append([phase, f"{width} x {height}", *cells, gain])
    table(["shot", ">px", *(f">{title}" for _, title, _ in QUALITY), "gain"], rows)
