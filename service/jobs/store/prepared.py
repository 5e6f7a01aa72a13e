"""Statements of the hot path, compiled once: SQLAlchemy's work for each call takes longer than the database's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa


class Prepared:
    """A statement of which every parameter is given, by name, whenever it runs: an insert's are all columns.

    Values go to the driver, and rows come from it, as they are: for numbers, texts, bytes and truth values only.
    """

    def __init__(self, statement: sa.ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, str] = {}

    def run(
        self, connection: sa.Connection, given: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> sa.CursorResult[Any]:
        """Execute it within the caller's transaction; with several sets of parameters once for each."""
        dialect = connection.dialect
        text = self._texts.get(dialect.name)
        if text is None:
            text = self._texts[dialect.name] = str(self._statement.compile(dialect=dialect))
        return connection.exec_driver_sql(text, given)
