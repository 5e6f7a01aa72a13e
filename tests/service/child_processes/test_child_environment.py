"""What computes knows no secrets of the service."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from service.child_processes.child_environment import child_environment

SECRETS = {
    "ACTIONLENS_JOBS_DB": "postgresql://user:secret@host/jobs",
    "ACTIONLENS_JOBS__DB": "postgresql://user:secret@host/jobs",
    "DBOS_SYSTEM_DATABASE_URL": "secret",
    "PGPASSWORD": "secret",
    "AWS_ACCESS_KEY_ID": "secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "secret",
    "GOOGLE_APPLICATION_CREDENTIALS": "secret",
    "HF_TOKEN": "secret",
    "PIP_INDEX_URL": "https://user:secret@index",
    "HTTPS_PROXY": "http://user:secret@proxy",
    "JAVA_TOOL_OPTIONS": "-Dkey=secret",
}


def test_a_child_sees_what_it_needs_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    seen = subprocess.run(
        [sys.executable, "-c", "import os; print(*os.environ, sep='\\n')"],
        env=child_environment(PYTHONPATH="/somewhere"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not SECRETS.keys() & set(seen)
    assert {"PATH", "OMP_NUM_THREADS", "LC_ALL", "PYTHONPATH"} <= set(seen)


def test_given_values_replace_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/mine")
    assert child_environment(TMPDIR="/theirs")["TMPDIR"] == "/theirs"
    assert child_environment()["TMPDIR"] == "/mine"
    assert os.environ["TMPDIR"] == "/mine"
