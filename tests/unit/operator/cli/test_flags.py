"""Flags that a dataclass of settings makes, and what a person reads who sets one wrongly."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import ConfigDict, Field

from tts_operator.cli.flags import FlagError, add_flags, flags_of, read
from tts_operator.settings import AlsoFrom, Constant, Switch, must


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """Shelf for books."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    place: Annotated[str, Field(pattern="^[a-z]+$"), must("be a place")]
    """Place of the shelf."""
    directory: Path
    """Directory with its `keys`."""
    high: Switch = False
    """Whether it is high."""


@dataclass(frozen=True)
class Library:
    """Library."""

    __pydantic_config__ = ConfigDict(use_attribute_docstrings=True)

    town: Annotated[str, Field(min_length=1), must("name a town")]
    """Town, where 100% of the books are."""
    seats: Annotated[int, Field(ge=1, le=9)] = 4
    """Number of seats."""
    rest: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Part that rests."""
    language: Annotated[Literal["en", "fr"], AlsoFrom("LANGUAGE")] = "en"
    """Language: en or fr."""
    version: Annotated[str, Constant()] = "1"
    shelf: Shelf | None = None


FLAGS = flags_of(Library, "LIBRARY_")
SHELF = Shelf(place="attic", directory=Path("/keys"))


def library(*arguments: str, **environment: str) -> Library:
    parser = argparse.ArgumentParser()
    add_flags(parser, FLAGS)
    return read(Library, FLAGS, parser.parse_args(arguments), environment)


def problems(*arguments: str, **environment: str) -> tuple[str, ...]:
    with pytest.raises(FlagError) as refusal:
        library(*arguments, **environment)
    return refusal.value.problems


def test_a_value_has_its_fields_type_and_default() -> None:
    assert library("--town=Ulm") == Library("Ulm")
    assert library("--town=Ulm", "--seats=9", "--rest=0.25", "--language=fr") == Library("Ulm", 9, 0.25, "fr")


def test_the_command_line_comes_before_the_environment_and_the_flags_own_variable_before_another() -> None:
    assert library(LIBRARY_TOWN="Ulm", LANGUAGE="fr").language == "fr"
    assert library(LIBRARY_TOWN="Ulm", LANGUAGE="fr", LIBRARY_LANGUAGE="en").language == "en"
    assert library("--language=fr", LIBRARY_TOWN="Ulm", LANGUAGE="en", LIBRARY_LANGUAGE="en").language == "fr"


def test_a_group_exists_once_its_first_flag_has_a_value() -> None:
    assert library("--town=Ulm", "--shelf-place=attic", "--shelf-directory=/keys").shelf == SHELF
    assert library("--town=Ulm", "--shelf-place=", "--shelf-directory=/keys", "--shelf-high=maybe").shelf is None
    assert library("--town=Ulm", "--shelf-directory=/keys").shelf is None


def test_every_mistake_is_named_at_once_with_its_flag() -> None:
    assert problems("--seats=0", "--rest=nan", "--language=de", "--shelf-place=attic", "--shelf-directory=") == (
        "argument --town: is required; set it, or LIBRARY_TOWN in the environment",
        "argument --seats: must be a whole number from 1 to 9, not '0'",
        "argument --rest: must be a number from 0 to 1, not 'nan'",
        "argument --language: must be one of en, fr, not 'de'",
        "argument --shelf-directory: is required with --shelf-place;"
        " set it, or LIBRARY_SHELF_DIRECTORY in the environment",
    )


def test_a_mistake_in_the_environment_names_its_variable() -> None:
    assert problems("--town=Ulm", LANGUAGE="de") == (
        "argument --language (from LANGUAGE): must be one of en, fr, not 'de'",
    )


def test_a_value_that_may_hold_a_secret_is_not_quoted() -> None:
    assert problems("--town=", "--shelf-place=s3cret", "--shelf-directory=x", "--shelf-high=s3cret") == (
        "argument --town: must name a town",
        "argument --shelf-place: must be a place",
        "argument --shelf-high: must be true or false",
    )


def test_help_lists_each_group_with_defaults_and_conditions(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        library("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "Library: --town VALUE Town, where 100% of the books are. (required)" in text
    assert "--seats N Number of seats. (default: 4)" in text
    assert "Shelf for books: --shelf-place VALUE Place of the shelf. --shelf-directory DIRECTORY" in text
    assert "Directory with its keys. (required with --shelf-place)" in text
    assert "--shelf-high BOOL Whether it is high. (default: false)" in text
    assert "version" not in text
