"""Commands where an extra is not installed: one line that says what to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.cli.absent import EVERYTHING, command_without

CLIP = Path(__file__).resolve().parents[3] / "model_store/motion-primitives/sample.mp4"


@pytest.mark.parametrize(
    ("absent", "arguments", "extra"),
    [
        (EVERYTHING, ("serve",), "worker"),
        (EVERYTHING, ("serve", "--backend", "in-process"), "worker"),
        (EVERYTHING, ("serve", "--backend", "onnx"), "service"),
        (EVERYTHING, ("explain", CLIP, "--in-process"), "worker"),
        ("worker", ("explain", CLIP, "--in-process"), "worker"),
        (EVERYTHING, ("evaluate", CLIP, "--in-process"), "worker"),
        (EVERYTHING, ("stream", CLIP), "media"),
        (EVERYTHING, ("webcam",), "media"),
        (EVERYTHING, ("jobs", "worker"), "worker"),
        ("worker", ("jobs", "worker"), "worker"),
        (EVERYTHING, ("models", "pull"), "worker"),
    ],
)
def test_what_to_type_is_said_in_one_line(absent: str, arguments: tuple[str | Path, ...], extra: str) -> None:
    done = command_without(absent, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(f" is not installed; pip install 'actionlens[{extra}]'")


@pytest.mark.parametrize(
    "command", ["", "explain", "evaluate", "stream", "webcam", "jobs", "models", "serve", "health"]
)
def test_help_and_completion_need_no_extra(command: str) -> None:
    done = command_without(EVERYTHING, *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert command or "--install-completion" in done.stdout


def test_models_of_a_folder_are_listed_by_the_client_alone() -> None:
    done = command_without(EVERYTHING, "models", "list", "--store", CLIP.parents[1])
    assert done.returncode == 0, done.stderr
    assert "motion-trn" in done.stdout
