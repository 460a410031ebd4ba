"""A command whose words another parser reads, such as one that worker nodes have without click."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import click

__all__ = ["Passing"]


class Passing(click.Command):
    """Hands its words on as they are; `parser` makes the parser that reads them."""

    def __init__(self, *args: Any, parser: Callable[[], argparse.ArgumentParser], **more: Any) -> None:
        more["context_settings"] = {"ignore_unknown_options": True, "help_option_names": []}
        super().__init__(*args, **more)
        self._parser = parser

    def invoke(self, ctx: click.Context) -> Any:
        """Refuse wrong usage as all commands do, before the words are handed on."""
        _check(self._parser(), ctx.params["arguments"])
        return super().invoke(ctx)

    def subcommands(self) -> list[str]:
        """The words that choose in it; none where it does one thing."""
        return [word for action in self._parser()._actions if isinstance(action, argparse._SubParsersAction)
                for word in action.choices]

    def manual(self) -> str:
        """What the parser says to ``--help``, and what those of its subcommands say."""
        return "\n\n".join(parser.format_help() for parser in _with_subparsers(self._parser()))


def _check(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> None:
    """Raise UsageError for words that the parser does not take."""
    def refuse(message: str) -> NoReturn:
        raise click.UsageError(message)

    for one in _with_subparsers(parser):
        one.error = refuse  # type: ignore[method-assign]
    parser.parse_args(words)


def _with_subparsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _with_subparsers(inner)
