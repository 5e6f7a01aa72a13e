"""What a job worker that is a child of the service is told, as one line of JSON."""

from __future__ import annotations

from pydantic import BaseModel

from service.settings import Settings


class WorkerLaunch(BaseModel):
    """executor: the worker's name for DBOS and for its lease."""

    settings: Settings
    executor: str
