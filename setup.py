"""Adds to the wheel what lies outside its packages: the bundled models, the protos, and the commit it is built from."""

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from actionlens.version import COMMIT_FILE, git_state  # noqa: E402


class BuildWithData(build_py):
    """Copies model_store/ and protos/ into the package actionlens, where actionlens/store.py finds them."""

    def run(self) -> None:
        """Build the packages, from nothing: what an earlier build left must not come along."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib, "actionlens")
        for folder in ("model_store", "protos"):
            shutil.copytree(ROOT / folder, package / folder, ignore=shutil.ignore_patterns("archives", ".*"))
        # Where the sources come without their history, as into the container image, SOURCE_COMMIT names it.
        (package / COMMIT_FILE).write_text(os.environ.get("SOURCE_COMMIT") or git_state(ROOT), encoding="ascii")


setup(cmdclass={"build_py": BuildWithData})
