"""Clients get the reason; paths, hosts and other programs' words are for the log and the operator."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from service.backends.model_choice import chosen_models
from service.backends.torchserve.server import TorchServe
from service.cli.errors import explain_failure
from service.errors import ActionLensError, Unavailable
from service.jobs.store.artefacts import Artefacts
from service.jobs.store.database import Database
from service.jobs.store.database_failures import reported
from service.jobs.worker.outcome import failure_of
from service.rpc.status import rich_status
from service.settings import JobSettings, Settings

HOST = "127.0.0.1:9"


def no_database(folder: Path) -> None:
    Database.open(Settings(data=folder, jobs=JobSettings(db=f"postgresql://jobs@{HOST}/jobs")))


def no_database_file(folder: Path) -> None:
    (folder / "file").write_text("no folder")
    Database.open(Settings(data=folder, jobs=JobSettings(db=str(folder / "file" / "jobs.sqlite"))))


def lost_database(folder: Path) -> None:
    raise reported(OperationalError("SELECT 1", {}, OSError(f"connection to {HOST} refused, {folder}")))


def full_database(folder: Path) -> None:
    raise reported(OperationalError("INSERT", {}, OSError(f"database or disk is full: {folder}")))


def no_artefacts(folder: Path) -> None:
    (folder / "artefacts").write_text("no folder")
    Artefacts(Settings(data=folder))


def full_disk(folder: Path) -> None:
    artefacts = Artefacts(Settings(data=folder))
    path = Path(folder, "artefacts", "job")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("service.jobs.store.artefacts._write_whole", full)
        artefacts.write("job", "result-0", b"content")


def bad_card(folder: Path) -> None:
    (folder / "store" / "broken").mkdir(parents=True)
    (folder / "store" / "broken" / "card.yaml").write_text("name: [")
    chosen_models(Settings(data=folder, model_store=folder / "store"))


def no_model(folder: Path) -> None:
    chosen_models(Settings(data=folder, model_store=folder / "store"))


@pytest.mark.parametrize(
    "fail",
    [no_database, no_database_file, lost_database, full_database, no_artefacts, full_disk, bad_card, no_model],
    ids=lambda fail: fail.__name__,
)
def test_no_path_and_no_host_reaches_a_client(fail: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(ActionLensError) as caught:
        fail(tmp_path)
    error = caught.value
    # By gRPC and by WebSocket, and in the results of a job.
    for sent in (rich_status(error).SerializeToString().decode("latin-1"), error.message, str(failure_of(error, 2))):
        assert str(tmp_path) not in sent
        assert HOST.partition(":")[0] not in sent
    assert error.message
    for shown in (str(error), explain_failure(error)):
        assert str(tmp_path) in shown or HOST.partition(":")[0] in shown


def test_the_end_of_torchserves_log_is_for_the_operator(tmp_path: Path) -> None:
    (tmp_path / "torchserve.log").write_text(f"could not read {tmp_path}/store/tiny.mar\n")
    stopped = TorchServe.__new__(TorchServe)
    stopped._folder = tmp_path
    error = stopped._failure("java ended while starting")
    assert str(tmp_path) not in error.message
    assert str(tmp_path) in explain_failure(error)


def test_an_error_without_a_detail_is_its_message() -> None:
    assert str(Unavailable("no worker answers")) == "no worker answers"
    assert explain_failure(Unavailable("no worker answers", retry_after=2)) == "no worker answers; try again in 2 s"
