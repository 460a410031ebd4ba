"""Aggregation pipelines: stages that turn a stream of documents into another.

A stream gives decoded documents, and None where others may run. Stages never change a document that they
are given, since others may hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from server.embedded.documents.errors import Code, CommandError, NotSupported
from server.embedded.documents.sorting import parse_sort
from server.embedded.documents.values import Document, decode
from server.embedded.expressions import Variables
from server.embedded.query import query
from server.embedded.reading import covered
from server.embedded.reading.queries import Search, search_tree
from server.embedded.reading.scan import Position, Statistics
from server.embedded.stages import basic, grouping, joining  # noqa: F401 - they register the stages
from server.embedded.stages.registry import STAGES, Builder, Stage, Stream
from server.embedded.storage.catalog import Catalog, Collection
from server.embedded.storage.views import View

_UPDATE_STAGES = ("$set", "$addFields", "$unset", "$project", "$replaceRoot", "$replaceWith")
_WRITERS = ("$out", "$merge")
_MOST_STAGES = 1000


@dataclass(slots=True)
class Source(Builder):
    """Where a pipeline and those inside it read."""

    view: View
    catalog: Catalog
    database: str
    depth: int = 0

    def pipeline(self, stages: Any) -> Callable[[str | None, Variables], Stream]:
        """Compile an inner pipeline; it is run on a collection, or (None) on documents of its own."""
        inner = replace(self, depth=self.depth + 1)
        if self.depth > 20:
            raise CommandError(Code.Location5339900, "pipelines are nested too deeply")
        compiled = compile_pipeline(stages, inner)
        if compiled.output is not None:
            raise CommandError(Code.Location51047, f"{next(iter(compiled.output))} is not allowed here")
        return lambda name, variables: compiled.run(self.collection(name), variables)

    def on(self, stages: Any) -> Stage:
        """Compile an inner pipeline that is run on a given stream."""
        compiled = _compile_stages(_checked(stages), replace(self, depth=self.depth + 1))
        return lambda stream, variables: _chain(compiled, stream, variables)

    def collection(self, name: str | None) -> Collection | None:
        return None if name is None else self.catalog.find(self.database, name)

    def find(self, name: str, spec: Any) -> Stream:
        """The documents of another collection that match a filter."""
        collection = self.collection(name)
        if collection is None:
            return iter(())
        found = search_tree(self.view, collection, query.parse(spec), [])
        return _decoded(found, 0, Position(), None)


@dataclass(slots=True)
class Pipeline:
    """A compiled pipeline: what its first stages ask of the collection, and the others."""

    source: Source
    filter: query.Every
    sort: list[tuple[str, bool]]
    limit: int
    stages: list[Stage]
    output: Mapping[str, Any] | None  # $out or $merge
    hint: Any = None
    counting: covered.GroupCount | None = None  # the first of the stages only counts
    generated: bool = False  # begins with a stage that needs no collection

    def search(self, collection: Collection, variables: Variables) -> Search:
        """The search that the first stages come to."""
        return search_tree(self.source.view, collection, self.filter, self.sort, self.hint, variables)

    def run(
        self, collection: Collection | None, variables: Variables,
        position: Position | None = None, statistics: Statistics | None = None,
    ) -> Stream:  # fmt: skip
        """The resulting documents."""
        if self.generated:
            return _chain(self.stages, iter([{}]), variables)
        if collection is None:
            return _chain(self.stages, iter(()), variables)
        if self.counting is not None and statistics is None:
            return self._counted(collection, variables)
        return _chain(self.stages, self._read(collection, variables, position, statistics), variables)

    def _read(
        self, collection: Collection, variables: Variables,
        position: Position | None = None, statistics: Statistics | None = None,
    ) -> Stream:  # fmt: skip
        found = self.search(collection, variables)
        return _decoded(found, self.limit, position or Position(), statistics)

    def _counted(self, collection: Collection, variables: Variables) -> Stream:
        """The results with the first stage's taken from an index, if one has them."""
        assert self.counting is not None
        results = yield from covered.group(self.source.view, collection, self.filter, self.counting)
        if results is None:
            yield from _chain(self.stages, self._read(collection, variables), variables)
        else:
            yield from _chain(self.stages[1:], iter(results), variables)


def _decoded(found: Search, limit: int, position: Position, statistics: Statistics | None) -> Stream:
    if found.needs_sorting:
        for raw in found.ordered(limit, position, statistics):
            yield None if raw is None else decode(raw)
        return
    for match in found.found(limit, position, statistics):
        yield None if match is None else match[2] if match[2] is not None else decode(match[1])


