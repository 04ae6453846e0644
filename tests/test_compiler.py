"""A workflow becomes a program, or a list of all its mistakes with their lines."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import EVERY_STEP, FITTED, FLUX, HALO, program, workflow

from residue_batch.compiler import compile_program
from residue_batch.errors import ConfigError, WorkflowError
from residue_batch.program import PHASES, Key, Program
from residue_batch.step import STEPS, Kind, call_with

HEAD = "schema: 1\nworkflow: w\n"
LOAD = "measures:\n  load: {measure: load, of: opacity}\n"
PLANES = "planes:\n  opacity: {step: unmix}\n"


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


# scope -------------------------------------------------------------------------------


def keys(made: Program, plane: str) -> set[Key]:
    return {key for key in made.nodes if key.plane == plane}


def test_scope_is_inferred_from_what_a_plane_reads() -> None:
    made = program(
        HEAD
        + PLANES
        + """
  visible: {step: contrast}
  near: {step: dilate, of: visible, radius: 2 px}
  change: {step: difference, of: [opacity.before, opacity.after]}
  gone: {step: threshold, of: change, level: 0.1}
  stuck: {step: threshold, of: opacity, level: 0.1}
  both: {step: and, of: [stuck, gone, near]}
measures:
  load: {measure: load, of: opacity, where: both}
  change: {measure: intensity, of: change, where: gone}
