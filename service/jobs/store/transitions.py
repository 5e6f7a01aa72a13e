"""Every change of a clip's or a job's state: one function, one transaction each, safe to call twice.

A clip moves only from the state that it must be in, and for the attempt that the caller works on; the counts of its
job move with it. So a worker that was thought dead and comes back changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa

from actionlens.v1 import explanation_pb2, job_pb2
from service.jobs.store.database import Database
from service.jobs.store.queue import Line, hand_over
from service.jobs.store.tables import BLOCKS, BOUNDS, CLIPS, JOBS, OBJECTIVES

_COUNTERS: dict[int, str] = {
    job_pb2.CLIP_STATE_QUEUED: "queued",
    job_pb2.CLIP_STATE_RUNNING: "running",
    job_pb2.CLIP_STATE_SUCCEEDED: "succeeded",
    job_pb2.CLIP_STATE_FAILED: "failed",
    job_pb2.CLIP_STATE_CANCELLED: "cancelled",
}


@dataclass(frozen=True, slots=True)
class ClipKey:
    """One clip of a job in one of its attempts."""

    job: str
    clip_index: int
    attempt: int

    def row(self, state: int) -> sa.ColumnElement[bool]:
        """The clip's row while it is in this attempt and state."""
        return sa.and_(
            CLIPS.c.job == self.job,
            CLIPS.c.place == self.clip_index,
            CLIPS.c.attempt == self.attempt,
            CLIPS.c.state == state,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """All that a block must know before it begins. tries: starts of this block so far, one that begins with it."""

    tries: int
    cancelling: bool
    watched: bool


@dataclass(frozen=True, slots=True)
class Advance:
    """How far a block has come."""

    iteration: int
    iterations: int
    objective: float | None
    seconds: float
    """Of computing."""
    pace: float
    """Seconds that pass for each of computing, at least 1: a clip also waits for its slot and for live answers."""
    partial: str | None
    """Name of the artefact of the explanation so far; None: not asked for."""


def begin(database: Database, clip: ClipKey) -> bool:
    """A worker takes the clip. False when it is not to be computed any more."""
    with database.writing() as connection:
        if not _move(connection, clip, job_pb2.CLIP_STATE_QUEUED, job_pb2.CLIP_STATE_RUNNING):
            # Begun already, by an execution of the same attempt that died right after?
            running = sa.exists().where(clip.row(job_pb2.CLIP_STATE_RUNNING))
            return bool(connection.scalar(sa.select(running)))
        job = connection.execute(
            sa.update(JOBS)
            .where(JOBS.c.id == clip.job)
            .values(state=job_pb2.JOB_STATE_RUNNING, started=sa.func.coalesce(JOBS.c.started, time.time()))
            .returning(JOBS.c.band, JOBS.c.tenant)
        ).one()
        hand_over(database, connection, Line(clip.job, job.band, job.tenant), 1)
    return True


def enter(database: Database, clip: ClipKey, *, begins: bool = True) -> Entry | None:
    """A block of the clip is about to be computed; unless it begins, its start does not count. None when the clip is
    no longer this attempt's."""
    with database.writing() as connection:
        tries = connection.scalar(
            sa.update(CLIPS)
            .where(clip.row(job_pb2.CLIP_STATE_RUNNING))
            .values(tries=CLIPS.c.tries + int(begins))
            .returning(CLIPS.c.tries)
        )
        if tries is None:
            return None
        job = connection.execute(sa.select(JOBS.c.cancelling, JOBS.c.watched).where(JOBS.c.id == clip.job)).one()
    return Entry(tries, job.cancelling, job.watched > time.time())


def given_up(database: Database, clip: ClipKey) -> bool:
    """Whether no further block of the clip is wanted: its job is being cancelled, or it is no longer this attempt's."""
    with database.reading() as connection:
        wanted = sa.select(JOBS.c.cancelling).join(CLIPS, CLIPS.c.job == JOBS.c.id)
        return connection.scalar(wanted.where(clip.row(job_pb2.CLIP_STATE_RUNNING))) is not False


def leave(database: Database, clip: ClipKey) -> None:
    """The block could not be computed for a reason that the clip has no part in: its start does not count."""
    with database.writing() as connection:
        connection.execute(
            sa.update(CLIPS)
            .where(clip.row(job_pb2.CLIP_STATE_RUNNING), CLIPS.c.tries > 0)
            .values(tries=CLIPS.c.tries - 1)
        )


def advance(database: Database, clip: ClipKey, done: Advance) -> None:
    """A block has been computed and its state stored."""
    with database.writing() as connection:
        row = connection.execute(
            sa.update(CLIPS)
            # Also back to an earlier iteration: after a crash, a repeated block may get less far.
            .where(clip.row(job_pb2.CLIP_STATE_RUNNING))
            .values(
                tries=0,
                iteration=done.iteration,
                iterations=done.iterations,
                objective=done.objective,
                seconds=CLIPS.c.seconds + done.seconds,
                **({"partial": done.partial} if done.partial else {}),
            )
            .returning(CLIPS.c.seconds)
        ).one_or_none()
        if row is None:
            return
        left = done.pace * row.seconds / max(done.iteration, 1) * (done.iterations - done.iteration)
        connection.execute(sa.update(CLIPS).where(clip.row(job_pb2.CLIP_STATE_RUNNING)).values(remaining=left))
        if done.objective is not None:
            key = (clip.job, clip.clip_index, done.iteration)
            point = [column == value for column, value in zip(OBJECTIVES.primary_key, key, strict=True)]
            connection.execute(sa.delete(OBJECTIVES).where(*point))
            connection.execute(
                sa.insert(OBJECTIVES).values(job=key[0], place=key[1], iteration=key[2], value=done.objective)
            )
        _count_block(connection, done.seconds)


def finish(
    database: Database,
    clip: ClipKey,
    state: int,
    *,
    failure: explanation_pb2.Failure | None = None,
    result: str | None = None,
    size: int = 0,
) -> bool:
    """The clip ends. result: name of its artefact, of `size` bytes. False when it had ended, or is no longer ours."""
    with database.writing() as connection:
        if not _move(connection, clip, job_pb2.CLIP_STATE_RUNNING, state):
            return False
        connection.execute(
            sa.update(CLIPS)
            .where(clip.row(state))
            .values(
                failure=failure.SerializeToString() if failure is not None else None,
                result=result,
                result_bytes=size,
                partial=None,
                remaining=None,
                tries=0,
            )
        )
        connection.execute(sa.update(JOBS).where(JOBS.c.id == clip.job).values(bytes=JOBS.c.bytes + size))
        end_job(connection, clip.job)
    return True


def abandon(database: Database, clip: ClipKey, failure: explanation_pb2.Failure) -> None:
    """The clip can be neither computed nor ended as it should: it fails. One that could not even be begun fails with
    all of its job that wait, since nothing but their job is looked at by then."""
    with database.writing() as connection:
        said = failure.SerializeToString()
        if _move(connection, clip, job_pb2.CLIP_STATE_RUNNING, job_pb2.CLIP_STATE_FAILED):
            values = {"failure": said, "partial": None, "remaining": None, "tries": 0}
            connection.execute(sa.update(CLIPS).where(clip.row(job_pb2.CLIP_STATE_FAILED)).values(values))
        elif connection.scalar(sa.select(sa.exists().where(clip.row(job_pb2.CLIP_STATE_QUEUED)))):
            move_all(connection, clip.job, (job_pb2.CLIP_STATE_QUEUED,), job_pb2.CLIP_STATE_FAILED, failure=said)
        else:
            return
        end_job(connection, clip.job)


def end_job(connection: sa.Connection, job: str) -> None:
    """Give a job its last state when none of its clips is left to be computed."""
    row = connection.execute(sa.select(JOBS).where(JOBS.c.id == job)).one()
    if row.queued or row.running:
        return
    if row.cancelled:
        state = job_pb2.JOB_STATE_CANCELLED
    elif row.succeeded == row.total:
        state = job_pb2.JOB_STATE_SUCCEEDED
    else:
        state = job_pb2.JOB_STATE_PARTIAL if row.succeeded else job_pb2.JOB_STATE_FAILED
    connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values(state=state, ended=time.time(), cancelling=False))


