"""The endurance command's report on its samples."""

from __future__ import annotations

from pathlib import Path

from service.decoding.image import decode_image
from service.settings import Limits
from tests.service.gateway.endurance_report import Sample, draw, table, verdict


def sample(minutes: float, lag: float, level: int = 2, uncounted: int = 0) -> Sample:
    """Ten windows; the service grows by 3 MiB in a minute after the first, in which it grows by 100."""
    service = 100 + (100 * minutes if minutes <= 1 else 100 + 3 * (minutes - 1))
    return Sample(minutes, service, 900.0, 400.0, 4.0, [lag] * 10, 700, 30, 5, 2, 8, uncounted, {level: 10})


def test_lag_is_held_against_the_budget_and_growth_reported_after_the_first_minute() -> None:
    samples = [sample(0.5 * index, 0.3 if index == 10 else 0.2, 4 if index < 3 else 2) for index in range(1, 11)]
    said = verdict(samples, 0.25)
    assert "100 windows in 5.0 min, 8 skipped; lag p50 200 ms, p95 300 ms" in said
    assert "p95 is ABOVE the budget of 250 ms; 10.0 % of the windows came later" in said
    assert "prediction 0 %, Grad-CAM 80 %, selective relevance 0 %, all 20 %" in said
    assert "service +3.00, workers +0.00" in said
    assert "p95 is within the budget of 500 ms; 0.0 %" in verdict(samples, 0.5)
    assert "budget" not in verdict(samples, None)


def test_one_bad_sample_is_not_averaged_away() -> None:
    samples = [sample(0.5, 0.1), sample(1.0, 0.1, uncounted=-3), sample(1.5, 0.1)]
    assert "-3 uncounted" in verdict(samples, None)
    assert "memory" not in verdict(samples, None)  # too short to tell
    assert len(table(samples).splitlines()) == 1 + len(samples)


def test_the_chart_is_an_image(tmp_path: Path) -> None:
    draw([sample(0.5, 0.1), sample(1.0, 0.3)], 0.25, tmp_path / "endurance.png")
    image = decode_image((tmp_path / "endurance.png").read_bytes(), Limits(), "endurance.png")
    assert image.shape == (440, 1650, 3)
