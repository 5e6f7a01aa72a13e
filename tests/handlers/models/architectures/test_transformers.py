"""Transformers: what Hugging Face's own code computes, and explanations that lie where their patches lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actionlens.card import read_card
from handlers.checking import check_method
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers import methods
from handlers.explainers.attribution import SaliencyVolume
from handlers.importing.checkpoint import import_checkpoint
from handlers.models import family
from handlers.models.blocks.tokens import TokenNetwork
from tests.handlers import networks
from tests.handlers.models.architectures import checks, directories

FAMILIES = tuple(directories.TINY)
PROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "do_center_crop": True}
UNSUPPORTED = {"atr", "deep-lift", "esv", "guided-backprop", "guided-grad-cam"}


class Made:
    """The library's classifier, and the same imported."""

    def __init__(self, name: str, folder: Path, **changes: Any) -> None:
        self.name = name
        self.theirs = directories.classifier(name, **changes)
        self.folder = directories.saved(self.theirs, folder / f"tiny-{name}", PROCESSOR)
        self.imported = import_checkpoint(name, self.folder, folder / "store")
        self.engine = Engine.load(self.imported.folder)
        module = self.engine.model.module
        assert isinstance(module, TokenNetwork)
        self.ours = module


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(request.param, tmp_path_factory.mktemp(request.param))


def clip(seed: int = 0):
    return networks.clip(seed, directories.FRAMES, directories.SIZE, directories.SIZE)


def clips(batch: int = 2) -> Tensor:
    return checks.clip(directories.FRAMES, directories.SIZE, batch).float()


