"""The mistakes of a workflow are named at their lines, all of them at once and none of them twice."""

from __future__ import annotations

import pytest
from small import HEAD, LOAD, PLANES, program, workflow

from residue_batch.compiler import compile_program
from residue_batch.errors import ConfigError, WorkflowError
from residue_batch.program import Key


def mistakes(text: str, reference: str = "golden") -> list[str]:
    """``line: message | remedy`` of everything that is wrong."""
    with pytest.raises(WorkflowError) as caught:
        compile_program(workflow(text), reference=reference)
    assert all(p.file.endswith("workflow.yaml") for p in caught.value.problems)
    return [f"{p.line}: {p.message} | {p.remedy}" for p in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            PLANES + "  r: {step: treshold, of: opacity}\n" + LOAD,
            "5: unknown step 'treshold' | did you mean 'threshold'",
        ),
        (PLANES + "  r: {step: zzz, of: opacity}\n" + LOAD, "5: unknown step 'zzz' | known: and, area_opening"),
        (
            PLANES + "  r: {step: threshold, of: opacity, levl: 0.1, level: 0.1}\n" + LOAD,
            "5: 'threshold' has no parameter 'levl'; did you mean 'level'?",
        ),
        (PLANES + "  r: {step: threshold, of: opacity}\n" + LOAD, "5: 'threshold' needs the parameter 'level'"),
        (PLANES + "  r: {step: threshold, of: opacity, level: high}\n" + LOAD, "5: Input should be a valid number"),
        (PLANES + "  r: {step: gaussian, of: opacity, sigma: 3}\n" + LOAD, "5: "),
        (
            PLANES + "  r: {step: threshold, of: opacty, level: 0.1}\n" + LOAD,
            "5: there is no plane 'opacty' | did you mean",
        ),
        (PLANES + "  r: {step: threshold, level: 0.1}\n" + LOAD, "5: 'threshold' needs 'of'"),
        (PLANES + "  r: {step: and}\n" + LOAD, "5: 'and' needs 'of'"),
        (
            PLANES + "  r: {step: dilate, of: opacity, radius: 2 px}\n" + LOAD,
            "5: 'opacity' is a scalar plane; a mask plane is needed here",
        ),
        (PLANES + "  r: {step: and, of: [observable, opacity]}\n" + LOAD, "5: 'opacity' is a scalar plane"),
        (
            PLANES + "  r: {step: threshold, of: [opacity, opacity], level: 0.1}\n" + LOAD,
            "5: 'threshold' reads 1 plane(s) (plane), not 2",
        ),
        (
            PLANES + "  r: {step: threshold, of: opacity.midway, level: 0.1}\n" + LOAD,
            "5: there is no plane 'opacity.midway'",
        ),
        (
            PLANES + "  d: {step: difference, of: [opacity.before, opacity.after]}\n"
            "  r: {step: threshold, of: d.before, level: 0.1}\n" + LOAD,
            "6: 'd' is one plane per board; it has no 'before'",
        ),
        ("planes:\n  opacity: {step: unmix}\n  image: {step: unmix}\n" + LOAD, "5: 'image' is built in"),
        (
            PLANES + "  r: {step: gaussian, of: opacity, where: opacity}\n" + LOAD,
            "5: 'opacity' is a scalar plane; a mask",
        ),
        (PLANES + "  r: {step: gaussian, of: opacity, where: nowhere}\n" + LOAD, "5: there is no plane 'nowhere'"),
        (PLANES + "  r: {step: gaussian, of: opacity, sigma: 0.2 mm}\n" + LOAD, "5: "),
        (PLANES + "measures:\n  m: {measure: lod, of: opacity}\n", "6: unknown measure 'lod' | did you mean 'load'"),
        (PLANES + "measures:\n  m: {measure: load}\n", "6: 'load' needs 'of'"),
        (PLANES + "measures:\n  m: {measure: load, of: observable}\n", "6: 'observable' is a mask plane"),
        (PLANES + "measures:\n  m: {measure: load, of: opacity, where: opacity}\n", "6: 'opacity' is a scalar plane"),
        (PLANES + "measures:\n  m: {measure: area, of: opacity, tau: [0.1], main: 0.2}\n", "6: "),
        (PLANES, "1: a workflow needs at least one measure"),
        (PLANES + LOAD + "exclude: [opacity]\n", "7: 'opacity' is a scalar plane; a mask"),
        (PLANES + LOAD + "exclude: [glare]\n", "7: there is no plane 'glare'"),
        (PLANES + LOAD + "keep: [residue]\n", "7: there is no plane 'residue'"),
        (PLANES + LOAD + "keep: [image]\n", "7: 'image' is a colour plane; a mask or scalar plane"),
        (PLANES + LOAD + "keep: [white]\n", "7: 'white' is a white plane"),
        (PLANES + LOAD + "limits:\n  lod: {min: 1}\n", "8: no measure gives a number 'lod' | did you mean 'load'"),
        (
            PLANES + "  r: {step: threshold, of: opacity, level: 0.1}\n  s: {step: not, of: r, where: r}\n" + LOAD,
            "6: 'not' does not look at 'where'",
        ),
        (
            PLANES + "  a: {step: threshold, of: opacity, level: 0.1}\n  b: {step: and, of: [a, observable]}\n"
            "exclude: [b]\n" + LOAD,
            "7: 'b' reads 'observable', which is made of it",
        ),
        (
            PLANES
            + "  s: {step: gaussian, of: opacity, where: observable}\n  a: {step: threshold, of: s, level: 0.1}\n"
            "exclude: [a]\n" + LOAD,
            "7: 'a' reads 'observable'",
        ),
    ],
)
def test_a_mistake_is_named_at_its_line(text: str, expected: str) -> None:
    found = mistakes(HEAD + text)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found[0]


