"""Errors as MongoDB numbers them.

    CommandError            answered to the client as {ok: 0, code, codeName, errmsg}
    ├── DuplicateKey        11000, with keyPattern and keyValue
    ├── WriteConflict       112, labelled TransientTransactionError
    └── NotSupported        238, something this store does not do
    DataDirectoryError      the store cannot start on this directory

The numbers are those of MongoDB's `src/mongo/base/error_codes.yml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

TRANSIENT = "TransientTransactionError"


class Code(IntEnum):
    """MongoDB's error numbers; the member's name is the answer's `codeName`."""

    InternalError = 1
    BadValue = 2
    NoSuchKey = 4
    GraphContainsCycle = 5
    UnknownError = 8
    FailedToParse = 9
    Unauthorized = 13
    TypeMismatch = 14
    Overflow = 15
    InvalidLength = 16
    ProtocolError = 17
    AuthenticationFailed = 18
    IllegalOperation = 20
    InvalidBSON = 22
    AlreadyInitialized = 23
    NamespaceNotFound = 26
    IndexNotFound = 27
    PathNotViable = 28
    ConflictingUpdateOperators = 40
    CursorNotFound = 43
    NamespaceExists = 48
    MaxTimeMSExpired = 50
    DollarPrefixedFieldName = 52
    EmptyFieldName = 56
    CommandNotFound = 59
    ImmutableField = 66
    CannotCreateIndex = 67
    InvalidOptions = 72
    InvalidNamespace = 73
    IndexOptionsConflict = 85
    IndexKeySpecsConflict = 86
    OperationFailed = 96
    ConflictingOperationInProgress = 117
    WriteConflict = 112
    DocumentValidationFailure = 121
    CommandNotSupportedOnView = 166
    OptionNotSupportedOnView = 167
    InvalidPipelineOperator = 168
    CannotIndexParallelArrays = 171
    InvalidIndexSpecificationOption = 197
    QueryPlanKilled = 175
    NotYetInitialized = 94
    NotImplemented = 238
    ConversionFailure = 241
    NoSuchTransaction = 251
    TransactionCommitted = 256
    TransactionTooLarge = 257
    OperationNotSupportedInTransaction = 263
    NoQueryExecutionPlans = 291
    QueryExceededMemoryLimitNoDiskUseAllowed = 292
    ClientDisconnect = 279
    InterruptedAtShutdown = 11600
    SnapshotUnavailable = 246
    TransactionTooOld = 225
    IndexBuildAborted = 276
    UserNotFound = 11
    FieldPathInvalid = 40353
    DuplicateKey = 11000
    BSONObjectTooLarge = 10334
    OutOfDiskSpace = 14031
    Location4568 = 4568
    Location13113 = 13113
    Location15952 = 15952
    Location15955 = 15955
    Location15957 = 15957
    Location15975 = 15975
    Location15983 = 15983
    Location16006 = 16006
    Location16007 = 16007
    Location16020 = 16020
    Location16610 = 16610
    Location16612 = 16612
    Location16702 = 16702
    Location17124 = 17124
    Location17217 = 17217
    Location17276 = 17276
    Location17419 = 17419
    Location18536 = 18536
    Location28656 = 28656
    Location28690 = 28690
    Location28691 = 28691
    Location28724 = 28724
    Location28729 = 28729
    Location28758 = 28758
    Location28764 = 28764
    Location28766 = 28766
    Location28818 = 28818
    Location31002 = 31002
    Location31249 = 31249
    Location31250 = 31250
    Location31252 = 31252
    Location31254 = 31254
    Location31274 = 31274
    Location31275 = 31275
    Location31393 = 31393
    Location34449 = 34449
    Location34455 = 34455
    Location40066 = 40066
    Location40081 = 40081
    Location40087 = 40087
    Location40156 = 40156
    Location40194 = 40194
    Location40198 = 40198
    Location40228 = 40228
    Location40229 = 40229
    Location40234 = 40234
    Location40235 = 40235
    Location40323 = 40323
    Location40324 = 40324
    Location40390 = 40390
    Location40392 = 40392
    Location40400 = 40400
    Location40485 = 40485
    Location40515 = 40515
    Location40571 = 40571
    Location40573 = 40573
    Location40601 = 40601
    Location50752 = 50752
    Location51003 = 51003
    Location51047 = 51047
    Location51091 = 51091
    Location51105 = 51105
    Location51132 = 51132
    Location51183 = 51183
    Location51246 = 51246
    Location51270 = 51270
    Location51276 = 51276
    Location4161105 = 4161105
    Location5166406 = 5166406
    Location5339900 = 5339900
    Location5439015 = 5439015
    Location5439017 = 5439017
    Location5654600 = 5654600
    Location5654602 = 5654602
    Location5787908 = 5787908
    Location5858203 = 5858203


class CommandError(Exception):
    """A command, or one statement of it, failed; the text is for the client's user."""

    def __init__(self, code: Code, text: str, labels: tuple[str, ...] = (), **details: Any) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.labels = labels
        self.details = details

    def reply(self) -> dict[str, Any]:
        """The command's answer."""
        answer: dict[str, Any] = {"ok": 0.0, "errmsg": self.text, "code": int(self.code)}
        answer |= {"codeName": self.code.name, **self.details}
        if self.labels:
            answer["errorLabels"] = list(self.labels)
        return answer

    def write_error(self, index: int) -> dict[str, Any]:
        """The entry of a write command's `writeErrors`."""
        return {"index": index, "code": int(self.code), "errmsg": self.text, **self.details}


class DuplicateKey(CommandError):
    """Another document has this key in a unique index."""

    def __init__(
        self, namespace: str, index: str, pattern: Mapping[str, Any], value: Mapping[str, Any]
    ) -> None:
        shown = ", ".join(f"{name}: {_shown(v)}" for name, v in value.items())
        text = f"E11000 duplicate key error collection: {namespace} index: {index} dup key: {{ {shown} }}"
        super().__init__(Code.DuplicateKey, text, keyPattern=dict(pattern), keyValue=dict(value))


class WriteConflict(CommandError):
    """Another transaction changed, or is changing, the document."""

    def __init__(self, text: str = "") -> None:
        text = text or (
            "Caused by :: Write conflict during plan execution and yielding is disabled. "
            ":: Please retry your operation or multi-document transaction."
        )
        super().__init__(Code.WriteConflict, text, labels=(TRANSIENT,))


class NotSupported(CommandError):
    """The embedded store does not do this; MongoDB does."""

    def __init__(self, what: str) -> None:
        super().__init__(Code.NotImplemented, f"{what} is not supported by the embedded store")


class DataDirectoryError(Exception):
    """The data directory cannot be used."""


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return "null" if value is None else str(value)
