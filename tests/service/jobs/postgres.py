"""A PostgreSQL server of the tests' own."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from pathlib import Path

import sqlalchemy as sa

from tests.conftest import absent
from tests.waiting import PATIENCE


class Postgres:
    """Stopped and started by the tests. Runs as user postgres where this process is root, which the server refuses."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
            Path(path).parent for path in [shutil.which("postgres")] if path
        ]
        if not found:
            absent("PostgreSQL", "apt-get install postgresql")
        self._bin = found[-1]
        self._data = folder / "data"
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user and self._user not in {entry.pw_name for entry in pwd.getpwall()}:
            absent("the user postgres, as whom root has PostgreSQL run,", "apt-get install postgresql")
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self._port = int(held.getsockname()[1])
        if self._user:
            shutil.chown(folder, self._user)
        self._call(
            "initdb", "-D", str(self._data), "-U", "test", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"
        )
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://test@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        log = str(self._data / "log")
        self._call("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def empty(self) -> None:
        """Drop all tables."""
        engine = sa.create_engine(self.url.replace("postgresql", "postgresql+psycopg"))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA IF EXISTS dbos CASCADE"))
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            user=self._user,
            cwd=self._data.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