@pytest.mark.parametrize(
    ("planes", "circle"),
    [
        ("  a: {step: not, of: a}\n", ["a", "a"]),
        ("  a: {step: not, of: b}\n  b: {step: not, of: a}\n", ["a", "b", "a"]),
        ("  a: {step: not, of: b}\n  b: {step: and, of: [c, outline]}\n  c: {step: not, of: b}\n", ["b", "c", "b"]),
        ("  a: {step: gaussian, of: opacity, where: b}\n  b: {step: threshold, of: a, level: 0.1}\n", ["a", "b", "a"]),
        ("  a: {step: not, of: b.after}\n  b: {step: not, of: a.before}\n", ["a", "b", "a"]),
    ],
)
def test_a_circle_names_its_planes(planes: str, circle: list[str]) -> None:
    (found,) = mistakes(HEAD + PLANES + planes + LOAD)
    assert f"planes go round in a circle: {' -> '.join(circle)}" in found


def test_every_mistake_is_reported_at_once() -> None:
    found = mistakes(
        HEAD
        + """
blur: 0.1 mm
planes:
  opacity: {step: unmix, gamma: 2}
  raw: {step: luma, of: image}
  a: {step: not, of: b}
  b: {step: not, of: a}
  c: {step: treshold, of: opacity, level: 0.1}
  d: {step: threshold, of: nothing, levle: 0.1}
exclude: [nothing_either]
measures:
  load: {measure: load, of: reference}
  spot: {measure: particels, of: outline}
keep: [gone]
"""
    )
    text = "\n".join(found)
    for part in (
        "'unmix' has no parameter 'gamma'",
        "'raw' is built in",
        "planes go round in a circle: a -> b -> a",
        "unknown step 'treshold'",
        "there is no plane 'nothing'",
        "'threshold' has no parameter 'levle'",
        "there is no plane 'nothing_either'",
        "'reference' is a colour plane",
        "unknown measure 'particels'",
        "there is no plane 'gone'",
    ):
        assert part in text, part
    assert any(line.startswith("4: ") for line in found), "the blur in mm without a pixel size"
    assert len(found) == len(set(found))


