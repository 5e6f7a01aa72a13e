"""Turns a weights file and a card into a model folder that can be served: `python -m handlers.importing --help`."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from actionlens.card import ModelCard, write_card
from handlers.engine.engine import Engine
from handlers.engine.smoke_test import answer_noise
from handlers.errors import ModelError
from handlers.explainers import methods
from handlers.importing.card_file import card_document
from handlers.importing.code_packing import packed
from handlers.importing.huggingface import read_pretrained
from handlers.importing.own_network import MEAN, STD, guessed_card, output_classes
from handlers.importing.recognition import FittedCheckpoint, fit, looks_like, unwrapped
from handlers.labels import Labels, read_labels
from handlers.models.action_model import ActionModel
from handlers.models.family import Checkpoint, Family, check_depth
from handlers.models.family_registry import families, family
from handlers.models.own_code import load_code, own_family, untrusted
from handlers.onnx_import import about, settled
from handlers.tensor_files.weights import SUFFIXES, read_weights_file

WEIGHTS_FILE = "weights.safetensors"
CODE_FILE = "code.zip"
_NO_WEIGHTS = {"file": WEIGHTS_FILE, "sha256": "0" * 64}
_LONGEST = 64
"""Characters of a card's name."""


@dataclass(frozen=True)
class ImportedModel:
    """A model's folder, what was settled without being asked, and per method why it cannot explain ("": it can)."""

    folder: Path
    notes: tuple[str, ...]
    methods: dict[str, str]


def import_model(
    card_path: Path,
    weights_path: Path,
    store: Path,
    *,
    weights_key: str = "",
    replace: bool = False,
    trust_code: bool = False,
) -> ImportedModel:
    """Check that weights and card fit, answer one clip of noise, and write the folder `store/NAME`.

    The card's `weights` section is filled in; labels may be a `labels_file` beside the card, as `read_labels` takes it.
    weights_key: which weights of a file, or which variant of a directory, where there are several. trust_code: run the
    code that the card names as its architecture, which is packed beside the weights.
    Raises ModelError naming the field or the first tensor that does not fit; nothing is written then.
    """
    document, labels = card_document(card_path)
    said = () if labels is None else labels.notes
    _folder(store)
    architecture, code = str(document.get("architecture")), b""
    if ":" in architecture:
        if not trust_code:
            raise untrusted(f"architecture: {architecture}")
        document["architecture"], code = packed(architecture, card_path.parent)
        entry: Family | None = _own(document, code, str(card_path))
    else:
        entry = families().get(architecture)
    if entry is not None and entry.network is not None:
        _no_key(weights_path, weights_key)
        made = _write(document, weights_path, store, str(card_path), replace, labels)
        return dataclasses.replace(made, notes=(*said, *made.notes))
    given = document.get("arguments", {})
    if entry is not None and isinstance(given, dict):
        entry = entry.with_arguments(given)
    checkpoint = _read(entry, weights_path, weights_key)
    if reported := checkpoint.arguments:
        if not isinstance(given, dict) or any(given.get(name, value) != value for name, value in reported.items()):
            raise ModelError(f"arguments: the card has {given}, {weights_path} has {dict(reported)}")
        document["arguments"] = given = {**reported, **given}
    state, notes = checkpoint.state, checkpoint.notes
    if entry is not None and isinstance(given, dict):
        check_depth(given, state)
        fitted = fit(entry.with_arguments(given), state, checkpoint.says)
        state, notes = fitted.state, (*fitted.notes, *notes)
        of_file = labels is not None and labels.source != str(card_path)
        if labels is not None and of_file and fitted.classes not in (0, len(labels.names)):
            raise ModelError(_other_number(labels, fitted.classes))
    made = _write(document, state, store, str(card_path), replace, labels, code)
    return dataclasses.replace(made, notes=(*said, *notes, *made.notes))


