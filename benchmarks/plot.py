"""A plot of what ``benchmarks.speed --json`` wrote: the speed of every way against the floors.

python -m benchmarks.plot FOUND.json PLOT.svg
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

ROW, TOP, LEFT, WIDE, RIGHT = 22, 58, 310, 400, 60
COLOURS = {"floor": "#8c959f", "workload": "#bf8700", "ours": "#1a7f37", "flux_residue": "#0969da"}
MEANINGS = {
    "floor": "floors: decode, decode + write",
    "workload": "what people use today",
    "ours": "residue run, the same work",
    "flux_residue": "residue run, flux_residue: registration, light, opacity",
}


def kind_of(name: str, way: Mapping[str, Any]) -> str:
    """Which colour a way has."""
    return "ours" if name.startswith("workload_") else str(way["work"])


def svg(found: Mapping[str, Any]) -> str:
    """Bars on a logarithmic axis of MP per CPU second, each with a thin line from its slowest turn to its fastest."""
    ways = found["ways"]
    first = math.floor(math.log10(min(way["spread"][0] for way in ways.values())))
    last = math.ceil(math.log10(max(way["spread"][1] for way in ways.values())))
    low, high = 10.0**first, 10.0 ** max(last, first + 1)  # ways of one speed need an axis too

    def x(speed: float) -> float:
        return LEFT + WIDE * math.log(speed / low) / math.log(high / low)

    legend = [kind for kind in MEANINGS if any(kind_of(name, way) == kind for name, way in ways.items())]
    bottom = TOP + ROW * len(ways)
    height = bottom + 26 + 18 * len(legend)
    width = LEFT + WIDE + RIGHT
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    title = f"Megapixels per second of one core, pairs of {found['megapixels']:g} MP (logarithmic)"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="22" font-size="14" fill="#1f2328">{escape(title)}</text>',
    ]
    for step in range(round(math.log10(high / low)) + 1):
        speed = low * 10**step
        lines += [
            f'<path d="M{x(speed):.1f} {TOP - 6}V{bottom}" stroke="#d1d9e0"/>',
            f'<text x="{x(speed):.1f}" y="{TOP - 12}" text-anchor="middle" fill="#59636e">{speed:g}</text>',
        ]
    for row, (name, way) in enumerate(ways.items()):
        y = TOP + ROW * row
        end, (slowest, fastest) = x(way["mp_cpu_s"]), map(x, way["spread"])
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end" fill="#1f2328">{escape(way["label"])}</text>',
            f'<path d="M{LEFT} {y + 10}H{end:.1f}" stroke="{COLOURS[kind_of(name, way)]}" stroke-width="{ROW - 7}"/>',
            f'<line x1="{slowest:.1f}" x2="{fastest:.1f}" y1="{y + 10}" y2="{y + 10}" stroke="#1f2328"/>',
            f'<text x="{fastest + 5:.1f}" y="{y + 14}" fill="#59636e">{way["mp_cpu_s"]:.3g}</text>',
        ]
    for row, kind in enumerate(legend):
        y = bottom + 12 + 18 * row
        lines += [
            f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{COLOURS[kind]}"/>',
            f'<text x="{LEFT + 18}" y="{y + 11}" fill="#1f2328">{escape(MEANINGS[kind])}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot")
    parser.add_argument("found", type=Path)
    parser.add_argument("plot", type=Path)
    given = parser.parse_args(arguments)
    try:
        found = json.loads(given.found.read_text(encoding="utf-8"))
    except ValueError:
        parser.error(f"{given.found} is no JSON")
    if not found.get("ways"):
        parser.error(f"{given.found} holds no way that was measured")
    given.plot.write_text(svg(found), encoding="utf-8")


if __name__ == "__main__":
    main()
