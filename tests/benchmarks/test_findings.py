"""The page of the papers' findings: that it says what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.findings.__main__ import RESULTS
from benchmarks.findings.finding import FINDINGS, ordered, paired, verdict
from benchmarks.findings.meanings import MEANINGS, OPEN, TESTED
from benchmarks.findings.page import NETWORKS, write_page

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


def test_findings_are_in_the_order_of_the_papers() -> None:
    names = [entry.name for entry in ordered()]
    assert names[:2] == ["A1", "A2"]
    assert names.index("A9") < names.index("A11") < names.index("B1")
    assert set(names) == set(MEANINGS) == set(FINDINGS)
    assert not set(OPEN) & set(names)


def test_paired_numbers_are_compared_clip_by_clip() -> None:
    """Differences 1, 1, 1, 1: of 16 sign patterns two are as far from 0, p = 2 / 16."""
    found = paired([2, 3, 4, 5], [1, 2, 3, 4])
    assert (found.first, found.second, found.difference, found.low, found.high) == (3.5, 2.5, 1, 1, 1)
    assert found.p == pytest.approx(2 / 16)


def test_a_part_counts_where_the_whole_does_not_hold() -> None:
    assert [verdict(True, False), verdict(False, True), verdict(False)] == ["yes", "partly", "no"]


def test_every_result_that_is_published_is_of_a_finding_and_has_its_meaning() -> None:
    records = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json") if path.name != NETWORKS}
    assert records
    assert all(record["name"] == name and MEANINGS[name][record["same"]] for name, record in records.items())
    assert {name for name, record in records.items() if record["p"] is not None} <= set(TESTED)


def test_the_page_is_that_of_the_results(tmp_path: Path) -> None:
    write_page(RESULTS, tmp_path / "findings.md")
    assert (tmp_path / "findings.md").read_text() == PAGE.read_text(), "run python -m benchmarks.findings --table"


def test_what_is_not_measured_is_listed(tmp_path: Path) -> None:
    record = {"name": "A2", "seed": 3, "cpu_seconds": 60.0, "ours": "7 | 8", "n": "2 clips", "same": "no", "p": 0.0001}
    (tmp_path / "A2.json").write_text(json.dumps(record))
    write_page(tmp_path, tmp_path / "page.md")
    text = (tmp_path / "page.md").read_text()
    assert "Of 1 findings measured, 0 show" in text
    assert "| 7 \\| 8; p < 0.001 (avg-ATR of the two rules) | 2 clips | no |" in text
    assert "Not measured yet: A1, A3" in text
    assert "**A10** SlowFast" in text
    assert "Seeds of the clips: 3. Measuring took 1 minutes" in text
