"""Keeps track of the job workers that live. The clips of one that does not are put back into their queues."""

from __future__ import annotations

import sqlalchemy as sa

from service.jobs.store.database import APPLICATION, Database
from service.jobs.store.tables import WORKERS

BEATS = 5
"""How many times a worker reports that it lives within the time after which it counts as dead."""


class Lease:
    """One worker's, by the name that DBOS knows it by.

    A worker that is frozen for longer than `seconds` loses its clips like one that died; whatever it does when it
    wakes, DBOS and our own rows refuse, and its next beat reports it.
    """

    def __init__(self, database: Database, executor: str, seconds: float) -> None:
        self._database = database
        self._executor = executor
        self._seconds = seconds

    def begin(self) -> None:
        """Report for the first time that this worker lives."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.executor == self._executor))
            connection.execute(sa.insert(WORKERS).values(executor=self._executor, beat=now))

    def beat(self) -> bool:
        """Report it again, and put back the clips of dead workers. False when this worker itself was taken for dead."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            mine = sa.update(WORKERS).where(WORKERS.c.executor == self._executor).values(beat=now)
            if not connection.execute(mine).rowcount:
                return False
            connection.execute(sa.delete(WORKERS).where(WORKERS.c.beat < now - self._seconds))
            self._put_back(connection)
        return True

    def _put_back(self, connection: sa.Connection) -> None:
        # As DBOS's own recovery does, for all dead workers at once and whatever release they were: without an owner
        # a workflow begins again from its recorded steps, and its earlier execution can record nothing more.
        #
        # The one statement on DBOS's tables, since no public call can be in its place. resume_workflows and
        # cancel_workflows take a workflow from whoever has it: with a list that was read before another worker put the
        # clip back and a third one began it, from that one. They know no owner, and within our transaction, which holds
        # SQLite's one write lock, they would wait forever. And resume_workflows leaves the dead worker's version, which
        # keeps workers of another from the clip; rewind_workflow sets one, but of ended workflows only.
        connection.execute(
            sa.text(
                f"UPDATE {self._database.dbos}workflow_status SET status = 'ENQUEUED', owner_xid = NULL, "
                "application_version = NULL, started_at_epoch_ms = NULL "
                "WHERE status = 'PENDING' AND application_name = :application "
                "AND executor_id NOT IN (SELECT executor FROM workers)"
            ),
            {"application": APPLICATION},
        )


def give_up(database: Database, executor: str) -> None:
    """A worker has ended: others need not wait for its lease to run out."""
    with database.writing() as connection:
        connection.execute(sa.delete(WORKERS).where(WORKERS.c.executor == executor))
