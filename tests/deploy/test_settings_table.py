"""The page that lists every setting: fresh, complete, and true of what the settings class reads."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from deploy import settings_table
from service.settings import Settings

ROWS = tuple(settings_table.rows())
NUMBERS = [row.variable for row in ROWS if re.match(r"\d|above|at least", row.bounds)]


def test_the_page_of_settings_is_fresh() -> None:
    assert settings_table.PAGE.read_text(encoding="utf-8") == settings_table.page(), (
        "run python -m deploy.settings_table"
    )


def test_every_setting_says_what_it_is() -> None:
    assert [row.variable for row in ROWS if not row.meaning.endswith(".")] == []
    assert len({row.variable for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("variable", NUMBERS)
def test_the_variables_are_read_and_bounded(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "-1")
    with pytest.raises(ValidationError):
        Settings()
