# SPDX-License-Identifier: Apache-2.0
"""What a command line refuses is named as it was given."""

import dataclasses
import sys
from typing import Annotated

import pytest
from tyro.conf import arg

from embed_jax.checks import check_at_least, check_fields
from embed_jax.commands.parsing import parse_command
from embed_jax.exit_status import exit_status


@dataclasses.dataclass(frozen=True)
class Inner:
    num_steps: int = 1

    def __post_init__(self) -> None:
        check_fields(self)
        check_at_least(self, 1, "num_steps")
        if self.num_steps == 7:
            raise ValueError("seven of them are too many")


@dataclasses.dataclass(frozen=True)
class Middle:
    of_other: Inner | None = None
    of_long: Inner = dataclasses.field(default_factory=Inner)


@dataclasses.dataclass(frozen=True)
class Command:
    own: Annotated[Inner, arg(name="")] = dataclasses.field(default_factory=Inner)
    middle: Annotated[Middle, arg(name="")] = dataclasses.field(default_factory=Middle)
    below: Middle = dataclasses.field(default_factory=Middle)
    size: int = 1

    def __post_init__(self) -> None:
        check_at_least(self, 1, "size")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--size", "0"], "size must be at least 1, not 0"),
        (["--num-steps", "0"], "num_steps must be at least 1, not 0"),
        (["--of-long.num-steps", "0"], "of_long.num_steps must be at least 1, not 0"),
        (
            ["--below.of-long.num-steps", "-3"],
            "below.of_long.num_steps must be at least 1, not -3",
        ),
        (
            ["--below.of-long.num-steps", "7"],
            "below.of_long: seven of them are too many",
        ),
    ],
)
def test_a_field_is_named_with_the_way_to_it(capsys, given, message):
    def action() -> None:
        parse_command(Command, given, prog="command")

    assert exit_status("package.command", action, "nothing was begun") == 2
    assert capsys.readouterr().err == f"package.command: {message}\n"


def test_what_is_no_option_or_no_number_is_said_as_ever(capsys):
    for given in (["--sise", "3"], ["--size", "x"]):
        with pytest.raises(SystemExit):
            parse_command(Command, given, prog="command")
        assert given[0] in capsys.readouterr().err
    given = ["--below.of-long.num-steps", "4"]
    parsed = parse_command(Command, given, prog="command")
    assert parsed.below.of_long.num_steps == 4


@dataclasses.dataclass(frozen=True)
class Talkative:
    rate: float = 0.1

    def __post_init__(self) -> None:
        sys.stderr.write("a rate of 1 drops everything\n")


def test_what_is_said_of_options_that_are_taken_is_said(capsys):
    parse_command(Talkative, ["--rate", "1"], prog="command")
    assert capsys.readouterr().err == "a rate of 1 drops everything\n"


def test_an_error_that_the_caller_is_handling_is_none_of_the_options(capsys):
    try:
        raise ValueError("of another model")
    except ValueError:
        for given, said in ((["--help"], "usage"), (["--rat", "1"], "--rat")):
            with pytest.raises(SystemExit):
                parse_command(Talkative, given, prog="command")
            assert said in "".join(capsys.readouterr())
