"""Artefacts in an S3-compatible store: a real HTTP endpoint on this machine, with the client that fsspec takes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import fsspec
import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer

from service.errors import NotFound, Unavailable
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.retention import sweep
from service.settings import JobSettings, Settings

BUCKET = "films"
WHERE = f"s3://{BUCKET}/actionlens"


def opened(where: str = WHERE) -> Artefacts:
    return Artefacts(Settings(jobs=JobSettings(artefacts=where)))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A store with one bucket, and the environment that leads to it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", address)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield address
    server.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_blobs_come_back_as_they_were_and_only_whole(endpoint: str) -> None:
    artefacts = opened()
    content = bytes(range(256)) * 9000  # 2.3 MB
    key = artefacts.write("job", "result-0", content)
    assert key == f"job/result-0-{hashlib.sha256(content).hexdigest()}"
    assert artefacts.read(key) == content
    assert artefacts.read(artefacts.write("job", "state-0-3", b"")) == b""
    ages = artefacts.ages("job")
    assert key in ages
    assert len(ages) == 2
    assert all(-5 < age < 60 for age in ages.values())
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"actionlens/{key}", Body=content[:-1])
    with pytest.raises(Unavailable, match="is damaged: its digest differs"):
        artefacts.read(key)
    artefacts.remove(key, key)
    with pytest.raises(NotFound, match="no longer stored"):
        artefacts.read(key)
    artefacts.remove_job("job")
    assert artefacts.ages("job") == {}
    assert list(artefacts.jobs()) == []


def test_what_belongs_to_no_job_is_swept_when_it_is_old(endpoint: str, tmp_path: Path) -> None:
    artefacts = opened()
    for job in ("old", "new"):
        artefacts.write(job, "state-0-1", b"left behind")
    ages = dict(artefacts.jobs())
    assert sorted(ages) == ["new", "old"]
    assert all(-5 < age < 60 for age in ages.values())
    for name, blob in s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[BUCKET].keys.items():
        if "/old/" in name:
            blob.last_modified = datetime.now(UTC) - timedelta(hours=2)
    database = Database.open(Settings(data=tmp_path))
    try:
        sweep(database, artefacts)
    finally:
        database.close()
    assert [job for job, _ in artefacts.jobs()] == ["new"]
    artefacts.remove_job("new")


def test_a_bucket_that_is_missing_is_told_and_not_made(endpoint: str) -> None:
    with pytest.raises(
        Unavailable, match=r"artefacts cannot be opened.*: s3://fims/actionlens: .*bucket does not exist"
    ):
        opened("s3://fims/actionlens")
    assert [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]] == [BUCKET]


def test_an_endpoint_that_is_down_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    artefacts = opened()
    key = artefacts.write("job", "result-0", b"content")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(Unavailable, match=r"artefacts cannot be opened.*: s3://films/actionlens: .*127\.0\.0\.1:9"):
        opened()
    assert artefacts.read(key) == b"content"


def test_an_endpoint_that_goes_down_is_told_and_costs_nothing_else(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    """An open store keeps its address, so the store's own server is stopped."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    artefacts = opened()
    server.stop()
    with pytest.raises(Unavailable, match="the artefacts cannot be reached: ") as caught:
        artefacts.write("job", "result-0", b"content")
    assert caught.value.retry_after
    with pytest.raises(Unavailable, match="the artefacts cannot be reached: "):
        artefacts.read("job/result-0-1234")
    assert artefacts.ages("job") == {}
    artefacts.remove("job/result-0-1234")
