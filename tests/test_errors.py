"""Errors carry their values through processes, and their text is for the user."""

from __future__ import annotations

import pickle

import pytest

from residue_batch import errors
from residue_batch.errors import ConfigError, Problem, Refusal, ResidueError, WorkflowError

TREE = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ResidueError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_error_is_in_the_drawn_tree_and_documented(kind: type[ResidueError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")
    assert kind.__doc__


@pytest.mark.parametrize("kind", [k for k in TREE if k is not ResidueError], ids=lambda kind: kind.__name__)
def test_every_error_is_also_a_builtin_one(kind: type[ResidueError]) -> None:
    assert issubclass(kind, ValueError | RuntimeError)


def test_exit_codes_follow_the_tree() -> None:
    codes = {kind.__name__: kind.exit_code for kind in TREE}
    assert codes == {
        "ResidueError": 2,
        "ConfigError": 2,
        "WorkflowError": 2,
        "UsageError": 2,
        "StaleRunError": 2,
        "LockedError": 4,
        "ClusterError": 5,
        "Refusal": 3,
    }


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_errors_travel_between_processes(kind: type[ResidueError]) -> None:
    error = kind("reason", "message", "remedy") if kind is Refusal else kind("what happened")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)


def test_a_refusal_keeps_its_parts() -> None:
    again = pickle.loads(pickle.dumps(Refusal("blurred", "no edge", "focus")))
    assert (again.reason, again.message, again.remedy) == ("blurred", "no edge", "focus")
    assert str(again) == "blurred: no edge (focus)"
    assert str(Refusal("blurred", "no edge")) == "blurred: no edge"


@pytest.mark.parametrize("kind", [ConfigError, WorkflowError])
def test_a_configuration_error_holds_every_problem(kind: type[ConfigError]) -> None:
    problems = (Problem("one", "a.yaml", 3, 5, "do this", "abc: x"), Problem("two", "b.yaml"), Problem("three"))
    error = pickle.loads(pickle.dumps(kind(problems)))
    assert error.problems == problems
    assert str(error).splitlines() == [
        "a.yaml:3:5: one",
        "    abc: x",
        "        ^",
        "    do this",
        "b.yaml: two",
        "three",
    ]


def test_one_problem_and_a_text_will_do() -> None:
    assert ConfigError("wrong").problems == (Problem("wrong"),)
    assert ConfigError(Problem("wrong")).problems == (Problem("wrong"),)
    assert ConfigError([Problem("a"), Problem("b")]).problems == (Problem("a"), Problem("b"))