"""
    )
    both = {Key(p) for p in ("both",)}
    assert keys(made, "visible") == {Key("visible")}
    assert keys(made, "near") == {Key("near")}
    assert keys(made, "change") == {Key("change")}
    assert keys(made, "gone") == {Key("gone")}
    assert keys(made, "stuck") == {Key("stuck", p) for p in PHASES}
    assert keys(made, "both") == {Key("both", p) for p in PHASES}
    assert both.isdisjoint(made.nodes)
    assert {m.key: m.phases for m in made.measures} == {"load": PHASES, "change": ("",)}


def test_a_measure_of_one_phase_runs_once_and_has_no_reduction() -> None:
    from residue_batch.program import variables_of

    made = program(HEAD + PLANES + "measures:\n  load: {measure: load, of: opacity.after}\n")
    assert made.measures[0].inputs == (
        ("", (Key("opacity", "after"), Key("saturated", "after")), Key("observable")),
    ) or (made.measures[0].phases != PHASES or made.measures[0].inputs[0][1][0] == made.measures[0].inputs[1][1][0])
    if made.measures[0].phases != PHASES:
        assert "load_reduction_pct" not in variables_of(made.measures)


def test_the_default_where_is_what_the_photograph_shows_or_the_outline() -> None:
    made = program(
        HEAD + PLANES + "  s: {step: gaussian, of: opacity}\n"
        "  d: {step: difference, of: [opacity.before, opacity.after]}\n"
        "  t: {step: gaussian, of: d}\nmeasures:\n  s: {measure: load, of: s}\n  t: {measure: intensity, of: t}\n"
    )
    assert made.nodes[Key("s", "after")].where == Key("valid", "after")
    assert made.nodes[Key("t")].where == Key("outline")


def test_observable_reads_every_exclusion_in_both_phases() -> None:
    reads = program(FLUX).nodes[Key("observable")].reads
    assert {Key("glare", p) for p in PHASES} <= set(reads)


def test_the_reference_of_a_pair_is_made_of_both_shots() -> None:
    assert program(FLUX, "golden").nodes[Key("reference")].reads == ()
    assert program(FLUX, "pair").nodes[Key("reference")].reads == (Key("image", "before"), Key("image", "after"))


# pruning, passes, margins, lives --------------------------------------------------------


def test_what_no_number_reads_is_left_out_and_listed() -> None:
    made = program(HEAD + PLANES + "  r: {step: dilate, of: outline, radius: 200 px}\n" + LOAD)
    assert keys(made, "r") == set()
    assert made.unused == ("r",)
    assert made.halo < 200


@pytest.mark.parametrize("how", ["keep: [r]\n", "exclude: [r]\n"])
def test_kept_and_excluded_planes_are_not_pruned(how: str) -> None:
    made = program(HEAD + PLANES + "  r: {step: threshold, of: opacity, level: 0.1}\n" + LOAD + how)
    assert keys(made, "r") == {Key("r", p) for p in PHASES}
    assert made.unused == ()


@pytest.mark.parametrize(("text", "passes"), [(FLUX, 1), (HALO, 1), (FITTED, 2), (EVERY_STEP, 4)])
def test_a_program_is_cut_where_a_plane_needs_a_fit(text: str, passes: int) -> None:
    made = program(text)
    assert len(made.passes) == passes
    assert all(p.fits for p in made.passes[:-1])
    assert made.passes[-1].fits == ()
    fitted = {key for p in made.passes for key in p.fits}
    needed = {node.fit for node in made.nodes.values() if node.fit}
    assert fitted == needed
    assert needed == {k for k, n in made.nodes.items() if n.step and n.step.definition.fit and n.fit == k}
    assert len(fitted) == sum(len(p.fits) for p in made.passes), "each fit is fed once"


@pytest.mark.parametrize("text", [FLUX, HALO, FITTED, EVERY_STEP])
@pytest.mark.parametrize("reference", ["golden", "pair"])
def test_each_pass_works_in_an_order_that_can_be_kept(text: str, reference: str) -> None:
    made = program(text, reference)
    decided: set[Key] = set()
    for visit in made.passes:
        alive: set[Key] = set()
        margin = {node.key: m for node, m in zip(visit.nodes, visit.margins, strict=True)}
        for node, frees in zip(visit.nodes, visit.frees, strict=True):
            assert set(node.reads) <= alive, f"{node.key} reads what is not there, or no longer there"
            for read in node.reads:
                assert margin[read] >= margin[node.key] + node.halo, f"{read} is cut too small for {node.key}"
            if node.step and node.step.definition.fit:
                assert node.fit in decided, f"{node.key} is computed before it is fitted"
            alive.add(node.key)
            assert set(frees) <= alive
            alive -= set(frees)
        for key in visit.fits:
            assert set(made.nodes[key].reads) <= alive, "what a fit reads stays to the end of its pass"
        decided |= set(visit.fits)
    wanted = {k for m in made.measures for _, ks, where in m.inputs for k in (*ks, where)} | {
        *made.keep,
        Key("observable"),
    }
    assert wanted <= alive


def test_nothing_is_kept_that_nobody_reads() -> None:
    made = program(EVERY_STEP)
    for visit in made.passes[:-1]:
        alive: set[Key] = set()
        for node, frees in zip(visit.nodes, visit.frees, strict=True):
            alive = (alive | {node.key}) - set(frees)
        assert alive == {r for key in visit.fits for r in made.nodes[key].reads}


MASK_STEPS = ("dilate", "erode", "open", "close")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MASK_STEPS), st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8))
def test_the_halo_is_the_longest_path(chain: list[tuple[str, int, int]]) -> None:
    """Planes that each read an earlier one: the first margin is the longest sum of halos behind it."""
    names, lines = ["outline"], []
    reach = {"outline": 0}  # how far the plane reads beyond itself, along its longest path
    for number, (step, radius, back) in enumerate(chain):
        source = names[-1 - back % len(names)]
        name = f"m{number}"
        lines.append(f"  {name}: {{step: {step}, of: {source}, radius: {radius} px}}")
        definition = STEPS[step]
        assert callable(definition.halo)
        reach[name] = reach[source] + call_with(definition.halo, radius=float(radius), shape="disc")
        names.append(name)
    listed = ", ".join(names[1:])
    text = HEAD + "blur: 0 px\nplanes:\n  opacity: {step: unmix}\n" + "\n".join(lines)
    text += f"\n  all: {{step: and, of: [outline, {listed}]}}\nmeasures:\n  load: {{measure: load, of: opacity, where: all}}\n"
    made = compile_program(workflow(text), reference="golden")
    margin = {node.key: m for node, m in zip(made.passes[-1].nodes, made.passes[-1].margins, strict=True)}
    assert margin[Key("outline")] == max(reach.values())
    assert made.halo == max(reach.values())


# fingerprints ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("above: 0.94", "above: 0.93"),
        ("grow: 5 px", "grow: 6 px"),
        ("tau: [0.05, 0.2]", "tau: [0.05, 0.3]"),
        ("main: 0.05", "main: 0.2"),
        ("exclude: [glare]", "exclude: []"),
        ("load: {measure", "lode: {measure"),
        ("of: opacity}", "of: opacity, by: whole}"),
        ("of: opacity}", "of: opacity, where: outline}"),
        ("exclude:", "blur: 2 px\nexclude:"),
        ("exclude:", "keep: [opacity]\nexclude:"),
    ],
)
def test_the_fingerprint_changes_with_everything_that_changes_a_number(old: str, new: str) -> None:
    assert old in FLUX
    assert program(FLUX.replace(old, new)).fingerprint != program(FLUX).fingerprint


def test_the_fingerprint_changes_with_the_reference_and_the_pixel_size() -> None:
    text = FLUX.replace("5 px", "0.5 mm")
    assert program(text, pixel_size_um=100.0).fingerprint == program(FLUX).fingerprint
    assert program(text, pixel_size_um=50.0).fingerprint != program(FLUX).fingerprint
    assert program(FLUX, "pair").fingerprint != program(FLUX).fingerprint


def test_the_fingerprint_changes_with_the_version_of_a_step(registry: None) -> None:
    from dataclasses import replace

    old = program(FLUX).fingerprint
    STEPS["glare"] = replace(STEPS["glare"], version=STEPS["glare"].version + 1)
    assert compile_program(workflow(FLUX), reference="golden").fingerprint != old


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("workflow: flux", "workflow: flux\ndescription: another text"),
        ("workflow: flux", "workflow: another_name"),
        ("exclude:", "limits: {load_reduction_pct: {min: 85}}\nexclude:"),
        ("of: raw, above: 0.94, grow: 5 px", "of: [raw], grow: 5 px, above: 0.94"),
        ("of: raw, above: 0.94, grow: 5 px", "of: [raw, reference]"),
        ("exclude:", "  unused: {step: not, of: outline}\nexclude:"),
        ("opacity: {step: unmix}", "opacity: {step: unmix, of: [image, reference]}   # a comment"),
    ],
)
def test_the_fingerprint_does_not_change_with_what_changes_no_number(old: str, new: str) -> None:
    assert old in FLUX
    assert program(FLUX.replace(old, new, 1)).fingerprint == program(FLUX).fingerprint


@pytest.mark.parametrize("text", [FLUX, HALO, FITTED, EVERY_STEP])
def test_a_program_is_a_value(text: str) -> None:
    made, again = program(text), compile_program(workflow(text), reference="golden")
    assert made == again
    assert hash(made) == hash(again)
    assert pickle.loads(pickle.dumps(made)) == made
    assert str(made) == str(again)
    assert all(node.kind in Kind for node in made.nodes.values())


def test_a_printed_program_says_what_each_pass_does() -> None:
    shown = str(program(FITTED))
    assert "2 pass(es)" in shown
    assert "pass 1: fits film.before, film.after" in shown
    assert "pass 2: measures" in shown
    assert "opacity.before" in shown


SPLIT = HEAD + PLANES + "  spots: {step: otsu, of: opacity, fit_on: before}\n"


def test_a_fit_on_one_phase_is_made_once_and_serves_both() -> None:
    made = program(SPLIT + "measures:\n  bright: {measure: intensity, of: opacity, where: spots}\n")
    assert [p.fits for p in made.passes] == [(Key("spots", "before"),), ()]
    assert {made.nodes[Key("spots", phase)].fit for phase in PHASES} == {Key("spots", "before")}
    assert not any(node.key.phase == "after" for node in made.passes[0].nodes)


def test_a_fit_on_the_other_phase_is_there_where_only_one_phase_is_measured() -> None:
    made = program(SPLIT + "measures:\n  rest: {measure: intensity, of: opacity.after, where: spots.after}\n")
    assert made.passes[0].fits == (Key("spots", "before"),)
    assert Key("spots", "before") in made.nodes


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