def test_every_unknown_limit_is_reported() -> None:
    found = mistakes(HEAD + PLANES + LOAD + "limits:\n  lod: {min: 1}\n  aera: {max: 2}\n")
    assert [line[:2] for line in found] == ["8:", "9:"]


def test_a_limit_that_no_sound_measure_gives_is_reported_beside_other_mistakes() -> None:
    found = mistakes(HEAD + PLANES + "  r: {step: zzz}\n" + LOAD + "limits:\n  lod: {min: 1}\n")
    assert len(found) == 2


def test_a_limit_is_not_blamed_on_a_measure_that_has_its_own_mistake() -> None:
    found = mistakes(HEAD + PLANES + "measures:\n  load: {measure: load, of: opacty}\nlimits:\n  load: {max: 1}\n")
    assert len(found) == 1


def test_a_plane_with_a_mistake_is_reported_once_however_many_read_it() -> None:
    text = HEAD + PLANES + "  r: {step: zzz}\n  s: {step: not, of: r}\n  t: {step: not, of: r}\n" + LOAD
    assert len(mistakes(text)) == 1


def test_millimetres_need_a_pixel_size_and_become_pixels() -> None:
    text = (
        HEAD + PLANES + "  s: {step: gaussian, of: opacity, sigma: 0.2 mm}\nmeasures:\n  load: {measure: load, of: s}\n"
    )
    (found,) = mistakes(text)
    assert "pixel_size_um" in found
    node = program(text, pixel_size_um=100.0).nodes[Key("s", "before")]
    assert node.step is not None
    assert dict(node.step.parameters) == {"sigma": 2.0}


def test_fitting_on_a_phase_needs_a_fit_and_phases() -> None:
    text = HEAD + PLANES + "  r: {step: threshold, of: opacity, level: 0.1, fit_on: before}\n" + LOAD
    assert mistakes(text) == ["5: 'threshold' fits nothing: there is no phase to fit it on | leave it out"]
    text = HEAD + PLANES + "  base: {step: luma, of: reference}\n  r: {step: otsu, of: base, fit_on: after}\n" + LOAD
    assert mistakes(text) == ["6: 'r' is one plane per board: there is no phase to fit it on | leave it out"]


def test_boards_as_taken_have_no_light_no_clean_colour_and_no_white() -> None:
    remedy = "read 'raw', or give the board type a reference: golden, lot or pair"
    found = mistakes(HEAD + PLANES + LOAD, "none")
    assert [line.split(": ", 1)[1] for line in found] == [
        f"'{name}' does not exist on boards as taken (reference: none) | {remedy}"
        for name in ("image", "reference", "white")
    ]
    made = program(HEAD + "planes:\n  s: {step: whiteness, of: raw}\nmeasures:\n  s: {measure: load, of: s}\n", "none")
    assert {key.plane for key in made.nodes} == {"raw", "s", "valid", "saturated", "outline", "ignored", "observable"}
    assert made.halo == 0


def test_codes_are_those_of_kept_scalar_planes() -> None:
    text = HEAD + PLANES + "  r: {step: threshold, of: opacity, level: 0.1}\n" + LOAD + "keep: [opacity.before, r]\n"
    assert program(text + "codes: {opacity: [0, 2]}\n").codes == (("opacity", 0.0, 2.0),)
    assert program(text).fingerprint != program(text + "codes: {opacity: [0, 2]}\n").fingerprint
    (found,) = mistakes(text + "codes: {r: [0, 1]}\n")
    assert "a scalar plane is needed here" in found
    for wrong, expected in (
        ("{load: [0, 1]}", "'load' is not kept"),
        ("{opacity: [1, 0]}", "the range 1 .. 0 is empty"),
    ):
        with pytest.raises(ConfigError, match=expected):
            workflow(text + f"codes: {wrong}\n")
