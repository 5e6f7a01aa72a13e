"""Settings from files: every setting, at any depth, and what is said of files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from service.cli.errors import explain_failure
from service.cli.main import app
from service.setting_files import SettingFileError, refused_setting, unknown_variables, variable
from service.settings import Settings


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("ACTIONLENS_PORT", "1234\n", lambda settings: settings.port == 1234),
        ("ACTIONLENS_LIMITS__FRAMES", "7", lambda settings: settings.limits.frames == 7),
        ("ACTIONLENS_JOBS__SLOTS__HIGH", "9\r\n", lambda settings: settings.jobs.slots.high == 9),
        ("ACTIONLENS_JOBS__DB", "postgresql://a:b@c/d\n", lambda settings: settings.jobs.db == "postgresql://a:b@c/d"),
        ("ACTIONLENS_JOBS_DB", "postgresql://a:b@c/d\n", lambda settings: settings.jobs.db == "postgresql://a:b@c/d"),
        ("ACTIONLENS_JOBS__DB", " two \n\n", lambda settings: settings.jobs.db == " two \n"),
        ("ACTIONLENS_MODELS", '["a"]\n', lambda settings: settings.models == ("a",)),
    ],
)
def test_any_setting_may_be_the_content_of_a_file(
    name: str, content: str, read: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret").write_text(content, newline="")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))
    assert callable(read)
    assert read(Settings())


def test_a_file_stands_beside_variables_of_the_same_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "db").write_text("postgresql://x/y")
    monkeypatch.setenv("ACTIONLENS_JOBS__DB_FILE", str(tmp_path / "db"))
    monkeypatch.setenv("ACTIONLENS_JOBS__WORKERS", "3")
    jobs = Settings().jobs
    assert (jobs.db, jobs.workers) == ("postgresql://x/y", 3)


def test_a_variable_and_its_file_are_not_both_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "port").write_text("1")
    monkeypatch.setenv("ACTIONLENS_PORT_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("ACTIONLENS_PORT", "2")
    with pytest.raises(SettingFileError, match="ACTIONLENS_PORT and ACTIONLENS_PORT_FILE are both set"):
        Settings()
    monkeypatch.setenv("ACTIONLENS_JOBS_DB_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("ACTIONLENS_JOBS_DB", "2")
    monkeypatch.delenv("ACTIONLENS_PORT")
    with pytest.raises(ValueError, match="ACTIONLENS_JOBS_DB and ACTIONLENS_JOBS_DB_FILE are both set"):
        Settings()


def test_files_that_hold_no_setting_are_named_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONLENS_PORT_FILE", str(tmp_path / "absent"))
    with pytest.raises(SettingFileError, match=r"ACTIONLENS_PORT_FILE: .*absent: No such file"):
        Settings()
    (tmp_path / "bytes").write_bytes(b"\xffsecret")
    monkeypatch.setenv("ACTIONLENS_PORT_FILE", str(tmp_path / "bytes"))
    with pytest.raises(SettingFileError, match="is not UTF-8 text") as caught:
        Settings()
    assert "secret" not in str(caught.value)
    (tmp_path / "long").write_bytes(b"1" * (2**20 + 1))
    monkeypatch.setenv("ACTIONLENS_PORT_FILE", str(tmp_path / "long"))
    with pytest.raises(SettingFileError, match="more than 1048576 bytes"):
        Settings()
    (tmp_path / "word").write_text("hunter2")
    monkeypatch.setenv("ACTIONLENS_PORT_FILE", str(tmp_path / "word"))
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_serve_refuses_both_as_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONLENS_QUEUE_FILE", str(tmp_path / "absent"))
    done = CliRunner().invoke(app, ["serve"])
    assert done.exit_code == 2
    assert "ACTIONLENS_QUEUE_FILE" in done.output


def test_variables_outside_the_class_may_be_files_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert variable("ACTIONLENS_SOMETHING") == ""
    monkeypatch.setenv("ACTIONLENS_SOMETHING", "a")
    assert variable("ACTIONLENS_SOMETHING") == "a"
    monkeypatch.delenv("ACTIONLENS_SOMETHING")
    (tmp_path / "file").write_text("b\n")
    monkeypatch.setenv("ACTIONLENS_SOMETHING_FILE", str(tmp_path / "file"))
    assert variable("ACTIONLENS_SOMETHING") == "b"


def test_a_variable_that_is_no_setting_is_named_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACTIONLENS_PORT", "ACTIONLENS_JOBS__DB_FILE", "ACTIONLENS_TOKEN", "ACTIONLENS_WORKER_THREADS"):
        monkeypatch.setenv(name, "1")
    assert unknown_variables(Settings) == []
    monkeypatch.setenv("ACTIONLENS_PROT", "1")
    monkeypatch.setenv("ACTIONLENS_JOBS__WORKER", "1")
    monkeypatch.setenv("ACTIONLENS_XYZZY", "1")
    assert unknown_variables(Settings) == [
        "ACTIONLENS_JOBS__WORKER is no setting; did you mean ACTIONLENS_JOBS__WORKERS?",
        "ACTIONLENS_PROT is no setting; did you mean ACTIONLENS_PORT?",
        "ACTIONLENS_XYZZY is no setting; docs/settings.md lists all",
    ]


def test_a_refused_value_is_named_by_its_variable_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONLENS_JOBS__WORKERS", "secret")
    with pytest.raises(ValidationError) as caught:
        Settings()
    said = refused_setting(caught.value)
    assert said.startswith("ACTIONLENS_JOBS__WORKERS: Input should be a valid integer")
    assert "secret" not in said
    assert explain_failure(caught.value) == said
