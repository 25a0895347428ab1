"""Every command's help is whole sentences with real defaults, and lists only what can matter to the command."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator

import pytest

from livehead.cli import COMMANDS, DefaultsHelpFormatter, main

WEBRTC_OPTIONS = {"--encoder", "--ice-server", "--ice-username", "--relay-only"}


def parser_of(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"livehead {command}", formatter_class=DefaultsHelpFormatter)
    importlib.import_module(COMMANDS[command].module).add_arguments(parser)
    return parser


def actions_of(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """All options and arguments, those of subcommands too."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from actions_of(inner)
        elif not isinstance(action, argparse._HelpAction):
            yield action


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_no_default_that_says_nothing(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for nothing in ("None", "(default: False)", "(default: True)", "(default: [])", "==SUPPRESS=="):
        assert nothing not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_in_more_than_a_word_or_two(command: str) -> None:
    for action in actions_of(parser_of(command)):
        name = "/".join(action.option_strings) or action.dest
        assert action.help, f"{name} is not explained"
        assert len(action.help.split()) > 2, f"{name}: {action.help!r}"
        assert action.help.split()[0] not in {"of", "for", "to", "as"}, f"{name} is a fragment: {action.help!r}"
        assert not action.help.endswith("."), name


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"run", "serve"}))
def test_options_of_webrtc_are_listed_only_where_there_are_connections(command: str) -> None:
    assert not WEBRTC_OPTIONS & {
        option for action in actions_of(parser_of(command)) for option in action.option_strings
    }
