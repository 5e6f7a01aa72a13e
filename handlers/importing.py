"""Turns a weights file and a card into a model folder that can be served: `python -m handlers.importing --help`."""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError
from safetensors.torch import save_file

from actionlens.card import ModelCard, write_card
from handlers.canary import answer_noise
from handlers.engine import Engine
from handlers.errors import ModelError
from handlers.models import families
from handlers.models.action_model import ActionModel, build
from handlers.weights import read_weights

WEIGHTS_FILE = "weights.safetensors"


def import_model(card_path: Path, weights_path: Path, store: Path, *, replace: bool = False) -> Path:
    """Check that weights and card fit, answer one clip of noise, and write the folder `store/NAME`.

    The card's `weights` section is filled in; labels may be `labels_file`, one label a line, beside the card.
    Raises ModelError naming the field or the first tensor that does not fit; nothing is written then.
    """
    document = _card_document(card_path)
    state = {name: tensor.contiguous() for name, tensor in read_weights(weights_path).items()}
    if (entry := families().get(str(document.get("architecture")))) is not None:
        state = entry.named(state)
    with tempfile.TemporaryDirectory(dir=_folder(store), prefix=".import-") as work:
        made = Path(work) / "model"
        made.mkdir()
        save_file(state, made / WEIGHTS_FILE)
        digest = hashlib.sha256((made / WEIGHTS_FILE).read_bytes()).hexdigest()
        try:
            card = ModelCard.model_validate({**document, "weights": {"file": WEIGHTS_FILE, "sha256": digest}})
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelError(f"{card_path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        target = store / card.name
        if target.exists() and not replace:
            raise ModelError(f"name: {card.name!r} is already in {store}; replace it with --replace")
        answer_noise(Engine(ActionModel(card, build(card, state))))
        write_card(card, made)
        if target.exists():
            shutil.rmtree(target)
        made.rename(target)
    return target


def _card_document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(document, dict):
            raise ModelError(f"{path}: a card is a YAML mapping")
        if (name := document.pop("labels_file", None)) is not None:
            lines = (path.parent / str(name)).read_text(encoding="utf-8").splitlines()
            document["labels"] = [line.strip() for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: {error}") from error
    return document


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def main(arguments: list[str] | None = None) -> int:
    """Command line: 0 when imported, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m handlers.importing", description=__doc__)
    parser.add_argument("card", type=Path, help="the model's card (YAML) without its weights section")
    parser.add_argument("weights", type=Path, help="the trained weights: .safetensors, .pt, .pth or .npz")
    parser.add_argument("--store", type=Path, required=True, help="the model store to write into")
    parser.add_argument("--replace", action="store_true", help="replace a model of the same name")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        folder = import_model(options.card, options.weights, options.store, replace=options.replace)
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
