"""The page over an outside model: its webcam shows the hand swipe that the model was trained to recognise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from typer.testing import CliRunner

from service.cli.main import app
from service.settings import BackendName, Settings
from tests.e2e.conftest import GESTURE, gesture_card
from tests.e2e.test_real_models import swipe
from tests.service.gateway.camera import write_camera
from tests.service.gateway.heat import heat_on_motion
from tests.service.gateway.running import PATIENCE, Running, watch

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

_FPS = 12


@pytest.fixture(scope="module")
def store(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outside model, imported as a user imports it."""
    store = tmp_path_factory.mktemp("store")
    weights = assets / "models/gesture_conv3d/gesture_conv3d_torch_layout.npz"
    card = gesture_card(tmp_path_factory.mktemp("card"), assets)
    done = CliRunner().invoke(app, ["models", "import", str(card), "--weights", str(weights), "--store", str(store)])
    assert done.exit_code == 0, done.output
    return store


@pytest.fixture(scope="module")
def camera(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_camera(tmp_path_factory.mktemp("camera") / "swipe.y4m", list(swipe(assets)), _FPS)


@pytest.fixture(scope="module")
def running(store: Path) -> Iterator[Running]:
    ports = {"port": 0, "metrics_port": 0, "page_port": 0}
    settings = Settings(model_store=store, backend=BackendName.IN_PROCESS, threads=1, drain_seconds=2, **ports)
    service = Running(settings, jobs=False)
    service.start()
    yield service
    service.close()


def test_the_swipe_is_named_and_the_heat_lies_on_the_hand(page: Page, running: Running) -> None:
    watch(page, running, "#source=camera&methods=dtd&target=Left_Swipe")
    expect(page.locator("#model")).to_have_value(GESTURE)
    # Wherever in the loop a window begins, it is no swipe to the right; but where the loop jumps back it may be none.
    expect(page.locator("#top li").first).to_have_text(re.compile(r"^Left_Swipe\d+ %"), timeout=PATIENCE)
    right = page.locator("#top li", has_text="Right_Swipe").locator(".share")
    assert int(right.inner_text().removesuffix(" %")) <= 5
    expect(page.locator("#readout")).to_contain_text("“Left_Swipe”")
    heat, mirrored = heat_on_motion(page)
    assert heat > 2 * mirrored, (heat, mirrored)
    assert heat > 2, (heat, mirrored)  # 1 is chance
