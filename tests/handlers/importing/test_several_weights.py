"""Checkpoints as training frameworks leave them: which weights are taken, by what rule, and what is said about it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_checkpoint, import_model, main
from handlers.models import family
from tests.handlers import networks

State = dict[str, Tensor]
FAMILY = "motion-cnn"


def _state(seed: int) -> State:
    """The family's network; with batch norms, so that buffers count too."""
    torch.manual_seed(seed)
    module = family(FAMILY).build(classes=3)
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return dict(module.state_dict())


RAW, EMA = _state(0), _state(1)


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def averaged_model() -> State:
    """As torch's own AveragedModel saves it, which torchvision's reference script calls model_ema."""
    module = family(FAMILY).build(classes=3)
    module.load_state_dict(EMA)
    return dict(torch.optim.swa_utils.AveragedModel(module, use_buffers=True).state_dict())


def parameters_only(state: State) -> State:
    module = family(FAMILY).build(classes=3)
    names = {name for name, _ in module.named_parameters()}
    return {name: tensor for name, tensor in state.items() if name in names}


def optimizer() -> dict[str, Any]:
    weight = nn.Parameter(torch.ones(2))
    made = torch.optim.Adam([weight])
    weight.sum().backward()
    made.step()
    return made.state_dict()


class Lightning(dict[str, Any]):
    """Hyperparameters as Lightning keeps them: a class of its own in the pickle."""


Lightning.__module__, Lightning.__qualname__ = "lightning.fabric.utilities.data", "AttributeDict"

TAKES_AVERAGED: dict[str, Callable[[], object]] = {
    "timm": lambda: {"epoch": 3, "state_dict": RAW, "state_dict_ema": EMA, "optimizer": optimizer(), "metric": 71.0},
    "timm, wrapped": lambda: {"state_dict": under("module.", RAW), "state_dict_ema": under("module.", EMA)},
    "torchvision": lambda: {"model": RAW, "model_ema": averaged_model(), "optimizer": optimizer(), "epoch": 3},
    "VideoMAE": lambda: {"model": RAW, "model_ema": EMA, "scaler": {"scale": torch.tensor(2.0)}},
    "lightning callback": lambda: {
        "state_dict": under("model.", RAW),
        "callbacks": {
            "EMACallback": {"ema_state_dict": under("model.", EMA)},
            "Early": {"best_score": torch.tensor(1.0)},
        },
        "loops": {"fit": {"n": 1}},
    },
    "one state dict, two prefixes": lambda: {"state_dict": under("model.", RAW) | under("ema_model.", EMA)},
    "one state dict, no prefix": lambda: RAW | under("model_ema.module.", EMA),
    "one state dict, no prefix, the other order": lambda: under("model_ema.module.", EMA) | RAW,
    "ema-pytorch": lambda: (
        under("online_model.", RAW)
        | under("ema_model.", EMA)
        | {"initted": torch.tensor(True), "step": torch.tensor(9)}
    ),
    "averaged alone": lambda: {"ema": EMA},
    "the module of torch alone": averaged_model,
}
TAKES_RAW: dict[str, Callable[[], object]] = {
    # mmengine's EMAHook saves the averages under state_dict and the raw ones under ema_state_dict.
    "mmengine": lambda: {
        "meta": {"mmengine_version": "0.10.4"},
        "state_dict": RAW,
        "ema_state_dict": under("module.", EMA) | {"steps": torch.tensor(4)},
    },
    "mmcv buffers": lambda: {
        "state_dict": RAW | {f"ema_{name.replace('.', '_')}": tensor for name, tensor in EMA.items()}
    },
    "averages of parameters alone": lambda: {"state_dict": RAW, "state_dict_ema": parameters_only(EMA)},
    "lightning": lambda: {
        "state_dict": under("net.", RAW) | {"criterion.weight": torch.ones(3), "train_acc.total": torch.tensor(3)},
        "hyper_parameters": Lightning(lr=0.1),
        "optimizer_states": [optimizer()],
        "pytorch-lightning_version": "2.4.0",
    },
    "latent averages": lambda: (
        under("model.", RAW)
        | {f"model_ema.{name.replace('.', '')}": tensor for name, tensor in parameters_only(EMA).items()}
    ),
    "compiled": lambda: under("_orig_mod.", RAW),
    "compiled and parallel": lambda: under("module._orig_mod.", RAW),
    "parallel and compiled": lambda: under("_orig_mod.module.", RAW),
    "compiled in Lightning": lambda: {"state_dict": under("model._orig_mod.", RAW)},
    "FSDP": lambda: under("_fsdp_wrapped_module.", RAW),
    "a compiled part": lambda: {name.replace("features.", "features._orig_mod.", 1): t for name, t in RAW.items()},
    "a checkpointed part": lambda: {
        name.replace("features.", "features._checkpoint_wrapped_module.", 1): t for name, t in RAW.items()
    },
    "a parallel part": lambda: {name.replace("features.", "features.module.", 1): t for name, t in RAW.items()},
    "deepspeed": lambda: {"module": under("module.", RAW), "optimizer": None, "dp_world_size": 8},
    "PySlowFast": lambda: {"model_state": RAW, "optimizer_state": optimizer(), "cfg": "TRAIN:"},
    "any prefix": lambda: under("trainer.student.net.", RAW),
    "profiled": lambda: RAW | {"total_ops": torch.zeros(1), "features.0.total_params": torch.zeros(1)},
    "class weights beside": lambda: {"model": RAW, "class_weights": torch.ones(3), "mean": {"rgb": torch.zeros(3)}},
    "twice the same": lambda: {"model": RAW, "state_dict": RAW},
}


