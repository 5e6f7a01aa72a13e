"""The bundled models beside the user's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionlens.card import CardError
from actionlens.store import bundled_store, stored_models
from service.backends.model_choice import chosen_models
from service.settings import Settings
from tests.handlers import networks

BUNDLED = ("motion-primitives", "motion-trn")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("ACTIONLENS_MODEL_STORE", raising=False)
    monkeypatch.setenv("ACTIONLENS_DATA", str(tmp_path))
    return tmp_path


def test_the_bundled_models_are_served_without_a_store(data: Path) -> None:
    settings = Settings()
    assert settings.stores == (data / "models", bundled_store())
    assert tuple(chosen_models(settings)) == BUNDLED
    assert settings.sample_clip("motion-primitives") == bundled_store() / "motion-primitives/sample.mp4"
    assert (bundled_store() / "catalogue.yaml").is_file()


def test_a_model_of_the_user_stands_beside_them_or_in_for_one_of_its_name(data: Path) -> None:
    mine = networks.folder(data / "models" / "mine", name="mine")
    other = networks.folder(data / "models" / "motion-primitives", name="motion-primitives")
    settings = Settings()
    found = chosen_models(settings)
    assert found == {
        "mine": mine,
        "motion-primitives": other,
        "motion-trn": bundled_store() / "motion-trn",
    }
    assert list(found) == ["mine", *BUNDLED]
    # Not the clip of the model that it hides.
    assert settings.sample_clip("motion-primitives") is None


def test_a_store_that_is_named_holds_all_that_is_served(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = networks.folder(data / "store" / "mine", name="mine")
    monkeypatch.setenv("ACTIONLENS_MODEL_STORE", str(data / "store"))
    assert chosen_models(Settings()) == {"mine": mine}
    assert Settings().sample_clip("motion-primitives") is None


def test_job_workers_look_where_the_service_does(data: Path) -> None:
    settings = Settings()
    assert Settings.model_validate_json(settings.model_dump_json()).stores == settings.stores
    assert Settings(data=data / "elsewhere").model_store == data / "elsewhere" / "models"


def test_a_store_that_does_not_exist_holds_nothing_and_two_of_one_name_in_one_are_refused(tmp_path: Path) -> None:
    assert stored_models([tmp_path / "absent"]) == {}
    networks.folder(tmp_path / "one", name="same")
    networks.folder(tmp_path / "two", name="same")
    with pytest.raises(CardError, match="already used"):
        stored_models([tmp_path])