def import_network(
    architecture: str,
    weights_path: Path,
    store: Path,
    *,
    frames: int,
    size: tuple[int, int],
    labels_path: Path | None = None,
    name: str = "",
    weights_key: str = "",
    replace: bool = False,
    trust_code: bool = False,
) -> ImportedModel:
    """Write the folder of somebody's own network, whose card is guessed by running it and said in the notes.

    architecture: `package.module:build` or `model.py:build`, looked for in the working folder first. size: height and
    width of its clips. The others as `import_checkpoint` and `import_model` have them.
    Raises ModelError naming the tensor, or what the network does with a clip, that does not fit.
    """
    if not trust_code:
        raise untrusted(f"module: {architecture}")
    architecture, code = packed(architecture, Path())
    document: dict[str, Any] = {
        "name": name or _called(weights_path),
        "description": f"{architecture}, imported with a guessed card.",
        "architecture": architecture,
        "labels": ["0", "1"],
        "input": {
            "frames": frames,
            "height": size[0],
            "width": size[1],
            "resize": "crop",
            "mean": list(MEAN),
            "std": list(STD),
        },
    }
    entry = _own(document, code, "module")
    checkpoint = _read(entry, weights_path, weights_key)
    fitted = fit(entry, checkpoint.state)
    try:
        module = entry.build(classes=fitted.classes or 2).eval()
    except ValueError as error:
        raise ModelError(f"module: {architecture}: {error}") from error
    classes = output_classes(module, (frames, *size))
    labels, notes = _labels(labels_path, weights_path, checkpoint, dataclasses.replace(fitted, classes=classes))
    card = _card(document | {"labels": labels, "weights": _NO_WEIGHTS, "code": _code(code)}, "module")
    module.load_state_dict(fitted.state, strict=False)
    guessed = guessed_card(module, card)
    document |= {"labels": labels, "layer": guessed.layer}
    made = _write(document, fitted.state, store, "module", replace, None, code)
    return dataclasses.replace(made, notes=(*fitted.notes, *checkpoint.notes, *notes, *guessed.notes, *made.notes))


def _own(document: dict[str, Any], code: bytes, source: str) -> Family:
    """What a card's own code makes, as a family; the code is imported."""
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / CODE_FILE).write_bytes(code)
        card = _card({**document, "code": _code(code), "weights": _NO_WEIGHTS}, source)
        load_code(card, Path(work), trust=True)
    return own_family(card)


def _code(code: bytes) -> dict[str, str]:
    return {"file": CODE_FILE, "sha256": hashlib.sha256(code).hexdigest()}


def _card(document: dict[str, Any], source: str) -> ModelCard:
    """source: what a message blames for a field that does not fit."""
    try:
        return ModelCard.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "card"
        raise ModelError(f"{source}: {field}: {first['msg']}") from error


def import_checkpoint(
    architecture: str,
    weights_path: Path,
    store: Path,
    *,
    labels_path: Path | None = None,
    name: str = "",
    frames: int = 0,
    weights_key: str = "",
    replace: bool = False,
) -> ImportedModel:
    """Write the folder of a family's public checkpoint: its layout tells the classes, the family tells the input. Of an
    .onnx file, the file tells both.

    weights_path: a file, or a directory as transformers or Play Fair has it. labels_path: as `read_labels` takes it;
    without it the checkpoint's own, else classes are numbered. name: of the model, else the file's. frames: of its
    clips, where no tensor depends on them and it was trained on others than the family says; 0: as that says.
    weights_key: which weights of a file, or which variant of a directory, where there are several.
    Raises ModelError naming the first tensor that does not fit and the family that the file looks like.
    """
    entry = family(architecture)
    called = name or _called(weights_path)
    if entry.network is not None:
        _no_key(weights_path, weights_key)
        if frames:
            raise ModelError(f"frames: an {weights_path.suffix} file has its own; write a card and import that")
        given = None if labels_path is None else read_labels(labels_path)
        document, notes = about(weights_path, None if given is None else given.names)
        said = () if given is None else given.notes
        made = _write({"name": called or architecture, **document}, weights_path, store, "card", replace, given)
        return dataclasses.replace(made, notes=(*said, *notes, *made.notes))
    if entry.input is None:
        raise ModelError(
            f"family: {architecture} has no published checkpoints whose input would be known; write a card and import "
            "that: actionlens models import CARD --weights FILE"
        )
    checkpoint = _read(entry, weights_path, weights_key)
    check_depth(checkpoint.arguments, checkpoint.state)
    fitted = fit(entry.with_arguments(checkpoint.arguments), checkpoint.state, checkpoint.says)
    labels, notes = _labels(labels_path, weights_path, checkpoint, fitted)
    shown = (checkpoint.input or entry.input).model_dump(mode="json")
    if frames:
        shown["frames"] = frames
    elif checkpoint.input is None:
        size = "{frames} frames of {width} x {height}".format_map(shown)
        notes.insert(0, f"clips are {size}, as {architecture} is published; trained on another number: --frames N")
    document = {
        "name": called or architecture,
        "description": entry.summary,
        "architecture": architecture,
        "arguments": dict(checkpoint.arguments),
        "labels": labels,
        "input": shown,
    }
    made = _write(document, fitted.state, store, "card", replace)
    return dataclasses.replace(made, notes=(*fitted.notes, *checkpoint.notes, *notes))