def move_all(connection: sa.Connection, job: str, before: tuple[int, ...], after: int, **values: object) -> int:
    """Move all clips of a job that are in one of the states `before`. Returns how many."""
    moved = 0
    for state in before:
        count = connection.execute(
            sa.update(CLIPS).where(CLIPS.c.job == job, CLIPS.c.state == state).values(state=after, **values)
        ).rowcount
        _recount(connection, job, state, after, count)
        moved += count
    return moved


def _move(connection: sa.Connection, clip: ClipKey, before: int, after: int) -> bool:
    count = connection.execute(sa.update(CLIPS).where(clip.row(before)).values(state=after)).rowcount
    _recount(connection, clip.job, before, after, count)
    return count == 1


def _recount(connection: sa.Connection, job: str, before: int, after: int, count: int) -> None:
    if count:
        old, new = JOBS.c[_COUNTERS[before]], JOBS.c[_COUNTERS[after]]
        connection.execute(sa.update(JOBS).where(JOBS.c.id == job).values({old: old - count, new: new + count}))


def _count_block(connection: sa.Connection, seconds: float) -> None:
    bound = next(bound for bound in BOUNDS if seconds <= bound)
    connection.execute(
        sa.update(BLOCKS)
        .where(BLOCKS.c.bound == bound)
        .values(count=BLOCKS.c.count + 1, seconds=BLOCKS.c.seconds + seconds)
    )
