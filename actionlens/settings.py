"""What can be configured: the fields of Settings, each also an environment variable ACTIONLENS_*."""

from service.settings import (
    BackendName,
    JobSettings,
    Limits,
    LogFormat,
    Precision,
    Settings,
    Slots,
    StreamSettings,
    Traces,
)

__all__ = [
    "BackendName",
    "JobSettings",
    "Limits",
    "LogFormat",
    "Precision",
    "Settings",
    "Slots",
    "StreamSettings",
    "Traces",
]