def recognised_family(path: Path, weights_key: str = "") -> tuple[str, str]:
    """The family whose tensors a file has, by names and shapes, and what to say about it.

    Raises ModelError where it is none's, or where several have the same tensors. One that most tensors fit is returned
    too: importing then names the first that does not.
    """
    if path.is_dir():
        raise ModelError(
            f"family: {path} is a directory, which says nothing by its tensors' names alone: --family NAME"
        )
    if path.suffix == ".onnx":
        return "onnx", ""
    names, share = looks_like(read_weights_file(path, weights_key).state)
    if not names:
        raise ModelError(
            f"family: {path.name} looks like no known family's (`actionlens models families` lists them); say --family "
            "NAME, write a card, or import a network of your own with --module"
        )
    if len(names) > 1:
        raise ModelError(f"family: {share:.0%} of the tensors fit {', '.join(names)} alike; --family chooses")
    return names[0], f"family: {names[0]}, with which {share:.0%} of the tensors agree in name and shape"


def _called(path: Path) -> str:
    """A model's name by its file."""
    return re.sub(r"[^a-z0-9._-]+", "-", path.absolute().name.partition(".")[0].lower())[:_LONGEST].strip("-._")


def _no_key(path: Path, weights_key: str) -> None:
    if weights_key:
        raise ModelError(f"weights-key: {path.name} holds one network; leave it out")


def _read(entry: Family | None, path: Path, weights_key: str) -> Checkpoint:
    """Read weights; the family may have a kind of file of its own. Raises ModelError."""
    found = entry.read(path) if entry is not None and entry.read is not None else None
    if found is not None:
        _no_key(path, weights_key)
        return found
    if entry is not None and path.is_dir():
        return read_pretrained(entry, path, weights_key)
    file = read_weights_file(path, weights_key)
    state, notes, key = file.state, file.notes, "" if file.by_key else weights_key
    if entry is None:
        if key:
            raise ModelError(f"weights-key: {key!r} is no key of {path}; it has {', '.join(file.keys) or 'none'}")
        return Checkpoint(state, notes=notes)
    state, more = unwrapped(entry, state, key)
    found = Checkpoint(state) if entry.reported is None else entry.reported(state)
    arguments, said = _described(entry, file.arch, path)
    return dataclasses.replace(
        found, arguments={**found.arguments, **arguments}, notes=(*notes, *more, *found.notes, *said)
    )


