"""YAML is read strictly, and each mistake is shown at its line and column."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml
from hypothesis import given, settings
from hypothesis import strategies as st

from residue_batch.config import yaml as strict
from residue_batch.config.dump import quoted
from residue_batch.errors import ConfigError


def problems_of(text: str) -> list[str]:
    try:
        return [f"{p.line}:{p.column} {p.message} | {p.remedy}" for p in strict.parse(text).problems]
    except ConfigError as error:
        return [f"{p.line}:{p.column} {p.message} | {p.remedy}" for p in error.problems]


def read_value(text: str) -> Any:
    document = strict.parse(f"a: {text}")
    assert not document.problems
    return document.data["a"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1.5e3", 1500.0),
        ("+1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-0", 0),
        ("0x1F", 31),
        ("42", 42),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("'no'", "no"),
        ('"010"', "010"),
        ("'2024-01-01'", "2024-01-01"),
        ("5 px", "5 px"),
        ("1.2.3", "1.2.3"),
        ("A-0012", "A-0012"),
        ("-x", "-x"),
        ("norway", "norway"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    "yes Yes YES no No NO on On ON off Off OFF y Y n N 010 -010 00 08 0o17 0b101 1_000 0x_1F 1_0.5 1_0.5e+3 0_.E-0 .5_0e-1 12:30 12:30:45 "
    "-1:30 190:20:30.15 2024-01-01 2001-12-14T21:59:43.10-05:00 .nan .NaN .inf -.inf +.Inf 1e999 "
    "99999999999999999999999".split(),
)
def test_a_scalar_that_other_readers_take_for_something_else_is_refused(text: str) -> None:
    (problem,) = strict.parse(f"a: {{b: [1, {text}]}}").problems
    assert (problem.line, problem.column) == (1, 12)
    assert text in problem.message or "too many digits" in problem.message
    assert problem.remedy
    if text.lower() in {"yes", "on", "y"}:
        assert problem.remedy == f"write true, or quote it: '{text}'"


def test_a_date_with_a_time_is_refused_too() -> None:
    assert "date" in problems_of("a: 2001-12-14 21:59:43")[0]


@given(
    st.text("0123456789._:-+eExob", min_size=1, max_size=9)
    | st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=12)
)
@settings(max_examples=500)
def test_a_plain_scalar_is_refused_or_means_what_pyyaml_reads_or_is_a_1_2_number(text: str) -> None:
    try:
        theirs = pyyaml.safe_load(text)
        ours = strict.parse(f"a: {text}")
    except (pyyaml.YAMLError, ConfigError, ValueError, TypeError, OverflowError):
        return
    if ours.problems or isinstance(theirs, list | dict):
        return
    mine = ours.data["a"]
    # PyYAML reads 1e3 as text: the one difference that is wanted
    assert mine == theirs or (isinstance(mine, float) and isinstance(theirs, str))


def test_a_duplicate_key_is_reported_and_checking_goes_on() -> None:
    assert problems_of("a: 1\nb: 2\na: no\nc: {d: 1, d: 2}\nb: 3\n") == [
        "3:1 'a' is given twice | it stands on line 1 already: keep one of them",
        "3:4 'no' is text to some readers and false to others | write false, or quote it: 'no'",
        "4:11 'd' is given twice | it stands on line 4 already: keep one of them",
        "5:1 'b' is given twice | it stands on line 2 already: keep one of them",
    ]
    assert strict.parse("a: 1\na: 2\n").data == {"a": 1}


def test_aliases_anchors_tags_and_merge_keys_are_each_refused() -> None:
    said = problems_of("a: &x {b: 1}\nc: *x\nd: !!str 5\ne: !own {f: 1}\n<<: {g: 2}\n? [h]\n: 3\n*x : 4\n")
    assert [s.split(" |")[0] for s in said] == [
        "1:4 the anchor &x is not used here",
        "2:4 the alias *x is not used here",
        "3:4 the tag !!str is not used here",
        "4:4 the tag !own is not used here",
        "5:1 the merge key << is not used here",
        "6:3 a key must be text",
        "8:1 the alias *x is not used here",
    ]


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    begin = time.perf_counter()
    assert len(problems_of("\n".join(lines))) == 12 + 11 * 9
    assert time.perf_counter() - begin < 1


def test_depth_and_number_of_values_are_limited() -> None:
    deep = strict.MAX_DEPTH + 2
    assert "nested deeper" in problems_of("a: " + "[" * deep + "]" * deep)[0]
    assert "nested deeper" in problems_of("a: " + "{b: " * 5000 + "}" * 5000)[0]
    assert "more than" in problems_of("a: [" + "1," * (strict.MAX_VALUES + 1) + "]")[0]


def test_a_file_that_is_too_large_missing_or_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for content, said in ((b"#" * (strict.MAX_BYTES + 1), "is larger than 4 MB"), (b"a: 1\nb: \xff", "is not UTF-8")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=said) as caught:
            strict.read(path)
        assert caught.value.problems[0].file == str(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        strict.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("a: 1\nb: c: d\n", "2:5", "quotes"),
        ("a: 1\n\tb: 2\n", "2:", "tabs"),
        ("a: [1, 2\n", "1:4", "not closed"),
        ("a: 1\n b: 2\n", "2:", ""),
        ("a: @x\n", "1:4", "quote the value"),
        ("a: 'open\n", "1:4", ""),
        ("a: 1\n---\nb: 2\n", "2:1", "one document"),
        ("a: 1\nb: \x07\n", "2:4", "remove it"),
        ("", "1:1", "schema: 1"),
        ("- a\n", "1:1", "schema: 1"),
        ("schema 1\nboard: x", "2:6", ""),
    ],
)
def test_a_syntax_error_has_line_column_and_remedy(text: str, place: str, remedy: str) -> None:
    said = problems_of(text)[-1]
    assert said.startswith(place), said
    assert remedy in said


def test_keys_are_text() -> None:
    said = problems_of("1: a\ntrue: b\nno: c\n010: d\nx: e\ny: f\n'2': g\n")
    assert [s.split(" ")[0] for s in said] == ["1:1", "2:1", "3:1", "4:1"]
    assert all("quote it" in s for s in said)


def test_every_key_and_value_has_a_place() -> None:
    document = strict.parse("schema: 1\nplanes:\n  one: {step: blur, of: [a, b]}\n")
    assert document.marks[("planes", "one", "of", 1)].value == (3, 29)
    assert document.marks[("planes", "one", "step")].key == (3, 9)
    problem = document.problem(("planes", "one", "of", 1), "is bad", "do better")
    assert str(problem) == (
        "<text>:3:29: is bad\n      one: {step: blur, of: [a, b]}\n" + " " * 32 + "^\n    do better"
    )
    missing = document.problem(("planes", "one", "level"), "'level' is missing", at="key")
    assert (missing.line, missing.column) == (3, 3)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: no\r\n")
    document = strict.read(path)
    assert document.data["a"] == 1
    assert (document.problems[0].line, document.problems[0].excerpt) == (2, "b: no")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20))
def test_text_survives_being_written(text: str) -> None:
    assert read_value(quoted(text)) == text


def test_the_slow_loader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a: 1e-3\nb: [x, 'no', {c: no}]\na: 2\nd: *x\n"
    fast = strict.parse(text)
    monkeypatch.setattr(strict, "_Loader", pyyaml.SafeLoader)
    slow = strict.parse(text)
    assert (slow.data, slow.problems, dict(slow.marks).keys()) == (fast.data, fast.problems, dict(fast.marks).keys())
