"""Somebody's own network, from a file to an answer of the service: by TorchServe's workers and by this process."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from actionlens.card import read_card
from service.backends.model_choice import chosen_models
from service.cli.main import app
from service.client import Client
from service.errors import Unavailable
from service.local import LocalClient
from service.settings import BackendName, Settings
from tests.handlers import networks
from tests.service.cli.service_process import serving

ROOT = Path(__file__).parents[2]
"""Of the checkout."""
CLIP = networks.clip(3, 8, 32, 32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the example's network, imported by the command line."""
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["own_model.py", str(folder)])
        runpy.run_path(str(ROOT / "examples" / "own_model.py"), run_name="__main__")
    given = [
        "models",
        "import",
        "--module",
        f"{ROOT / 'examples' / 'own_model.py'}:Net",
        "--frames",
        "8",
        "--size",
        "32",
    ]
    given += [
        "--weights",
        str(folder / "own.pth"),
        "--labels",
        str(folder / "own.txt"),
        "--store",
        str(folder / "store"),
    ]
    refused = CliRunner().invoke(app, given)
    assert refused.exit_code == 1
    assert "nothing of it was run" in refused.output
    done = CliRunner().invoke(app, [*given, "--trust-code"])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "guessed: Grad-CAM reads features, [16, 8, 8, 8]" in said
    assert "guessed: pixels are normalised with ImageNet's mean" in said
    assert "explained by" in said
    return folder / "store"


def test_the_card_says_what_was_guessed(store: Path) -> None:
    card = read_card(store / "own")
    assert card.architecture == "own_model.py:Net"
    assert card.labels == ("wave", "clap", "nothing")
    assert (card.input.frames, card.input.height, card.input.width) == (8, 32, 32)
    assert card.layer == "features"


def test_a_service_that_trusts_no_code_says_how(store: Path) -> None:
    for backend in BackendName.TORCHSERVE, BackendName.IN_PROCESS:
        settings = Settings(model_store=store, backend=backend)
        with pytest.raises(Unavailable, match="--trust-code or ACTIONLENS_TRUST_CODE=1") as caught:
            chosen_models(settings)
        assert caught.value.reason == "CODE_UNTRUSTED"


def test_torchserve_answers_as_this_process_does(store: Path) -> None:
    settings = Settings(model_store=store, default_model="own", trust_code=True)
    methods = ["grad-cam", "dtd"]
    with LocalClient(settings) as local:
        expected = local.explain_clip(CLIP, methods=methods)
    options = ("--default-model", "own", "--trust-code", "--backend", "torchserve")
    with serving(store, *options) as service, Client(service.wait_until_ready()) as client:
        found = client.explain_clip(CLIP, methods=methods)
    for name in methods:
        values = expected.explanations[name].values
        assert np.abs(values).max() > 0
        assert found.explanations[name].values == pytest.approx(values, abs=1e-5)
