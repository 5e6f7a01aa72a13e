"""CNN-LSTM, VGG16-LSTM and C-LSTM: layouts, sizes, what they compute, and that evidence is found in its frame."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.models.architectures.c_lstm import CLSTM
from handlers.models.architectures.cnn_lstm import CnnLstm
from handlers.models.architectures.vgg16_lstm import VGG16LSTM
from handlers.relevance import relevance, temporal_relevance, trace
from tests.handlers.models.architectures import checks

LRCN = {"channels": (4, 5), "pools": (2, 2), "hidden": 6, "size": 8}
VGG = {"widths": (3, 4, 4, 5, 5), "dense": 6, "hidden": 4, "size": 32}
CONV = {"layers": 2, "width": 4, "frames": 4, "size": 16}


def test_published_sizes() -> None:
    assert checks.parameters("cnn-lstm", 50) == 74_578  # as in the Keras file; torch.nn.LSTM has 128 biases more
    vgg16 = checks.parameters("vgg16-lstm", 1000, hidden=512)
    assert (
        vgg16 - 4 * 512 * (4096 + 512 + 1) - 513_000 == 138_357_544 - 4_097_000
    )  # torchvision's without its last layer
    # The paper's 1,324,014 leave out two of the three batch norms' 64 scales and shifts.
    assert checks.parameters("c-lstm", 174) == 1_324_014 + 2 * 64


def test_names_and_shapes() -> None:
    found = checks.shapes("vgg16-lstm", 24)
    expected = {
        "features.0.weight": (64, 3, 3, 3),
        "features.28.bias": (512,),
        "classifier.0.weight": (4096, 25088),
        "classifier.3.weight": (4096, 4096),
        "lstm.weight_ih": (2048, 4096, 1, 1),
        "fc.weight": (24, 512),
    }
    assert {key: found.get(key) for key in expected} == expected
    found = checks.shapes("c-lstm", 6, layers=2, frames=32)
    assert found["lstm1.weight_ih"] == (128, 3, 5, 5)
    assert found["lstm2.weight_hh"] == (128, 32, 5, 5)
    assert found["classifier.weight"] == (6, 32 * 14 * 14 * 32)


def test_a_cnn_lstm_computes_a_2d_cnn_per_frame_and_torchs_lstm() -> None:
    network = checks.seeded(CnnLstm(3, **LRCN))
    x = checks.clip(5, 8, batch=2)
    lstm = nn.LSTM(5 * 2 * 2, 6, batch_first=True).double()
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(network.lstm.weight_ih.flatten(1))
        lstm.weight_hh_l0.copy_(network.lstm.weight_hh.flatten(1))
        lstm.bias_ih_l0.copy_(network.lstm.bias)
        lstm.bias_hh_l0.zero_()
    frames = x.transpose(1, 2).flatten(0, 1)
    for layer in (network.conv1, network.conv2):
        frames = nn.functional.conv2d(frames, layer.weight, layer.bias, padding=1).relu()
        frames = nn.functional.max_pool2d(frames, 2)
    states, _ = lstm(frames.flatten(1).unflatten(0, (2, 5)))
    expected = network.classifier(states[:, -1])
    torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-10)


def test_a_vgg16_lstm_computes_vgg16_per_frame_and_the_mean_of_the_states_logits() -> None:
    network = checks.seeded(VGG16LSTM(3, **VGG))
    x = checks.clip(3, 32)
    y = x.transpose(1, 2).flatten(0, 1)
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            y = nn.functional.conv2d(y, layer.weight, layer.bias, padding=1)
        elif isinstance(layer, nn.ReLU):
            y = y.relu()
        else:
            y = nn.functional.max_pool2d(y, 2)
    y = y.flatten(1)
    for layer in (network.classifier[0], network.classifier[3]):
        y = nn.functional.linear(y, layer.weight, layer.bias).relu()
    states = network.lstm(y.T[None, :, :, None, None])[0, :, :, 0, 0].T
    torch.testing.assert_close(network(x)[0], network.fc(states).mean(0), rtol=1e-9, atol=1e-9)


def conv_lstm_by_hand(layer: nn.Module, frames: list[Tensor]) -> list[Tensor]:
    """Shi et al.'s equations without peepholes, one gate at a time. frames: [C, H, W] each."""
    gates_x, gates_h, shifts = layer.weight_ih.chunk(4), layer.weight_hh.chunk(4), layer.bias.chunk(4)
    hidden = cell = None
    found = []
    for frame in frames:
        parts = []
        for wx, wh, shift in zip(gates_x, gates_h, shifts, strict=True):
            part = nn.functional.conv2d(frame[None], wx, shift, stride=2, padding=2)
            parts.append(part if hidden is None else part + nn.functional.conv2d(hidden, wh, padding=2))
        i, f, g, o = parts[0].sigmoid(), parts[1].sigmoid(), parts[2].tanh(), parts[3].sigmoid()
        cell = i * g if cell is None else f * cell + i * g
        hidden = o * cell.tanh()
        found.append(hidden[0])
    return found