def test_an_imported_directory_predicts_as_the_library_does(made: Made) -> None:
    (answer,) = made.engine.explain([ClipRequest(clip())])
    assert isinstance(answer, ClipAnswer)
    pixels = torch.from_numpy(clip()).permute(3, 0, 1, 2)[None] / 255
    mean, std = (torch.tensor(PROCESSOR[key]).view(1, 3, 1, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        expected = directories.logits(made.theirs, (pixels - mean) / std).logits[0]
    torch.testing.assert_close(answer.logits, expected, atol=1e-5, rtol=1e-5)
    card = read_card(made.imported.folder)
    assert card.name == f"tiny-{made.name}"
    assert card.labels == directories.LABELS
    assert (card.input.frames, card.input.height, card.input.width) == (4, 24, 24)
    assert made.imported.methods["attention-rollout"] == ""


def test_the_program_computes_the_module_and_its_gradient(made: Made) -> None:
    network = family(made.name).build(classes=3, **read_card(made.imported.folder).arguments)
    network.load_state_dict(made.ours.state_dict())
    checks.check_program(network.double().eval(), checks.clip(4, 24, 2), "tokens")


@pytest.mark.parametrize("name", FAMILIES)
def test_full_size_networks_have_the_library_s_tensors(name: str) -> None:
    # The library computes positions slowly, and they are not trained: fewer of them.
    few = {"num_frames": 2, "image_size": 32} if name == "videomae" else {}
    with torch.device("meta"):
        theirs = directories.built(name, **few)
    expected = family(name).named(theirs.state_dict())
    assert checks.shapes(name, classes=3) == {key: tuple(tensor.shape) for key, tensor in expected.items()}


def test_every_method_but_those_of_other_networks_explains_it(made: Made) -> None:
    found = {name: check_method(made.engine, name) for name in methods()}
    assert {name for name, check in found.items() if not check.supported} == UNSUPPORTED
    assert "the head is not linear" in found["atr"].reason
    assert "it has no rectifiers" in found["guided-backprop"].reason


def test_evidence_in_one_patch_lies_there_on_the_grid(made: Made) -> None:
    steps, rows, columns = made.ours.grid
    step, row, column = steps - 1, 2, 1
    x = torch.zeros(2, 3, 4, 24, 24)
    every = 4 // steps
    x[1, :, step * every : (step + 1) * every, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 1.0
    layer, _ = made.ours.reads()[0]
    tokens = made.engine.model.program.forward(x, [layer], relevance=False).activation(layer)
    found = made.engine.model.on_grid(layer, tokens)
    moved = (found[1] - found[0]).abs().sum(0)
    assert moved.shape == (steps, rows, columns)
    assert moved.nonzero().tolist() == [[step, row, column]]


def test_grad_cam_reads_the_tokens_before_the_last_attention(made: Made) -> None:
    calls = [MethodCall("grad-cam", {"signed": True})]
    (answer,) = made.engine.explain([ClipRequest(clip(), calls, target=1)])
    assert isinstance(answer, ClipAnswer)
    result = answer.explained[0].result
    assert isinstance(result, SaliencyVolume)
    every = 4 // made.ours.grid[0]
    assert result.frame_positions == tuple(every * step + (every - 1) / 2 for step in range(made.ours.grid[0]))

    # In the library: what its last block (of V-JEPA 2: its attentive pooler) is given.
    last = {
        "videomae": "videomae.encoder.layer.2",
        "vivit": "vivit.layers.2",
        "timesformer": "timesformer.encoder.layer.2",
        "vjepa2": "pooler.cross_attention_layer",
    }[made.name]
    given: list[Tensor] = []
    place = 1 if made.name == "vjepa2" else 0
    hook = made.theirs.get_submodule(last).register_forward_pre_hook(lambda _, inputs: given.append(inputs[place]))
    score = directories.logits(made.theirs, made.engine.model.prepare([clip()])).logits[0, 1]
    hook.remove()
    (slope,) = torch.autograd.grad(score, given[0])
    tokens, slopes = (_by_place(made, tensor)[0] for tensor in (given[0].detach(), slope))
    expected = (slopes.mean((2, 3), keepdim=True) * tokens).sum(0)
    torch.testing.assert_close(result.values, expected, atol=1e-5, rtol=1e-4)


def _by_place(made: Made, tokens: Tensor) -> Tensor:
    """The library's tokens [B, N, D] as [B, D, T', H', W']; TimeSformer's have time innermost."""
    steps, rows, columns = made.ours.grid
    patches = tokens[:, -steps * rows * columns :].transpose(1, 2)
    if made.name == "timesformer":
        return patches.unflatten(2, (rows, columns, steps)).permute(0, 1, 4, 2, 3)
    return patches.unflatten(2, made.ours.grid)


def test_rollout_is_the_product_of_all_attention(made: Made) -> None:
    (answer,) = made.engine.explain([ClipRequest(clip(), [MethodCall("attention-rollout")])])
    assert isinstance(answer, ClipAnswer)
    result = answer.explained[0].result
    assert isinstance(result, SaliencyVolume)
    row = _read_out(made)
    for matrix in reversed(_attention(made)):
        row = row @ (matrix + torch.eye(len(matrix))) / 2
    torch.testing.assert_close(result.values, _by_place(made, row[None, :, None])[0, 0], atol=1e-5, rtol=1e-4)
    assert result.details.measures["share_of_patches"] == pytest.approx(float(row[made.ours.ahead :].sum()), rel=1e-4)
    assert float(row.sum()) == pytest.approx(1.0, rel=1e-5)


def _probabilities(made: Made, pattern: str) -> list[Tensor]:
    """The attention of the library's modules of that ending, in order, averaged over heads."""
    found: list[Tensor] = []
    hooks = []
    for name, module in made.theirs.named_modules():
        if name.endswith(pattern):
            keep = lambda m, i, out: found.append((out[1] if isinstance(out, tuple) else out).detach().mean(-3))  # noqa: E731
            hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        directories.logits(made.theirs, made.engine.model.prepare([clip()]))
    for hook in hooks:
        hook.remove()
    return found


def _attention(made: Made) -> list[Tensor]:
    """[N, N] of every attention, from the clip upwards, over the library's tokens."""
    if made.name == "timesformer":
        return _divided(made)
    endings = {"videomae": ["attention.attention"], "vivit": ["attention"], "vjepa2": [".attention", "self_attn"]}
    return [matrix[0] for ending in endings[made.name] for matrix in _probabilities(made, ending)]


def _divided(made: Made) -> list[Tensor]:
    """Time's and space's matrices in turn, written out token by token: 1 + place * steps + step."""
    steps, rows, columns = made.ours.grid
    places = rows * columns
    matrices = []
    for time, space in zip(*[iter(_probabilities(made, "attn_drop"))] * 2, strict=True):
        along, within = torch.eye(1 + places * steps), torch.zeros(1 + places * steps, 1 + places * steps)
        for place in range(places):
            own = 1 + place * steps
            along[own : own + steps, own : own + steps] = time[place]
        for step in range(steps):
            members = [0, *(1 + place * steps + step for place in range(places))]
            for position, token in enumerate(members):
                share = 1 / steps if token == 0 else 1.0
                within[token, members] += share * space[step, position]
        matrices += [along, within]
    return matrices


def _read_out(made: Made) -> Tensor:
    """The head's share of each of the last block's tokens."""
    count = made.ours.count
    if made.name == "videomae":
        return torch.full((count,), 1 / count)
    if made.name == "vjepa2":
        return _probabilities(made, "cross_attn")[0][0, 0]
    return torch.eye(count)[0]


def test_rollout_has_no_class_to_contrast(made: Made) -> None:
    (answer,) = made.engine.explain([ClipRequest(clip(), [MethodCall("attention-rollout")], target=0, contrast=1)])
    assert isinstance(answer, ClipAnswer)
    refusal = answer.explained[0].result
    assert isinstance(refusal, RequestError)
    assert (refusal.field, refusal.reason) == ("target.contrast", "CONTRAST_UNSUPPORTED")


def test_a_first_token_in_place_of_the_mean(tmp_path: Path) -> None:
    made = Made("videomae", tmp_path, use_mean_pooling=False, qv_bias=False)
    x = clips()
    with torch.no_grad():
        torch.testing.assert_close(made.ours(x), directories.logits(made.theirs, x).logits, atol=1e-5, rtol=1e-5)
