"""The processes and folders of a TorchServe, found from outside: by the operating system alone."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from tests.waiting import eventually


def family(root: int | None = None) -> list[psutil.Process]:
    """Guards, javas and workers below a process (this one by default), not the workers' launchers and fork server."""
    return [process for process in psutil.Process(root).children(recursive=True) if _role(process)]


def having(role: str) -> list[psutil.Process]:
    """Those of this process's family that are a "guard", "java" or "worker"."""
    return [process for process in family() if _role(process) == role]


def folders(root: int | None = None) -> set[Path]:
    """Work folders of a process (this one by default)."""
    return set(Path("/tmp").glob(f"actionlens-{root or os.getpid()}-*"))


async def all_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them runs."""
    await eventually(lambda: not any(_runs(process) for process in processes))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _role(process: psutil.Process) -> str:
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    if "child_guard.py" in line:
        return "guard"
    if "org.pytorch.serve.ModelServer" in line:
        return "java"
    if "worker_launcher" in line or line.startswith("/bin/sh"):
        return ""
    return "worker" if "model_service_worker" in line else ""
