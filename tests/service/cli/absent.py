"""The command as it runs where packages are not installed: an import does not find them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.service.cli.service_process import environment
from tests.waiting import PATIENCE

ROOT = Path(__file__).resolve().parents[3]
_HIDE = """
import sys
from actionlens.extras import MODULES

absent = {module for extra in sys.argv.pop(1).split(",") for module in MODULES[extra]}


class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *rest):
        return None if name.partition(".")[0] in absent else self.finder.find_spec(name, *rest)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = map(Hiding, sys.meta_path)
"""
EVERYTHING = "media,service,worker,onnx,keras,s3,tracing"


def python_without(extras: str, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Python program without what these extras, separated by commas, bring."""
    return subprocess.run(
        [sys.executable, "-c", _HIDE + program, extras, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment(PYTHONPATH=str(ROOT)),
    )


def command_without(extras: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command of `actionlens` so."""
    return python_without(extras, "from service.cli.main import main\nmain()", *arguments)
