"""The page's built-in view of the metrics, beside numbers that were put into them."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from playwright.sync_api import Page, expect

from actionlens.v1 import service_pb2
from service.telemetry.records import AnswerRecord, MethodRecord
from tests.service.gateway.running import Running

pytestmark = pytest.mark.alone


def record(method: str, seconds: float, **numbers: float) -> AnswerRecord:
    known = {"motion_share": None, "conservation_defect": None, "average_length": None, "maximum_length": None}
    entry = MethodRecord(method, seconds, failed=False, **{**known, **numbers})
    return AnswerRecord(
        model="taught",
        level="temporal_relevance",
        label="wave",
        confidence=0.8,
        decode=0.002,
        queue=0.01,
        transport=0.003,
        forward=0.02,
        predict=0.02,
        encode=0.001,
        total=0.1,
        methods=(entry,),
        together=False,
        trace="",
    )


def test_metrics_are_explained_in_plain_words(page: Page, running: Running) -> None:
    assert running.server is not None
    metrics = running.server.metrics
    for _ in range(10):
        metrics.window_answered(record("atr", 0.06, average_length=7.5, maximum_length=12.0), 0.2, None)
        metrics.window_answered(record("grad-cam", 0.005, motion_share=0.25), 0.2, service_pb2.Budget())
    page.goto(f"{running.address}overhead")
    page.get_by_role("button", name="Since the service started").click()
    atr = page.locator("#price tr", has_text="taught").filter(has_text="atr")
    expect(atr.locator("td").nth(2)).to_have_text("10")
    expect(atr.locator("td").nth(3)).to_have_text("60 ms")
    expect(atr.locator("td").nth(4)).to_have_text("+300 %")
    expect(page.locator("#price tr", has_text="grad-cam").filter(has_text="taught")).to_contain_text("+25 %")
    stack = page.locator("#stages .stage-row", has_text="taught")
    expect(stack.locator("b")).to_have_text("69 ms")  # 2 + 10 + 3 + 20 + half of 60 and half of 5 + 1
    cells = page.locator("#reasons tr", has_text="taught").locator("td")
    assert cells.all_text_contents() == ["taught", "80 %", "25 %", "7.5", "12.0"]
    expect(page.locator("#streams div", has_text="other methods").locator("dd")).to_have_text("20")
    expect(page.locator("#silence")).to_be_hidden()
    # What was before the page came is not of the last minute: the last known is shown, and that it is that.
    page.get_by_role("button", name="Last").click()
    expect(page.locator("#silence")).to_contain_text("No answers in the last minute; the last one came")
    expect(page.locator("#price tr", has_text="taught")).to_have_count(2)
    metrics.window_answered(record("dtd", 0.01), 0.2, None)
    expect(page.locator("#price tr")).to_have_count(1)
    expect(page.locator("#silence")).to_be_hidden()
    expect(page.locator("#price tr")).to_contain_text("+50 %")


def test_what_processes_take_and_which_release_runs(page: Page, running: Running) -> None:
    page.goto(f"{running.address}overhead")
    rows = page.locator("#processes tr")
    expect(rows.filter(has_text="service").locator("td").nth(2)).to_have_text(re.compile(r"^[1-9][\d,]* MiB$"))
    expect(rows.filter(has_text="job workers").locator("td").nth(1)).to_have_text(re.compile(r"^[1-9]"))
    expect(page.locator("#release")).to_have_text(f"release {importlib.metadata.version('actionlens')}")
