"""Lengths, areas and shares carry their unit."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from residue_batch.units import (
    Fraction,
    PixelArea,
    Pixels,
    Unit,
    json_schema,
    marker_of,
    needs_scale,
    number_text,
    parse,
    resolve,
)


@pytest.mark.parametrize(
    ("text", "marker", "scale", "value"),
    [
        ("5 px", Pixels, None, 5.0),
        ("5px", Pixels, None, 5.0),
        (" .5 px ", Pixels, None, 0.5),
        ("1e1 px", Pixels, None, 10.0),
        ("0.2 mm", Pixels, 25.0, 8.0),
        ("100 um", Pixels, 25.0, 4.0),
        ("100 µm", Pixels, 25.0, 4.0),
        ("16 px2", PixelArea, None, 16.0),
        ("0.5 mm2", PixelArea, 25.0, 800.0),
        ("1 mm²", PixelArea, 100.0, 100.0),
        ("15 %", Fraction, None, 0.15),
        ("15%", Fraction, None, 0.15),
        (0.07, Fraction, None, 0.07),
        (1, Fraction, None, 1.0),
    ],
)
def test_a_quantity_is_resolved_to_pixels_or_a_share(
    text: object, marker: Any, scale: float | None, value: float
) -> None:
    assert resolve(text, marker, scale) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "marker", "said"),
    [
        (5, Pixels, "5 has no unit: write 5 px"),
        (2.5, PixelArea, "2.5 has no unit: write 2.5 px2"),
        ("5", Pixels, "5 has no unit: write 5 px"),
        (15, Fraction, "15 has no unit: write 15 %"),
        ("2 mm", Pixels, "2 mm needs pixel_size_um in the board type"),
        ("5 px2", Pixels, "'5 px2' is an area, and a length is needed: use px, mm, um"),
        ("5 cm", Pixels, "'5 cm' has an unknown unit 'cm': use px, mm, um"),
        ("five px", Pixels, "'five px' is not a length: write it like 5 px"),
        ("-1 px", Pixels, "'-1 px' must be a finite number that is not negative"),
        ("1e999 px", Pixels, "'1e999 px' must be a finite number that is not negative"),
        (True, Pixels, "a length is needed here, such as '5 px'"),
        (None, PixelArea, "an area is needed here, such as '16 px2'"),
    ],
)
def test_a_wrong_quantity_says_what_to_write(text: object, marker: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        resolve(text, marker)


@given(st.floats(0, 1e9), st.sampled_from(["px", "mm", "um"]))
def test_a_quantity_reads_back_as_it_was_written(value: float, unit: str) -> None:
    quantity = parse(f"{value!r} {unit}", Pixels)
    assert parse(str(quantity), Pixels) == quantity
    assert float(number_text(value)) == value


@given(st.text())
def test_any_other_text_is_refused_with_a_message(text: str) -> None:
    try:
        assert math.isfinite(resolve(text, Pixels, 10.0))
    except ValueError as error:
        if not str(error):
            raise


def test_the_marker_is_found_inside_an_optional_hint() -> None:
    assert marker_of(Pixels) == Unit("length")
    assert marker_of(PixelArea | None) == Unit("area")
    assert marker_of(float) is None
    assert needs_scale("2 mm", Pixels)
    assert not needs_scale("2 px", Pixels)


def test_the_schema_fragment_accepts_what_is_accepted() -> None:
    assert re.search(json_schema(Pixels)["pattern"], "0.2 mm")
    assert not re.search(json_schema(Pixels)["pattern"], "5")
    assert json_schema(Fraction)["anyOf"][1] == {"type": "number", "minimum": 0, "maximum": 1}
