"""Commands on the pages exist with these options, and every command has its place in the reference."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pages import DOCS, HOME, PAGES, SPAN, every, prose

from residue_batch.cli import residue

ELSEWHERE = ("--nthreads",)
"""Options of other programs that pages name."""


def commands(group: click.Command = residue, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in getattr(group, "commands", {}).items():
        yield " ".join((*path, name)), command
        yield from commands(command, (*path, name))


def options() -> set[str]:
    everything = [residue, *(command for _, command in commands())]
    named = {name for c in everything for p in c.params if isinstance(p, click.Option) for name in p.opts}
    return {*named, "--help", "-h"}


@pytest.mark.parametrize(
    ("name", "command"), list(commands()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_command_and_option_is_in_the_reference(name: str, command: click.Command) -> None:
    if isinstance(command, click.Group):
        return
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    section = page.split(f"\n### residue {name}\n", 1)[1].split("\n### ")[0]
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"`{option.opts[0]}`" in section
            assert option.help, f"residue {name} {option.opts[0]} says nothing about itself"


def residue_lines() -> list[tuple[str, list[str]]]:
    lines = [(str(block), line) for block in every("bash") for line in block.text.splitlines() if line]
    return [(where, shlex.split(line, comments=True)) for where, line in lines]


@pytest.mark.parametrize(("where", "line"), residue_lines(), ids=lambda v: " ".join(v) if isinstance(v, list) else v)
def test_commands_exist_with_these_options(where: str, line: list[str]) -> None:
    program, *arguments = line
    if program == "make":
        assert f"\n{arguments[0]}:" in (HOME / "Makefile").read_text(encoding="utf-8"), where
        return
    if program == "dask":
        return
    if program == "python":
        _benchmark(arguments)
        return
    assert program == "residue", where
    command: click.Command = residue
    while isinstance(command, click.Group):
        command = command.commands[arguments.pop(0)]
    # parsing raises on an unknown option or a missing argument
    with command.make_context(command.name, arguments):
        pass


def _benchmark(arguments: list[str]) -> None:
    """A script that exists, or ``-m module --option ...``: the module is there and takes the options."""
    if arguments[0] != "-m":
        assert (HOME / arguments[0]).is_file(), arguments
        return
    source = (HOME / (arguments[1].replace(".", "/") + ".py")).read_text(encoding="utf-8")
    for option in (a for a in arguments[2:] if a.startswith("--")):
        assert f'"{option}"' in source, arguments


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_in_a_sentence_exist(page: Path) -> None:
    known = {name for name, _ in commands()}
    for span in SPAN.findall(prose(page)):
        if span.startswith("residue ") and not span.startswith("residue --"):
            given = re.findall(r"[a-z]+", span)[1:3]
            assert given[0] in known or " ".join(given) in known, span
        if span.startswith("python "):
            _benchmark(span.split()[1:])
            continue
        for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", span):
            assert option in {*options(), *ELSEWHERE}, span
