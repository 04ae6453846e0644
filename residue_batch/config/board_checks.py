"""What can be wrong across the keys of a board type.

Works on the raw values, of which some may be missing or of the wrong type, so
that one wrong number does not hide a region that is misspelt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from residue_batch import units
from residue_batch.config.document import Key, did_you_mean
from residue_batch.config.model import Mistake

WHOLE = "whole"
"""The built-in region: everything inside the outline."""

AREA_KINDS = ("polygon", "box", "found", "near", "part")
SIDES = ("top", "bottom", "left", "right")


def mistakes(data: Mapping[str, Any]) -> list[Mistake]:
    """Everything that is wrong across several keys."""
    checks = (_reference, _frameless, _names, _sides, _amounts, _geometry, _scale)
    return [mistake for check in checks for mistake in check(data)]


def areas_in(data: Mapping[str, Any]) -> Iterator[tuple[Key, dict[str, Any]]]:
    """Every area of a raw board type, with its path."""
    for key in ("outline", "white"):
        if isinstance(data.get(key), dict):
            yield (key,), data[key]
    listed = data.get("ignore")
    for index, area in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(area, dict):
            yield ("ignore", index), area
    named = data.get("regions")
    for name, area in named.items() if isinstance(named, dict) else ():
        if isinstance(area, dict):
            yield ("regions", name), area


def _inner(area: Mapping[str, Any], key: str) -> dict[str, Any]:
    return area[key] if isinstance(area.get(key), dict) else {}


def _reference(data: Mapping[str, Any]) -> Iterator[Mistake]:
    golden = data.get("golden")
    if data.get("reference") == "golden" and golden is None:
        yield Mistake(("reference",), "reference: golden needs a clean shot", "add 'golden: <photograph>'")
    reference = data.get("reference")
    if reference in ("pair", "lot", "none") and golden is not None:
        remedy = "write 'reference: golden'; a photograph that only gives the frame is 'frame:'"
        yield Mistake(("golden",), f"golden is given, but reference is {reference}", remedy, "key")
    if reference == "lot" and data.get("frame") is None:
        remedy = "add 'frame: <photograph>'; a sharp shot of any board of this type will do, clean or not"
        yield Mistake(("reference",), "reference: lot needs a frame to lay the shots over", remedy)
    for key, name in (("white", "a white patch"), ("flat_field", "a flat field")):
        if reference == "none" and data.get(key) is not None:
            message = f"{name} is given, but with reference: none no light is matched"
            yield Mistake((key,), message, "remove it, or give a reference", "key")
    if reference in ("pair", "golden", "none") and data.get("built") is not None:
        message = f"a built reference is given, but reference is {reference}"
        yield Mistake(("built",), message, "write 'reference: lot', or remove it", "key")
    if reference in ("pair", "lot") and _inner(data, "flat_field").get("golden") is not None:
        message = f"a flat field of the golden shot is given, but reference is {reference}"
        yield Mistake(("flat_field", "golden"), message, "remove it", "key")


def _frameless(data: Mapping[str, Any]) -> Iterator[Mistake]:
    if data.get("frame") is not None or data.get("golden") is not None:
        return
    remedy = "name a 'frame:' photograph, or write 'units: fraction'"
    for path, area in areas_in(data):
        for kind in ("polygon", "box"):
            if kind in area and data.get("units") != "fraction":
                message = "without a frame image, geometry must be given in fractions"
                yield Mistake((*path, kind), message, remedy, "key")
        if "found" in area:
            message = "without a frame image there is nothing to find elements on"
            yield Mistake((*path, "found"), message, "name a 'frame:' photograph", "key")


def _references(area: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """(path below the area, region) of every region an area is made from."""
    if isinstance(area.get("near"), str):
        yield ("near",), area["near"]
    for key, word in (("part", "of"), ("found", "within")):
        if isinstance(other := _inner(area, key).get(word), str):
            yield (key, word), other


def _names(data: Mapping[str, Any]) -> Iterator[Mistake]:
    regions = data["regions"] if isinstance(data.get("regions"), dict) else {}
    if WHOLE in regions:
        yield Mistake(("regions", WHOLE), "'whole' is built in: everything inside the outline", "rename it", "key")
    known = {WHOLE, *regions}
    for path, area in areas_in(data):
        for below, other in _references(area):
            if other not in known:
                yield Mistake((*path, *below), f"there is no region '{other}'", did_you_mean(other, known))
    uses = {
        name: [other for _, other in _references(area) if other in regions]
        for name, area in regions.items()
        if isinstance(area, dict)
    }
    for cycle in _cycles(uses):
        message = f"regions made from each other: {' -> '.join((*cycle, cycle[0]))}"
        yield Mistake(("regions", cycle[0]), message, "draw one of them", "key")


def _cycles(uses: Mapping[str, list[str]]) -> Iterator[list[str]]:
    done: set[str] = set()
    for start in uses:
        way: list[str] = []
        name: str | None = start
        while name is not None and name not in done and name not in way:
            way.append(name)
            # an area is made from one other region at most
            name = next(iter(uses.get(name, [])), None)
        if name in way:
            yield way[way.index(name) :]
        done.update(way)


def _sides(data: Mapping[str, Any]) -> Iterator[Mistake]:
    for path, area in areas_in(data):
        part = _inner(area, "part")
        given = [s for s in SIDES if part.get(s) is not None]
        if part and len(given) != 1:
            message = f"a part has exactly one of {', '.join(SIDES)}, not {len(given)}"
            yield Mistake((*path, "part"), message, "write for example 'bottom: 15 %'", "key")


def _amounts(data: Mapping[str, Any]) -> Iterator[Mistake]:
    """Millimetres without a pixel size, and a smallest area above the largest."""
    scale = data.get("pixel_size_um")
    if data.get("units") == "mm" and scale is None:
        yield Mistake(("units",), "units: mm needs pixel_size_um", "add 'pixel_size_um: <size of a frame pixel>'")
    for path, area in areas_in(data):
        quantities: list[tuple[Key, object, Any]] = [(("grow",), area.get("grow"), units.Pixels)]
        found, part = _inner(area, "found"), _inner(area, "part")
        quantities.append((("found", "close"), found.get("close"), units.Pixels))
        given = found.get("area")
        sizes: list[Any] = given if isinstance(given, list) else []
        quantities += [(("found", "area", i), s, units.PixelArea) for i, s in enumerate(sizes)]
        quantities += [(("part", s), part.get(s), units.Pixels) for s in SIDES]
        for below, value, marker in quantities:
            if scale is None and isinstance(value, str) and _scaled(value, marker):
                message = f"'{value}' needs pixel_size_um in the board type"
                yield Mistake((*path, *below), message, "add 'pixel_size_um:', or give it in px")
        if len(sizes) == 2 and _reversed(sizes, scale):
            yield Mistake((*path, "found", "area"), "the smallest area comes first", f"write [{sizes[1]}, {sizes[0]}]")


def _scaled(value: str, marker: Any) -> bool:
    try:
        return units.needs_scale(value, marker)
    except ValueError:
        return False


def _reversed(sizes: list[Any], scale: Any) -> bool:
    try:
        low, high = (units.resolve(s, units.PixelArea, scale) for s in sizes)
    except (ValueError, TypeError, ArithmeticError):
        return False
    return low > high


def _geometry(data: Mapping[str, Any]) -> Iterator[Mistake]:
    unit = data.get("units", "px")
    for path, area in areas_in(data):
        for kind in ("polygon", "box"):
            points = area.get(kind)
            flat = [v for p in points for v in (p if isinstance(p, list) else [p])] if isinstance(points, list) else []
            if not flat or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in flat):
                continue
            if unit == "fraction" and not all(0 <= v <= 1 for v in flat):
                message = f"units: fraction, but this {kind} leaves 0..1"
                yield Mistake((*path, kind), message, "give shares of the frame's width and height, or 'units: px'")
            elif unit == "px" and all(0 <= v <= 1 for v in flat):
                message = f"this {kind} is smaller than a pixel"
                yield Mistake((*path, kind), message, "add 'units: fraction' if these are shares of the frame")


def _scale(data: Mapping[str, Any]) -> Iterator[Mistake]:
    scale: Any = _inner(data, "gates").get("scale")
    pair = isinstance(scale, list) and len(scale) == 2 and all(isinstance(v, int | float) for v in scale)
    if pair and scale[0] > scale[1]:
        yield Mistake(("gates", "scale"), "the smallest scale comes first", f"write [{scale[1]}, {scale[0]}]")
