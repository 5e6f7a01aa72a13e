"""The dashboards as the JSON that Grafana reads."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.dashboards.overhead import overhead
from deploy.dashboards.reasons import reasons

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"


def files() -> dict[str, str]:
    """Text by file name."""
    return {f"{made.uid}.json": _text(made) for made in (overhead().build(), reasons().build())}


def _text(made: Dashboard) -> str:
    for number, panel in enumerate(made.panels or (), 1):
        panel.id_val = number  # rows come with the same one
    return json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
