"""insert, update, delete, findAndModify."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.embedded.commands.registry import Answer, Context, command, refuse_collation
from server.embedded.documents import budget, keys
from server.embedded.documents.errors import Code, CommandError, DuplicateKey
from server.embedded.documents.values import Document, decode, encode
from server.embedded.documents.wire import document_reply
from server.embedded.query.matching import compile_filter
from server.embedded.query.projection import compile_projection
from server.embedded.query.update import Update, compile_update, equalities
from server.embedded.reading.queries import Search, search
from server.embedded.reading.scan import Clock, Match
from server.embedded.stages.aggregate import compile_update_pipeline
from server.embedded.storage.catalog import Collection
from server.embedded.storage.locks import Holder
from server.embedded.storage.writes import Change, Steps, Writer

_UPSERT_ATTEMPTS = 100
_TOGETHER, _AT_ONCE = 4, 256  # documents that are worth storing together; and at most at once


def _ordered(context: Context) -> bool:
    return bool(context.body.get("ordered", True))


@command("insert", transactions=True)
def insert(context: Context) -> Steps[Answer]:
    """Store documents."""
    documents = context.documents("documents")
    if not documents:
        raise CommandError(
            Code.InvalidLength, "Write batch sizes must be between 1 and 100000. Got 0 operations."
        )
    collection = context.store.catalog.ensure(context.database, context.target())
    writer = Writer(context.view, context.store.catalog, collection)
    inserted, failures, clock = 0, [], Clock()
    if len(documents) >= _TOGETHER:
        inserted = yield from _insert_together(writer, documents)
    for number, raw in enumerate(documents[inserted:], inserted):
        try:
            yield from writer.insert(raw)
            inserted += 1
        except CommandError as error:
            failures.append(_failure(context, error, number))
            if _ordered(context):
                break
        if clock.over():
            yield None
    return _with_failures({"n": inserted}, failures)


def _insert_together(writer: Writer, documents: Sequence[bytes]) -> Steps[int]:
    """Store documents from the first on, some at once; how many, until some have to come one by one."""
    inserted = 0
    while part := documents[inserted:inserted + _AT_ONCE]:
        if not writer.insert_together(part):
            break
        inserted += len(part)
        yield None
    return inserted


def _failure(context: Context, error: CommandError, number: int) -> dict[str, Any]:
    """The entry for a statement that failed; in a transaction the whole command fails."""
    if context.view.transaction is not None or error.code in (Code.MaxTimeMSExpired, Code.InvalidBSON):
        raise error
    return error.write_error(number)


def _with_failures(answer: dict[str, Any], failures: list[dict[str, Any]]) -> Answer:
    if failures:
        answer["writeErrors"] = failures
    return {**answer, "ok": 1.0}


@command("update", transactions=True)
def update(context: Context) -> Steps[Answer]:
    """Change documents."""
    matched, modified, upserted, failures = 0, 0, [], []
    clock = Clock()
    for number, statement in enumerate(context.statements("updates")):
        if clock.over():
            yield None
        try:
            result = yield from run_update(context, statement)
        except CommandError as error:
            failures.append(_failure(context, error, number))
            if _ordered(context):
                break
            continue
        matched, modified = matched + result.matched, modified + result.modified
        if result.upserted is not None:
            upserted.append({"index": number, "_id": result.upserted["_id"]})
    answer: dict[str, Any] = {"n": matched + len(upserted), "nModified": modified}
    if upserted:
        answer["upserted"] = upserted
    return _with_failures(answer, failures)


@dataclass(slots=True)
class Updated:
    """What an update statement has done."""

    matched: int = 0
    modified: int = 0
    upserted: Document | None = None


def run_update(context: Context, statement: Mapping[str, Any]) -> Steps[Updated]:
    """One statement of an update command.

    Raises CommandError.
    """
    refuse_collation(statement)
    compiled, multi = compile_statement(statement, "u"), bool(statement.get("multi"))
    if multi and compiled.paths is None and not isinstance(statement.get("u"), list):
        raise CommandError(Code.FailedToParse, "multi update is not supported for replacement-style update")
    upsert = bool(statement.get("upsert"))
    collection = _writable(context, upsert)
    if collection is None:
        search_free(statement.get("q"))
        return Updated()
    for _ in range(_UPSERT_ATTEMPTS):
        found = search(
            context.view, collection, statement.get("q"), statement.get("sort"), statement.get("hint"),
            context.variables(),
        )  # fmt: skip
        result = yield from _update_found(context, found, compiled, multi)
        if result.matched or not upsert:
            return result
        try:
            result.upserted = yield from _upsert(context, found, compiled)
            return result
        except DuplicateKey as error:
            if not _same_key(found, error):
                raise
    raise CommandError(Code.WriteConflict, "an upsert met too many concurrent ones")


def search_free(spec: Any) -> None:
    """Check the filter of a statement on a collection that does not exist."""
    compile_filter(spec or {})


def compile_statement(statement: Mapping[str, Any], name: str) -> Update:
    """The update of a statement or of findAndModify.

    Raises CommandError.
    """
    spec = statement.get(name)
    pipeline = None
    if isinstance(spec, list):
        pipeline = compile_update_pipeline(spec, statement.get("c") or statement.get("let") or {})
    return compile_update(spec, statement.get("arrayFilters") or (), pipeline)


def _writable(context: Context, create: bool) -> Collection | None:
    """The collection, which an upsert creates."""
    if create:
        return context.store.catalog.ensure(context.database, context.target())
    return context.collection()


def _update_found(context: Context, found: Search, compiled: Update, multi: bool) -> Steps[Updated]:
    change = Change(compiled, found.tree, found.collection)
    writer = Writer(context.view, context.store.catalog, found.collection)
    result = Updated()

    def replace(rid: int, raw: bytes, document: Document) -> Holder | bytes:
        return writer.replace(rid, raw, document, change)

    # an update that changes the index it goes along would meet its own results again
    moved: set[int] | None = set() if multi and _walks_on(found, change) else None
    steps = _each(found, 0) if multi else _first(found)
    paused = False
    for match in steps:
        if match is None:
            paused = True
            yield None
            continue
        if moved is not None:
            if match[0] in moved:
                continue
            moved.add(match[0])
        outcome = yield from _apply(found, match, replace, paused)
        if outcome is not None:
            result.matched += 1
            result.modified += outcome[0] != outcome[1]
    return result


def _walks_on(found: Search, change: Change) -> bool:
    plan = found.plan
    walked = [branch.index for branch in plan.branches] or [plan.index]
    return any(index in change.affected for index in walked if index is not None)


def _each(found: Search, expected: int) -> Any:
    return found.found(expected)


def _first(found: Search) -> Any:
    return found.first()


Replace = Callable[[int, bytes, Document], "Holder | bytes"]


def _apply(found: Search, match: Match, replace: Replace, paused: bool) -> Steps[tuple[bytes, bytes] | None]:
    """Change a document, waiting for transactions: its bytes before and after, None if it matches no more."""
    rid, raw, document = match
    while True:
        if paused:
            anew = found.still_matches(rid)
            if anew is None:
                return None
            raw, document = anew
        outcome = replace(rid, raw, document if document is not None else decode(raw))
        if isinstance(outcome, bytes):
            return raw, outcome
        yield outcome.finished
        paused = True


def _upsert(context: Context, found: Search, compiled: Update) -> Steps[Document]:
    writer = Writer(context.view, context.store.catalog, found.collection)
    return (yield from writer.insert(encode(budget.computing(compiled.for_upsert)(found.tree))))


def _same_key(found: Search, error: DuplicateKey) -> bool:
    """Was the duplicate one that the filter asks for, so that somebody else upserted it just now?"""
    wanted = equalities(found.tree)
    value = error.details["keyValue"]
    flat = {path: wanted.get(path, None) for path in value}
    return keys.encode(flat) == keys.encode(value) and any(
        True for match in found.found() if match is not None
    )


@command("delete", transactions=True)
def delete(context: Context) -> Steps[Answer]:
    """Delete documents."""
    deleted, failures, clock = 0, [], Clock()
    for number, statement in enumerate(context.statements("deletes")):
        if clock.over():
            yield None
        try:
            deleted += yield from _run_delete(context, statement)
        except CommandError as error:
            failures.append(_failure(context, error, number))
            if _ordered(context):
                break
    return _with_failures({"n": deleted}, failures)


def _run_delete(context: Context, statement: Mapping[str, Any]) -> Steps[int]:
    refuse_collation(statement)
    collection = context.collection()
    if collection is None:
        return 0
    found = search(
        context.view,
        collection,
        statement.get("q"),
        hint=statement.get("hint"),
        variables=context.variables(),
    )
    writer = Writer(context.view, context.store.catalog, collection)
    deleted, paused = 0, False
    for match in found.first() if statement.get("limit") else found.found():
        if match is None:
            paused = True
            yield None
            continue
        outcome = yield from _apply(found, match, _deleting(writer), paused)
        deleted += outcome is not None
    return deleted


def _deleting(writer: Writer) -> Replace:
    return lambda rid, raw, document: writer.delete(rid, raw) or b""


@command("findAndModify", "findandmodify", transactions=True)
def find_and_modify(context: Context) -> Steps[Answer]:
    """Change or delete the first matching document, and give it before or after that."""
    body = context.body
    remove, upsert = _check_modification(body), bool(body.get("upsert"))
    compiled = None if remove else compile_statement(body, "update")
    collection = _writable(context, upsert)
    if collection is None:
        search_free(body.get("query"))
        return _modified(context, None, None, remove)
    for _ in range(_UPSERT_ATTEMPTS):
        found = search(
            context.view, collection, body.get("query"), body.get("sort"), body.get("hint"),
            context.variables(),
        )  # fmt: skip
        outcome = yield from _modify_first(context, found, compiled)
        if outcome is not None or compiled is None or not upsert:
            return _modified(context, found, outcome, remove)
        try:
            document = yield from _upsert(context, found, compiled)
        except DuplicateKey as error:
            if not _same_key(found, error):
                raise
            continue
        return _upserted(context, found, document)
    raise CommandError(Code.WriteConflict, "an upsert met too many concurrent ones")


def _check_modification(body: Mapping[str, Any]) -> bool:
    """Whether a findAndModify is to remove.

    Raises CommandError when its options contradict each other.
    """
    refuse_collation(body)
    if not body.get("remove"):
        if "update" not in body:
            raise CommandError(Code.FailedToParse, "Either an update or remove=true must be specified")
        return False
    if "update" in body or body.get("new") or body.get("upsert"):
        text = "Cannot specify both an update and remove=true, nor new or upsert with it"
        raise CommandError(Code.FailedToParse, text)
    return True


def _modify_first(
    context: Context, found: Search, compiled: Update | None
) -> Steps[tuple[bytes, bytes] | None]:
    writer = Writer(context.view, context.store.catalog, found.collection)
    if compiled is None:
        replace = _deleting(writer)
    else:
        change = Change(compiled, found.tree, found.collection)

        def replace(rid: int, raw: bytes, document: Document) -> Holder | bytes:
            return writer.replace(rid, raw, document, change)

    while True:
        paused, match = False, None
        for match in found.first():
            if match is None:
                paused = True
                yield None
        if match is None:
            return None
        outcome = yield from _apply(found, match, replace, paused)
        if outcome is not None:
            return outcome


def _modified(
    context: Context, found: Search | None, outcome: tuple[bytes, bytes] | None, remove: bool
) -> Answer:
    last: dict[str, Any] = {"n": 0 if outcome is None else 1}
    if not remove:
        last["updatedExisting"] = outcome is not None
    raw = None
    if outcome is not None and found is not None:
        raw = _shown(context, found, outcome[1] if context.body.get("new") else outcome[0])
    return document_reply("value", raw, {"lastErrorObject": last, "ok": 1.0})


def _upserted(context: Context, found: Search, document: Document) -> Answer:
    last = {"n": 1, "updatedExisting": False, "upserted": document["_id"]}
    raw = _shown(context, found, encode(document)) if context.body.get("new") else None
    return document_reply("value", raw, {"lastErrorObject": last, "ok": 1.0})


def _shown(context: Context, found: Search, raw: bytes) -> bytes:
    fields = context.body.get("fields")
    if not fields:
        return raw
    return encode(compile_projection(fields, found.tree)(decode(raw), {}))
