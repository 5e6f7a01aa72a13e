"""The tables of jobs beside those of DBOS: all that clients see. Times are seconds since 1970."""

from __future__ import annotations

import sqlalchemy as sa

METADATA = sa.MetaData()

JOBS = sa.Table(
    "jobs",
    METADATA,
    # Rises with the time of creation, so that it orders lists.
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("request_id", sa.Text),
    sa.Column("body_digest", sa.Text, nullable=False),
    # actionlens.v1.JobPriority and JobState.
    sa.Column("band", sa.Integer, nullable=False),
    sa.Column("state", sa.Integer, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    # The CreateJobRequest without its clips, its seed drawn.
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("total", sa.Integer, nullable=False),
    # Clips by state; they move in the transaction that moves the clip.
    sa.Column("queued", sa.Integer, nullable=False),
    sa.Column("running", sa.Integer, nullable=False, default=0),
    sa.Column("succeeded", sa.Integer, nullable=False, default=0),
    sa.Column("failed", sa.Integer, nullable=False, default=0),
    sa.Column("cancelled", sa.Integer, nullable=False, default=0),
    # Of its artefacts.
    sa.Column("bytes", sa.BigInteger, nullable=False, default=0),
    sa.Column("created", sa.Float(53), nullable=False),
    sa.Column("started", sa.Float(53)),
    sa.Column("ended", sa.Float(53)),
    sa.Column("cancelling", sa.Boolean, nullable=False, default=False),
    # Uploads and results have been removed: too old.
    sa.Column("expired", sa.Boolean, nullable=False, default=False),
    # Somebody wants partial results until then.
    sa.Column("watched", sa.Float(53), nullable=False, default=0.0),
    sa.Index("jobs_request", "tenant", "request_id", unique=True),
    sa.Index("jobs_state", "state", "band"),
    sa.Index("jobs_ended", "expired", "ended"),
)

CLIPS = sa.Table(
    "clips",
    METADATA,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    # Its index in the request.
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    # The artefact of an upload, or a file below the input root; neither: in UPLOADS.
    sa.Column("upload", sa.Text),
    sa.Column("path", sa.Text),
    # actionlens.v1.ClipState.
    sa.Column("state", sa.Integer, nullable=False),
    # Counts RetryJob: an earlier attempt that is still at work changes nothing any more.
    sa.Column("attempt", sa.Integer, nullable=False, default=1),
    # DBOS has it in a queue, or had.
    sa.Column("handed", sa.Boolean, nullable=False, default=False),
    # Starts of the block now in work; more than one after crashes.
    sa.Column("tries", sa.Integer, nullable=False, default=0),
    sa.Column("failure", sa.LargeBinary),
    sa.Column("iteration", sa.Integer, nullable=False, default=0),
    sa.Column("iterations", sa.Integer, nullable=False, default=0),
    sa.Column("remaining", sa.Float(53)),
    sa.Column("objective", sa.Float(53)),
    sa.Column("seconds", sa.Float(53), nullable=False, default=0.0),
    # Names of artefacts: the explanation so far, and the answer.
    sa.Column("partial", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("result_bytes", sa.BigInteger, nullable=False, default=0),
    sa.Index("clips_state", "job", "state", "handed", "place"),
)

# Small uploads: accepting them takes one write to the disk, that of the transaction.
UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("clip", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["job", "place"], ["clips.job", "clips.place"], ondelete="CASCADE"),
)

# What is known of clips, actionlens.v1.GroundTruth.
TRUTHS = sa.Table(
    "truths",
    METADATA,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("truth", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["job", "place"], ["clips.job", "clips.place"], ondelete="CASCADE"),
)

# The objective that is optimised, after each block.
OBJECTIVES = sa.Table(
    "objectives",
    METADATA,
    sa.Column("job", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("iteration", sa.Integer, primary_key=True),
    sa.Column("value", sa.Float(53), nullable=False),
    sa.ForeignKeyConstraint(["job", "place"], ["clips.job", "clips.place"], ondelete="CASCADE"),
)

# Job workers and when each last reported that it lives.
WORKERS = sa.Table(
    "workers",
    METADATA,
    sa.Column("executor", sa.Text, primary_key=True),
    sa.Column("beat", sa.Float(53), nullable=False),
)

BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 60.0, 1e9)
"""Upper bounds of the histogram of block lengths in seconds; the last one takes all."""

# How many blocks took at most `bound` seconds and longer than the bound before. All rows are there from the start.
BLOCKS = sa.Table(
    "blocks",
    METADATA,
    sa.Column("bound", sa.Float(53), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False, default=0),
    sa.Column("seconds", sa.Float(53), nullable=False, default=0.0),
)
