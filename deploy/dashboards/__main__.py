"""Writes deploy/grafana/dashboards/*.json: python -m deploy.dashboards"""

from __future__ import annotations

from deploy.dashboards.files import FOLDER, files

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        (FOLDER / name).write_text(text)
