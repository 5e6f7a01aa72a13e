"""How the service launches a job worker as its child: one line of JSON on standard input."""

from __future__ import annotations

from pydantic import BaseModel

from service.settings import Settings


class WorkerLaunch(BaseModel):
    """executor: the worker's name for DBOS and for its lease."""

    settings: Settings
    executor: str
