"""The database of jobs: one SQLite file, or PostgreSQL by URL. DBOS keeps its tables in the same place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from dbos import DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from service.errors import InvalidArgument, Unavailable
from service.jobs.store.database_failures import first_line
from service.jobs.store.sqlite_file import identity
from service.jobs.store.tables import BLOCKS, BOUNDS, METADATA
from service.settings import Settings

APPLICATION = "actionlens"
"""The owner of our rows in the tables of DBOS."""

_CREATION = 0x4163_4C6E
_POOL = 20
_WAIT_SECONDS = 30.0
_FROZEN_SECONDS = 10.0


class Database:
    """Connections to our tables, and DBOS's client for putting clips into its queues."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        self._path = Path(engine.url.database or "") if self.sqlite else None
        self._identity = identity(self._path) if self._path else None
        self.dbos = "" if self.sqlite else "dbos."
        """The prefix of the names of DBOS's tables."""
        self.client = DBOSClient(
            system_database_engine=engine,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            retry_connection_errors=False,
            lazy=True,
        )

    @classmethod
    def open(cls, settings: Settings, *, create: bool = True) -> Database:
        """Connect and bring all tables to this release's form. create: a SQLite file that is not there is made, else
        missed: by who knows that there was one. Raises InvalidArgument as `database_url` does, and Unavailable, naming
        the setting."""
        url = database_url(settings)
        if not create and url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise _gone(Path(url.database or ""))
        engine = None
        try:
            engine = _engine(url)
            database = cls(engine)
            # Not DBOS.migrate, nor `dbos migrate`: both bring LISTEN and NOTIFY, which we do without, and which cannot
            # be brought to a database later: migration 20 fails on one that was made without. DBOS.launch can do
            # without, but would make a worker of the service.
            database.client._sys_db.run_migrations()
            with database.writing() as connection:
                database._create(connection)
            database._identity = identity(database._path) if database._path else None
        except (SQLAlchemyError, OSError, ImportError) as error:
            if engine is not None:
                engine.dispose()
            # A password may also stand behind the question mark.
            shown = url.set(query={}).render_as_string(hide_password=True)
            raise Unavailable(
                "the database of jobs cannot be opened; ACTIONLENS_JOBS_DB names another, ACTIONLENS_DATA another "
                "folder for the default one",
                reason="JOB_DATABASE_UNAVAILABLE",
                detail=f"{shown}: {first_line(error)}",
            ) from error
        return database

    def _create(self, connection: sa.Connection) -> None:
        if not self.sqlite:
            # Several workers may start at once; on SQLite the transaction itself is the lock.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION)))
        METADATA.create_all(connection)
        there = set(connection.scalars(sa.select(BLOCKS.c.bound)))
        missing = [{"bound": bound} for bound in BOUNDS if bound not in there]
        if missing:
            connection.execute(sa.insert(BLOCKS), missing)

    def check_there(self) -> None:
        """Raises Unavailable when the SQLite file is no longer the one that was opened. Whoever has that open could go
        on as before, and would lose all that it writes."""
        if self._path is not None and identity(self._path) != self._identity:
            raise _gone(self._path)

    def probe(self) -> None:
        """Raises as `check_there`, Unavailable when the database takes no changes, and what SQLAlchemy raises when it
        does not answer."""
        self.check_there()
        with self.writing() as connection:
            if not self.sqlite and connection.scalar(sa.text("SHOW transaction_read_only")) == "on":
                why = "the job database takes no changes: it is a standby, or read-only"
                raise Unavailable(why, reason="JOB_DATABASE_UNAVAILABLE")

    def close(self) -> None:
        """Give the connections back."""
        self.client.destroy()
        self.engine.dispose()

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that reads and writes. On SQLite it holds the one write lock from its start."""
        with self.engine.begin() as connection:
            if self.sqlite:
                # The driver would begin at the first write only, and rows that were read before could be stale by then.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A consistent view."""
        with self.engine.begin() as connection:
            if self.sqlite:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def now(self, connection: sa.Connection) -> float:
        """Seconds since 1970 on the one clock that all workers share."""
        if self.sqlite:
            return time.time()
        return float(connection.scalar(sa.text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def database_url(settings: Settings) -> sa.URL:
    """Where the database is. Raises InvalidArgument for what is no URL of one, and shows nothing of it: where in it a
    password begins is unknown."""
    given = settings.jobs.db
    if "://" not in given:
        return sa.URL.create("sqlite", database=str(Path(given) if given else settings.data / "jobs.sqlite"))
    try:
        url = sa.make_url(given)
    except (ArgumentError, ValueError):
        raise _no_database(
            "cannot be read as a URL; in names and passwords %40 stands for @, %3A for : and %2F for /"
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise _no_database(f"{url.drivername} is no database that jobs can be kept in")
    return url


def _no_database(why: str) -> InvalidArgument:
    return InvalidArgument(
        f"ACTIONLENS_JOBS_DB: {why}; set postgresql://USER:PASSWORD@HOST:PORT/NAME or the path of a SQLite file",
        reason="BAD_JOB_DATABASE",
    )


def _gone(path: Path) -> Unavailable:
    return Unavailable(
        "the database of jobs is gone, or another file has its name; bring it back (`actionlens jobs restore FILE`), "
        "or start the service again for an empty one",
        reason="JOB_DATABASE_GONE",
        detail=str(path),
    )


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        # The server ends the transaction of a worker that is frozen in the middle of one, and with it its locks.
        options = f"-c idle_in_transaction_session_timeout={_FROZEN_SECONDS * 1000:.0f}"
        arguments = {"connect_timeout": 5, "options": options}
        return sa.create_engine(url, pool_size=_POOL, pool_pre_ping=True, connect_args=arguments)
    Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(
        url,
        pool_size=_POOL,
        poolclass=sa.QueuePool,
        paramstyle="named",  # so that parameters have names with both drivers
        connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False},
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # As DBOS sets up connections of its own, and besides: readers do not wait for writers (WAL), and a commit
        # survives a power cut (FULL).
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            f"busy_timeout={_WAIT_SECONDS * 1000:.0f}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    return engine
