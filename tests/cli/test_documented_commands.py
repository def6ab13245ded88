"""Every command line in README.md and docs/ is accepted, and so is every one of version 0.2.1."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from pfitre_jax.cli import app
from pfitre_jax.cli.app import DEPRECATED_OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
#: The command lines of README.md and docs/ in version 0.2.1.
OLD_COMMANDS = (Path(__file__).parent / "commands_0.2.1.txt").read_text().splitlines()
COMMANDS = typer.main.get_command(app).commands


def command_lines(page: str) -> list[str]:
    """The lines in the code blocks of a page that call ``pfitre``; continued lines are joined."""
    lines, inside = [], False
    for line in page.replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            inside = not inside
        elif inside and re.search(r"(^|[\s/])pfitre\s", line):
            lines.append(line.strip())
    return lines


def arguments(line: str) -> list[list[str]]:
    """The words after each ``pfitre`` of a command line, up to the next shell operator."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    calls: list[list[str]] = []
    inside = False
    for word in lexer:
        if word in ("&&", "||", "|", ";", ">", "&"):
            inside = False
        elif inside:
            calls[-1].append(word)
        elif word.split("/")[-1] == "pfitre":
            calls.append([])
            inside = True
    return calls


def parse(words: list[str]) -> dict:
    """Values of the options and arguments; raises for an unknown, missing or malformed one."""
    name, *rest = words
    return COMMANDS[name].make_context(name, rest).params


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_command_lines_of_the_documentation_are_accepted(page):
    for line in command_lines(page.read_text()):
        for words in arguments(line):
            parse(words)


def test_command_lines_are_recognized():
    line = "python -m venv v && v/bin/pfitre recon --sample chip --out 'my out'  # an example"
    assert arguments(line) == [["recon", "--sample", "chip", "--out", "my out"]]
    lines = [line for page in PAGES for line in command_lines(page.read_text())]
    assert len(lines) > 30


@pytest.mark.parametrize("line", OLD_COMMANDS)
def test_command_lines_of_version_0_2_1_are_accepted(line):
    for words in arguments(line):
        parse(words)


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [(command, old, new) for command, names in DEPRECATED_OPTIONS.items() for old, new in names.items()],
)
@pytest.mark.parametrize("joined", [False, True])
def test_deprecated_options_warn_and_have_the_same_effect(command, old, new, joined, capsys):
    required = {"recon": ["scan.h5", "--out", "out"], "watch": ["scan.h5", "--out", "out", "--center", "75"]}
    option = lambda name: [f"{name}=7"] if joined else [name, "7"]  # noqa: E731
    expected = parse([command, *required[command], *option(new)])
    assert capsys.readouterr().err == ""
    assert parse([command, *required[command], *option(old)]) == expected
    assert capsys.readouterr().err == f"warning: {old} is deprecated; use {new}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_option(command):
    parameters = [p for p in COMMANDS[command].params if p.name != "help"]
    for parameter in parameters:
        text = parameter.help
        assert text and text[0].isupper() and text.endswith("."), f"{command} {parameter.name}: {text!r}"
        is_flag = getattr(parameter, "is_flag", False)
        optional = not parameter.required and not is_flag and parameter.name not in ("scan", "sample")
        assert ("Default: " in text) == optional, f"{command} {parameter.name}: {text!r}"
    hidden = DEPRECATED_OPTIONS.get(command, {})
    assert not {name for p in parameters for name in p.opts} & set(hidden)
