"""Logging in on the page in a real browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from service.identity.principal import Right
from service.identity.principals_file import add_entry, remove_entry
from service.settings import BackendName, Settings
from tests.service.gateway.running import MODEL, ROOT, Running
from tests.service.identity.issuer_server import AUDIENCE, CLIENT, TestIssuer, issuing

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def issuer() -> Iterator[TestIssuer]:
    with issuing() as running:
        yield running


@pytest.fixture(scope="module")
def principals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("identity") / "principals.yaml"
    add_entry(path, "somebody", ("red",), frozenset())
    return path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, principals: Path, issuer: TestIssuer) -> Iterator[Running]:
    """A service that wants to know who calls."""
    store = tmp_path_factory.mktemp("store")
    shutil.copytree(ROOT / "model_store" / MODEL, store / MODEL)
    service = Running(
        Settings(
            port=0,
            metrics_port=0,
            page_port=0,
            model_store=store,
            backend=BackendName.IN_PROCESS,
            threads=1,
            data=tmp_path_factory.mktemp("data"),
            drain_seconds=2,
            authentication={
                "tokens": principals, "issuer": issuer.address, "audience": AUDIENCE, "client_id": CLIENT,
            },
        ),
        jobs=False,
    )  # fmt: skip
    service.start()
    yield service
    service.close()


def test_a_token_lets_in_and_the_page_shows_whom(page: Page, running: Running, principals: Path) -> None:
    token = add_entry(principals, "alice", ("red", "blue"), frozenset({Right.EXPLAIN}))
    page.goto(running.address)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(page.locator("#stage")).to_be_hidden()
    page.get_by_label("Token").fill("alt_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#alert")).to_contain_text("not known")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#who-name")).to_have_text("alice")
    expect(page.locator("#who")).to_have_attribute("title", "Tenants: red, blue. Rights: explain.")
    expect(page.locator("main")).not_to_have_attribute("inert", "")
    page.get_by_role("button", name="Sample").click()
    expect(page.locator("#top li").first).to_contain_text("%")
    assert page.evaluate("() => document.cookie") == ""
    remove_entry(principals, "alice")
    # The stream of the sample ends, and the page asks again.
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_logging_out_closes_the_page(page: Page, running: Running, principals: Path) -> None:
    token = add_entry(principals, "bob", ("red",), frozenset({Right.EXPLAIN}))
    page.goto(running.address)
    page.get_by_label("Token").fill(token)
    page.keyboard.press("Enter")
    expect(page.locator("#who-name")).to_have_text("bob")
    page.reload()
    expect(page.locator("#who-name")).to_have_text("bob")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_issuer_logs_in(page: Page, running: Running) -> None:
    page.goto(running.address)
    page.get_by_role("link", name=re.compile("organisation")).click()
    expect(page.locator("#who-name")).to_have_text("alice")
    assert page.url.partition("#")[0] == running.address  # without the code; the page keeps its choices behind #


def test_the_log_in_keeps_the_pages_policy(browser: Browser, running: Running) -> None:
    """With the content policy on: nothing of the log-in needs what it forbids."""
    context = browser.new_context()
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(running.address)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    context.close()
    assert [text for text in said if "Content Security Policy" in text] == []
