"""A workflow becomes a program: scopes, passes, margins, and a fingerprint of all that decides a number."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import EVERY_STEP, FITTED, FLUX, HALO, HEAD, LOAD, PLANES, program, workflow

from residue_batch.compiler import compile_program
from residue_batch.errors import WorkflowError
from residue_batch.program import PHASES, Key, Program
from residue_batch.step import STEPS, Kind, call_with
from residue_batch.variables import variables_of

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
    made = program(HEAD + PLANES + "measures:\n  load: {measure: load, of: opacity.after}\n")
    # what it looks up itself is of the same photograph
    assert made.measures[0].inputs == (("", (Key("opacity", "after"), Key("saturated", "after")), Key("observable")),)
    assert "load_reduction_pct" not in variables_of(made.measures)


def test_a_measure_that_looks_at_photographs_does_not_take_a_plane_of_neither() -> None:
    gone = "  gone: {step: difference, of: [opacity.before, opacity.after]}\n"
    with pytest.raises(WorkflowError, match="'load' also reads 'saturated', of one photograph"):
        program(HEAD + PLANES + gone + "measures:\n  load: {measure: load, of: gone}\n")


def test_a_blur_that_no_kernel_holds_is_a_mistake() -> None:
    program(HEAD + "blur: 14 px\n" + PLANES + LOAD)
    with pytest.raises(WorkflowError, match=r"15 px are too much: at most 14.2 px"):
        program(HEAD + "blur: 15 px\n" + PLANES + LOAD)


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
            assert set(node.needs) <= alive, f"{node.key} reads what is not there, or no longer there"
            for read in node.needs:
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