def _described(entry: Family, arch: str, path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments by what a checkpoint calls its network, else by the names of file and folder, with a note."""
    if entry.described is None:
        return {}, ()
    for name in [arch] if arch else [path.name, path.absolute().parent.name]:
        if arguments := dict(entry.described(name)):
            values = ", ".join(f"{key}: {value}" for key, value in arguments.items())
            return arguments, (f"{values}, as the name {name!r} says",)
    return {}, ()


def _labels(
    path: Path | None, weights: Path, checkpoint: Checkpoint, fitted: FittedCheckpoint
) -> tuple[list[str], list[str]]:
    """The labels of a checkpoint, and what is to be said about them."""
    if path is not None:
        given = read_labels(path)
        if len(given.names) != fitted.classes:
            raise ModelError(_other_number(given, fitted.classes))
        return list(given.names), list(given.notes)
    labels = list(checkpoint.labels)
    if not labels:
        note = f"no labels given: the {fitted.classes} classes are called by number; name them with --labels FILE"
        return [str(number) for number in range(fitted.classes)], [note]
    if len(labels) != fitted.classes:
        raise ModelError(_other_number(Labels(tuple(labels), str(weights)), fitted.classes))
    return labels, []


def _other_number(labels: Labels, classes: int) -> str:
    return f"labels: {labels.source} has {len(labels.names)} labels, the weights have {classes} classes"


def _write(
    document: dict[str, Any],
    weights: dict[str, Tensor] | Path,
    store: Path,
    source: str,
    replace: bool,
    labels: Labels | None = None,
    code: bytes = b"",
) -> ImportedModel:
    """Everything after a card and weights are there: tensors, or a file that is the network.

    code: packed, of a network that brings its own. source: what a message blames for a field that does not fit.
    labels: with the file that they are blamed on.
    """
    with tempfile.TemporaryDirectory(dir=_folder(store), prefix=".import-") as work:
        made = Path(work) / "model"
        made.mkdir()
        notes: tuple[str, ...] = ()
        if isinstance(weights, Path):
            file = made / f"model{weights.suffix}"
            _copy(weights, file)
        else:
            file = made / WEIGHTS_FILE
            # Copies, because tensors that share memory, as tied layers do, cannot be saved.
            save_file({name: tensor.contiguous().clone() for name, tensor in weights.items()}, file)
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        document = {**document, "weights": {"file": file.name, "sha256": digest}}
        if code:
            (made / CODE_FILE).write_bytes(code)
            document["code"] = _code(code)
        card = _card(document, source)
        target = store / card.name
        if target.exists() and not replace:
            raise ModelError(f"name: {card.name!r} is already in {store}; replace it with --replace")
        if isinstance(weights, Path):
            card, notes = settled(card, weights, "" if labels is None or labels.source == source else labels.source)
        write_card(card, made)
        model = ActionModel.load(made, trust_code=bool(code))
        answer_noise(Engine(model))
        notes += model.notes
        if card.scores is None:
            write_card(card.model_copy(update={"scores": model.scores}), made)
        if target.exists():
            # Aside, not removed: whatever ends this process now, one of the two is there whole.
            target.rename(Path(work) / "replaced")
        made.rename(target)
    return ImportedModel(target, notes, {entry.name: entry.unsupported(model) or "" for entry in methods().values()})


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ModelError(f"{source}: {error.strerror}") from error


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _size(text: str) -> tuple[int, int]:
    """Height and width of `224` or `128x171`. Raises ValueError."""
    height, _, width = text.partition("x")
    return int(height), int(width or height)


def main(arguments: list[str] | None = None) -> int:
    """Command line: what was imported as JSON and 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m handlers.importing", description=__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--card", type=Path, help="the model's card (YAML) without its weights section")
    source.add_argument("--family", help="the family whose public checkpoint the weights are, else as recognised")
    source.add_argument(
        "--module", metavar="PACKAGE.MODULE:NAME", help="your own network; its card is guessed by running it"
    )
    kinds = ", ".join((*SUFFIXES, ".onnx"))
    parser.add_argument(
        "--weights",
        type=Path,
        required=True,
        help=f"the trained weights: {kinds}, or a directory as transformers saves it or Play Fair's script leaves it",
    )
    parser.add_argument("--store", type=Path, required=True, help="the model store to write into")
    parser.add_argument("--labels", type=Path, help="without a card: a label a line, JSON or CSV")
    parser.add_argument("--name", default="", help="without a card: the model's name, else the file's")
    parser.add_argument("--frames", type=int, default=0, help="without a card: of its clips, else as published")
    parser.add_argument("--size", type=_size, help="with --module: of its frames, S or HxW pixels")
    parser.add_argument(
        "--weights-key",
        default="",
        help="which weights, where there are several: a key of a checkpoint (state_dict_ema), or a directory's variant",
    )
    parser.add_argument(
        "--trust-code", action="store_true", help="run the code that the card names as its architecture"
    )
    parser.add_argument("--replace", action="store_true", help="replace a model of the same name")
    options = parser.parse_args(arguments)
    if options.card is not None and (options.labels is not None or options.name or options.frames):
        parser.error("--labels, --name and --frames: a card has its own")
    if options.module is not None and not (options.frames and options.size):
        parser.error("--module: say --frames and --size of the clips that it takes")
    torch.set_num_threads(1)
    try:
        if options.card is not None:
            made = import_model(
                options.card,
                options.weights,
                options.store,
                weights_key=options.weights_key,
                replace=options.replace,
                trust_code=options.trust_code,
            )
        elif options.module is not None:
            made = import_network(
                options.module,
                options.weights,
                options.store,
                frames=options.frames,
                size=options.size,
                labels_path=options.labels,
                name=options.name,
                weights_key=options.weights_key,
                replace=options.replace,
                trust_code=options.trust_code,
            )
        else:
            found, said = options.family, ""
            if not found:
                found, said = recognised_family(options.weights, options.weights_key)
            made = import_checkpoint(
                found,
                options.weights,
                options.store,
                labels_path=options.labels,
                name=options.name,
                frames=options.frames,
                weights_key=options.weights_key,
                replace=options.replace,
            )
            made = dataclasses.replace(made, notes=(*filter(None, (said,)), *made.notes))
    except ModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({**dataclasses.asdict(made), "folder": str(made.folder)}, ensure_ascii=False))
    return 0
