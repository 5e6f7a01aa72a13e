"""The names that people import: `actionlens.client` and its like, each without more than it needs."""

from __future__ import annotations

import importlib

import pytest

import actionlens
from tests.service.cli.absent import EVERYTHING, python_without

PUBLIC = {
    "client": "service.client",
    "errors": "service.errors",
    "local": "service.local",
    "relevance": "handlers.relevance",
    "server": "service.server",
    "settings": "service.settings",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_the_very_ones_inside(name: str) -> None:
    public, inside = importlib.import_module(f"actionlens.{name}"), importlib.import_module(PUBLIC[name])
    assert getattr(actionlens, name) is public
    assert public.__all__
    for each in public.__all__:
        assert getattr(public, each) is getattr(inside, each)
    if hasattr(inside, "__all__"):
        assert public.__all__ == inside.__all__


def test_nothing_is_imported_before_it_is_used() -> None:
    done = python_without(
        EVERYTHING,
        "import actionlens\n"
        "before = {'service', 'handlers', 'grpc', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "print(before, actionlens.client.Client.__name__, 'torch' in sys.modules)",
    )
    assert done.stdout.split() == ["set()", "Client", "False"], done.stderr


@pytest.mark.parametrize(("name", "extra"), [("server", "service"), ("local", "worker"), ("relevance", "worker")])
def test_what_needs_an_extra_says_so(name: str, extra: str) -> None:
    done = python_without(EVERYTHING, f"import actionlens.{name}")
    assert done.stderr.splitlines()[-1].endswith(f"is not installed; pip install 'actionlens[{extra}]'")


def test_frames_of_a_stream_need_opencv_only_to_be_made_smaller() -> None:
    done = python_without(
        EVERYTHING,
        "import numpy\n"
        "from service.client.stream_messages import frame_encoder\n"
        "encode = frame_encoder({'max_side': 64})\n"
        "print(len(encode(numpy.zeros((48, 64, 3), numpy.uint8)).frame.image) > 0)\n"
        "encode(numpy.zeros((480, 640, 3), numpy.uint8))\n",
    )
    assert done.stdout.strip() == "True", done.stderr
    assert done.stderr.splitlines()[-1].endswith("cv2 is not installed; pip install 'actionlens[media]'")


def test_an_unknown_name_is_an_ordinary_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'clients'"):
        _ = actionlens.clients
