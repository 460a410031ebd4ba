"""Aggregation expressions, compiled to functions of a document and the variables."""

from __future__ import annotations

from server.embedded.documents.values import truthy
from server.embedded.expressions import arrays, core, dates, logic, numbers, objects, text, types  # noqa: F401
from server.embedded.expressions.core import Expression, Variables, compile_condition, compile_expression

__all__ = [
    "Expression", "Variables", "compile_condition", "compile_expression", "core", "numbers", "truthy",
]
