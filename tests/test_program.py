"""A program is a value: it prints, hashes, and says which variables it will give."""

from __future__ import annotations

import pytest
from small import EVERY_STEP, FITTED, FLUX, program

from residue_batch.measure import MEASURES
from residue_batch.program import BUILTINS, PHASES, Key
from residue_batch.step import STEPS
from residue_batch.tile import MAKERS
from residue_batch.variables import variables_of


def test_a_key_prints_as_it_is_written() -> None:
    assert str(Key("opacity", "before")) == "opacity.before"
    assert str(Key("observable")) == "observable"


def test_every_built_in_plane_has_a_maker_and_a_meaning() -> None:
    assert MAKERS.keys() == BUILTINS.keys()
    assert all(builtin.meaning for builtin in BUILTINS.values())


def test_no_step_or_measure_takes_the_name_of_a_built_in_plane_as_its_own() -> None:
    # positional parameters that are left over are looked up by their name
    for registered in (*STEPS.values(), *MEASURES.values()):
        for parameter in registered.signature.inputs:
            if parameter.name in BUILTINS:
                assert BUILTINS[parameter.name].kind in parameter.kinds


def test_variables_follow_from_the_workflow_alone() -> None:
    found = variables_of(program(FLUX).measures)
    assert {"load", "load_saturated_pct", "load_reduction_pct", "area", "area_main", "area_reduction_pct"} <= set(found)
    measured, output, reduction = found["area_reduction_pct"]
    assert (measured.key, output.dim, reduction) == ("area", "tau", True)
    assert not any(name.endswith("_reduction_pct") and not found[name][1].reducible for name in found)


def test_the_same_measure_twice_gives_two_sets_of_variables() -> None:
    found = variables_of(program(FITTED).measures)
    assert {"load", "film", "load_noise", "film_noise", "film_reduction_pct"} <= set(found)


def test_nodes_are_those_of_all_passes() -> None:
    made = program(EVERY_STEP)
    assert set(made.nodes) == {node.key for visit in made.passes for node in visit.nodes}
    assert made.halo == max(visit.halo for visit in made.passes)
    assert {node.step.name for node in made.nodes.values() if node.step} == set(STEPS), "the sweep has every step"


@pytest.mark.parametrize("text", [FLUX, FITTED])
def test_phases_stand_in_their_order(text: str) -> None:
    for measured in program(text).measures:
        assert measured.phases in (PHASES, ("",))
