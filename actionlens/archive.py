"""TorchServe archives (.mar) from model folders, without torch.

    python -m actionlens.archive MODEL_FOLDER OUT_FOLDER

An archive holds the card, the weights, the code of a network that brings its own, the handler's entry file and
TorchServe's manifest. The workers find the packages `handlers` and `actionlens` on their Python path; they are not
packed.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import zipfile
from pathlib import Path

from actionlens.card import CARD_FILE, CardError, read_card

HANDLER_FILE = "action_handler.py"


def write_archive(folder: Path, out: Path) -> Path:
    """Pack a model folder (card.yaml and weights) into `out/<name>.mar` and return that path.

    Stored, not compressed: trained weights do not shrink, and TorchServe unpacks the archive at every start.

    Raises CardError when the card does not fit or the weights are absent; OSError when `out` cannot be written.
    """
    card = read_card(folder)
    weights = folder / card.weights.file
    if not weights.is_file():
        raise CardError(f"{folder / CARD_FILE}: weights.file: there is no {weights.name} beside the card")
    if card.code is not None and not (folder / card.code.file).is_file():
        raise CardError(f"{folder / CARD_FILE}: code.file: there is no {card.code.file} beside the card")
    manifest = {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "model": {"modelName": card.name, "handler": HANDLER_FILE, "modelVersion": card.version},
        "archiverVersion": "0.12.0",
    }
    path = out / f"{card.name}.mar"
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        archive.write(_handler(), HANDLER_FILE)
        archive.write(folder / CARD_FILE, CARD_FILE)
        archive.write(weights, weights.name)
        if card.code is not None:
            archive.write(folder / card.code.file, card.code.file)
        archive.writestr("MAR-INF/MANIFEST.json", json.dumps(manifest))
    return partial.replace(path)


def _handler() -> Path:
    # Looked up, not imported: importing the handler would import torch.
    spec = importlib.util.find_spec("handlers")
    for location in (spec and spec.submodule_search_locations) or ():
        path = Path(location) / HANDLER_FILE
        if path.is_file():
            return path
    raise FileNotFoundError(f"handlers/{HANDLER_FILE} is not installed; install the package with its handlers")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m actionlens.archive MODEL_FOLDER OUT_FOLDER")
    print(write_archive(Path(sys.argv[1]), Path(sys.argv[2])))
