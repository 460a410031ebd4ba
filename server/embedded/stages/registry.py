"""The table of pipeline stages, and what their compilers are given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from server.embedded.documents.values import Document
from server.embedded.expressions import Variables

Stream = Iterator[Document | None]  # None is a pause
Stage = Callable[[Stream, Variables], Stream]


class Builder(ABC):
    """What a stage can ask for while it is compiled."""

    @abstractmethod
    def pipeline(self, stages: Any) -> Callable[[str | None, Variables], Stream]:
        """An inner pipeline on a collection."""

    @abstractmethod
    def on(self, stages: Any) -> Stage:
        """An inner pipeline on a given stream."""

    @abstractmethod
    def find(self, name: str, spec: Any) -> Stream:
        """Documents of another collection."""


Compiler = Callable[[Any, Builder], Stage]
STAGES: dict[str, Compiler] = {}


def stage(*names: str) -> Callable[[Compiler], Compiler]:
    """Register the compiler of a stage."""

    def register(compiler: Compiler) -> Compiler:
        for name in names:
            STAGES[name] = compiler
        return compiler

    return register


def mapped(function: Callable[[Document, Variables], Document]) -> Stage:
    """The stage that makes one document of each."""

    def run(stream: Stream, variables: Variables) -> Stream:
        for document in stream:
            yield None if document is None else function(document, variables)

    return run