def _chain(stages: Sequence[Stage], stream: Stream, variables: Variables) -> Stream:
    for stage in stages:
        stream = stage(stream, variables)
    return stream


def _checked(stages: Any) -> list[Mapping[str, Any]]:
    if not isinstance(stages, list) or len(stages) > _MOST_STAGES:
        raise CommandError(Code.TypeMismatch, f"A pipeline must be an array of at most {_MOST_STAGES} stages")
    for stage in stages:
        if not isinstance(stage, Mapping) or len(stage) != 1:
            text = "A pipeline stage specification object must contain exactly one field."
            raise CommandError(Code.Location40323, text)
    return stages


def compile_pipeline(stages: Any, source: Source, hint: Any = None) -> Pipeline:
    """Compile a pipeline whose documents come from a collection.

    Raises CommandError for an unknown stage or a wrong operand.
    """
    rest = list(_checked(stages))
    output = rest.pop() if rest and next(iter(rest[-1])) in _WRITERS else None
    generated = bool(rest) and next(iter(rest[0])) in ("$documents", "$collStats", "$indexStats")
    conditions, sort, limit = [], [], 0
    while rest and "$match" in rest[0]:
        conditions.append(query.parse(rest.pop(0)["$match"]))
    if rest and "$sort" in rest[0]:
        sort = parse_sort(rest.pop(0)["$sort"])
    limit = _following_limit(rest)
    tree = conditions[0] if len(conditions) == 1 else query.Every(tuple(conditions))
    compiled = _compile_stages(rest, source)
    counting = None
    if rest and "$group" in rest[0] and not sort and not hint:
        counting = covered.parse_group(rest[0]["$group"])
    return Pipeline(source, tree, sort, limit, compiled, output, hint, counting, generated)


def _following_limit(stages: Sequence[Mapping[str, Any]]) -> int:
    """How many documents the next stages will take, 0 when all."""
    skip = 0
    for stage in stages:
        ((name, operand),) = stage.items()
        if name == "$limit" and isinstance(operand, int) and operand > 0:
            return skip + operand
        if name == "$skip" and isinstance(operand, int) and operand >= 0:
            skip += operand
        elif name not in ("$project", "$addFields", "$set", "$unset"):
            return 0
    return 0


def _compile_stages(stages: Sequence[Mapping[str, Any]], source: Source) -> list[Stage]:
    found = []
    for stage in stages:
        ((name, operand),) = stage.items()
        compiler = STAGES.get(name)
        if compiler is None:
            raise _unknown_stage(name)
        found.append(compiler(operand, source))
    return found


def _unknown_stage(name: str) -> CommandError:
    if name == "$changeStream":
        return CommandError(Code.Location40573, "The $changeStream stage is only supported on replica sets")
    if name in _WRITERS:
        return CommandError(Code.Location40601, f"{name} can only be the final stage in the pipeline")
    if name in _NOT_SUPPORTED:
        return NotSupported(f"the stage {name}")
    return CommandError(Code.Location40324, f"Unrecognized pipeline stage name: '{name}'")


_NOT_SUPPORTED = frozenset({
    "$densify", "$fill", "$geoNear", "$listSessions", "$planCacheStats", "$redact", "$search",
    "$setWindowFields", "$currentOp", "$vectorSearch", "$searchMeta", "$listLocalSessions",
})  # fmt: skip


class _Nothing(Builder):
    """Where the pipeline of an update reads: nowhere."""

    def pipeline(self, stages: Any) -> Callable[[str | None, Variables], Stream]:
        raise CommandError(Code.InvalidOptions, "an update's pipeline cannot read collections")

    def on(self, stages: Any) -> Stage:
        raise CommandError(Code.InvalidOptions, "an update's pipeline cannot have inner pipelines")

    def find(self, name: str, spec: Any) -> Stream:
        raise CommandError(Code.InvalidOptions, "an update's pipeline cannot read collections")


def compile_update_pipeline(stages: Sequence[Any], variables: Variables) -> Callable[[Document], Document]:
    """The function of an update that is an array of stages."""
    compiled: list[Stage] = []
    for stage in _checked(list(stages)):
        ((name, operand),) = stage.items()
        if name not in _UPDATE_STAGES:
            raise CommandError(Code.InvalidOptions, f"{name} is not allowed to be used within an update")
        compiled.append(STAGES[name](operand, _Nothing()))

    def transform(document: Document) -> Document:
        results: Iterator[Document | None] = _chain(compiled, iter([document]), variables)
        for found in results:
            if found is not None:
                return found
        return document

    return transform