def test_a_c_lstm_computes_shis_equations() -> None:
    network = checks.seeded(CLSTM(3, **CONV))
    x = checks.clip(4, 16)
    frames = list(x[0].transpose(0, 1))
    for number in (1, 2):
        norm = network.get_submodule(f"norm{number}")
        frames = conv_lstm_by_hand(network.get_submodule(f"lstm{number}"), frames)
        frames = [nn.functional.max_pool2d(frame, 2) for frame in frames]
        frames = [norm(frame[None, :, None])[0, :, 0] for frame in frames]
    flat = torch.stack(frames).permute(0, 2, 3, 1).flatten()
    torch.testing.assert_close(network(x)[0], network.classifier(flat), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("build", "arguments", "frames", "size", "layer"),
    [
        (CnnLstm, LRCN, 5, 8, "features"),
        (VGG16LSTM, VGG, 3, 32, "features.29"),
        (CLSTM, CONV, 4, 16, "last"),
    ],
    ids=["cnn-lstm", "vgg16-lstm", "c-lstm"],
)
def test_the_program_is_the_network_and_relevance_goes_through(
    build: type[nn.Module], arguments: dict[str, object], frames: int, size: int, layer: str
) -> None:
    torch.manual_seed(0)  # with some weights no unit of thirteen layers is left alive
    network = build(3, **arguments)
    x = checks.clip(frames, size, batch=2)
    with torch.no_grad():
        for convolution in network.modules():
            if isinstance(convolution, nn.Conv2d):
                convolution.weight.mul_(3)  # thirteen layers of the usual size would leave nothing of the clip
    program = checks.check_program(checks.seeded(network), x, layer)
    assert not program.no_relevance
    found = [relevance(program.forward(x), target).values for target in range(3)]
    assert all(bool(values.isfinite().all()) for values in found)
    assert all(float(sum(values[item].abs().sum() for values in found)) > 0 for item in (0, 1))


@pytest.mark.parametrize("frame", [0, 2])
def test_evidence_is_found_in_its_frame_and_in_no_row_before_it(frame: int) -> None:
    network = checks.rising(VGG16LSTM(3, **VGG))
    x = torch.zeros(1, 3, 4, 32, 32)
    x[:, :, frame] = 1.0
    forward = trace(network).forward(x)
    rows = temporal_relevance(forward, 0)
    assert rows.anchors == (0, 1, 2, 3)
    assert bool((rows.values[0, :frame] == 0).all())
    for row in range(frame, 4):
        assert float(rows.values[0, row, frame]) > 0.999 * float(rows.values[0, row].sum()) > 0
    checks.check_rows(checks.seeded(VGG16LSTM(3, **VGG)), checks.clip(3, 32))


@pytest.mark.parametrize("frame", [0, 3, 4])
def test_the_last_state_of_a_cnn_lstm_is_one_row_over_all_frames(frame: int) -> None:
    x = torch.zeros(1, 3, 5, 8, 8)
    x[:, :, frame] = 1.0
    forward = trace(checks.rising(CnnLstm(3, **LRCN))).forward(x)
    rows = temporal_relevance(forward, 0)
    assert rows.values.shape == (1, 1, 5)
    assert rows.anchors == (4,)
    assert int(rows.values[0, 0].argmax()) == frame
    assert float(rows.lengths[0, 0]) == 5 - frame  # from the last frame back to the evidence
    shares = relevance(forward, 0).values.sum((0, 1, 3, 4))
    torch.testing.assert_close(shares, rows.values[0, 0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: CnnLstm(3, channels=(4, 4), pools=(2,)), "channels, pools: 2 and 1"),
        (lambda: CnnLstm(3, size=16), "pools: nothing is left"),
        (lambda: VGG16LSTM(3, size=16), "size: nothing is left"),
        (lambda: CLSTM(3, size=8, frames=2), "size: nothing is left"),
    ],
)
def test_sizes_that_leave_nothing_are_named(build: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