def card(path: Path) -> Path:
    size = family(FAMILY).input
    assert size is not None
    document = {
        "name": "net",
        "architecture": FAMILY,
        "labels": list(networks.LABELS),
        "input": size.model_dump(mode="json"),
    }
    (path / "card.yaml").write_text(yaml.safe_dump(document))
    return path / "card.yaml"


def by_card(path: Path, weights: Path, key: str = "") -> ImportedModel:
    return import_model(card(path), weights, path / "store", weights_key=key, replace=True)


def by_family(path: Path, weights: Path, key: str = "") -> ImportedModel:
    return import_checkpoint(FAMILY, weights, path / "store", weights_key=key, replace=True)


WAYS = {"card": by_card, "family": by_family}


def written(path: Path, content: object, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """Saved by torch; a class of a framework that is not here is pickled by its name all the same."""
    import sys
    import types

    if monkeypatch is not None:
        parts = Lightning.__module__.split(".")
        for index in range(len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[: index + 1]), types.ModuleType("absent"))
        monkeypatch.setattr(sys.modules[Lightning.__module__], "AttributeDict", Lightning, raising=False)
    torch.save(content, path / "w.pth")
    if monkeypatch is not None:
        monkeypatch.undo()
    return path / "w.pth"


def taken(made: ImportedModel) -> State:
    return load_file(made.folder / "weights.safetensors")


def same(found: State, expected: State) -> bool:
    return {name: True for name in expected} == {name: torch.equal(found[name], expected[name]) for name in found}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TAKES_AVERAGED)
def test_averaged_weights_are_taken_where_they_are_whole(tmp_path: Path, name: str, way: str) -> None:
    made = WAYS[way](tmp_path, written(tmp_path, TAKES_AVERAGED[name]()))
    assert same(taken(made), EMA)
    said = [note for note in made.notes if "averaged over training" in note and "--weights-key" in note]
    assert len(said) == (not name.endswith("alone"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TAKES_RAW)
def test_wrappers_and_company_make_no_difference(
    tmp_path: Path, name: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch = monkeypatch if name == "lightning" else None
    made = WAYS[way](tmp_path, written(tmp_path, TAKES_RAW[name](), patch))
    assert same(taken(made), RAW)
    for part, word in {
        "mmengine": "mmengine saves the averaged weights under it",
        "mmcv buffers": "left out, as no part of the network: ema_",
        "averages of parameters alone": "'state_dict_ema' is not",
        "lightning": "left out, as no part of the network: ",
        "latent averages": "left out, as no part of the network: model_ema.",
    }.items():
        assert name != part or [note for note in made.notes if word in note]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [
        ("timm", "state_dict", RAW),
        ("timm", "state_dict_ema", EMA),
        ("torchvision", "model", RAW),
        ("lightning callback", "callbacks.EMACallback.ema_state_dict", EMA),
        ("lightning callback", "ema_state_dict", EMA),
        ("lightning callback", "state_dict", RAW),
        ("one state dict, two prefixes", "model", RAW),
        ("one state dict, two prefixes", "ema_model.", EMA),
    ],
)
def test_a_key_chooses(tmp_path: Path, name: str, key: str, expected: State, way: str) -> None:
    made = WAYS[way](tmp_path, written(tmp_path, TAKES_AVERAGED[name]()), key)
    assert same(taken(made), expected)
    assert [note for note in made.notes if "as was asked for" in note]


@pytest.mark.parametrize("way", WAYS)
def test_a_file_that_does_not_say_which_is_refused(tmp_path: Path, way: str) -> None:
    for content, message in (
        ({"student": RAW, "teacher": EMA}, "holds several networks, student, teacher: --weights-key"),
        ({"model": RAW, "best_model": EMA}, "holds several networks, model, best_model: --weights-key"),
        (under("student.", RAW) | under("teacher.", EMA), "several networks, behind the prefixes student, teacher"),
        (under("_orig_mod.", RAW) | EMA, "twice, as it is and as"),
    ):
        weights = written(tmp_path, content)
        with pytest.raises(ModelError, match=message):
            WAYS[way](tmp_path, weights)
    weights = written(tmp_path, {"student": RAW, "teacher": EMA})
    assert same(taken(WAYS[way](tmp_path, weights, "teacher")), EMA)
    with pytest.raises(ModelError, match="weights-key: 'ema' is no key or prefix of the file"):
        WAYS[way](tmp_path, written(tmp_path, RAW), "ema")


@pytest.mark.parametrize("way", WAYS)
def test_a_head_beside_a_whole_network_is_not_dropped(tmp_path: Path, way: str) -> None:
    """A pretrained network, head and all, and the head that was trained: which counts is not for us to say."""
    state = under("backbone.", RAW) | {"cls_head.weight": EMA["head.weight"], "cls_head.bias": EMA["head.bias"]}
    with pytest.raises(ModelError, match=r"cls_head\.weight \[3, 96\] has no place"):
        WAYS[way](tmp_path, written(tmp_path, state))
    named = under("backbone.", RAW) | {"head.weight": EMA["head.weight"], "head.bias": EMA["head.bias"]}
    for content in (named, dict(reversed(named.items()))):
        with pytest.raises(ModelError, match=r"head\.weight is there twice, with 'backbone\.' before it and without"):
            WAYS[way](tmp_path, written(tmp_path, content))
    del state["backbone.head.weight"], state["backbone.head.bias"]
    made = WAYS[way](tmp_path, written(tmp_path, state))
    assert torch.equal(taken(made)["head.weight"], EMA["head.weight"])
    assert [note for note in made.notes if "cls_head.weight is taken for head.weight" in note]


def test_safetensors_have_prefixes_too(tmp_path: Path) -> None:
    save_file(under("state_dict.", RAW) | under("state_dict_ema.", EMA), tmp_path / "w.safetensors")
    assert same(taken(by_family(tmp_path, tmp_path / "w.safetensors")), EMA)
    assert same(taken(by_card(tmp_path, tmp_path / "w.safetensors", "state_dict")), RAW)


def test_the_command_takes_the_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = written(tmp_path, TAKES_AVERAGED["timm"]())
    store = tmp_path / "store"
    arguments = ["--family", FAMILY, "--weights", str(weights), "--store", str(store), "--name", "net"]
    assert main([*arguments, "--weights-key", "state_dict"]) == 0
    assert "under 'state_dict' (as was asked for), not 'state_dict_ema'" in capsys.readouterr().out
    assert same(load_file(store / "net/weights.safetensors"), RAW)
    assert main([*arguments, "--weights-key", "nothing"]) == 1
    assert "weights-key: 'nothing' is no key" in capsys.readouterr().err


class Scripted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ts", ".torchscript"])
def test_torchscript_is_named_and_nothing_of_torchs_is_said(
    tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"net{suffix}"
    torch.jit.save(torch.jit.trace(Scripted(), torch.zeros(1, 2)), path)
    capfd.readouterr()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        assert main(["--card", str(card(tmp_path)), "--weights", str(path), "--store", str(tmp_path / "s")]) == 1
    out, err = capfd.readouterr()
    assert not heard
    assert err.startswith(f"{path}: TorchScript: save state_dict(), or export to .onnx")
    assert len(err.splitlines()) == 1
    assert out == ""
    assert "weights_only" not in err


def test_an_exported_program_is_named(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Scripted(), (torch.zeros(1, 2),)), path)
    with pytest.raises(ModelError, match=r"net\.pt2: a program of torch\.export: save state_dict\(\), or export to"):
        by_family(tmp_path, path)


@pytest.mark.parametrize("name", ["ck_ema_timm", "ck_compile", "ck_script"])
def test_the_cases_of_the_faults(assets: Path, tmp_path: Path, name: str) -> None:
    folder = assets / "faults"
    if name == "ck_script":
        with pytest.raises(ModelError, match=r"ck_script\.pt: TorchScript: save state_dict\(\), or export to \.onnx"):
            import_model(folder / "card.yaml", folder / f"{name}.pt", tmp_path)
        return
    made = import_model(folder / "card.yaml", folder / f"{name}.pt", tmp_path)
    given = torch.load(folder / f"{name}.pt", weights_only=True)
    expected = given["state_dict_ema"] if name == "ck_ema_timm" else given
    assert same(taken(made), {key.removeprefix("_orig_mod."): tensor for key, tensor in expected.items()})
