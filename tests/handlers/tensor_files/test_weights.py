"""Files of weights as training scripts leave them, and what is said of those that hold something else."""

from __future__ import annotations

import argparse
import io
import pickle
import sys
import tracemalloc
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from handlers.errors import ModelError
from handlers.tensor_files.weights import read_weights
from tests.handlers import networks


@pytest.mark.filterwarnings("ignore")
def test_what_a_pickle_holds_is_named_and_what_to_do(tmp_path: Path) -> None:
    torch.save(networks.module(networks.card()), tmp_path / "whole.pth")
    torch.save({"a": torch.zeros(2).numpy()}, tmp_path / "arrays.pth")
    (tmp_path / "caffe2.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": np.zeros((2, 3))}}, protocol=2))
    (tmp_path / "tensors.pickle").write_bytes(pickle.dumps({"a": torch.zeros(3)}))
    (tmp_path / "text.pickle").write_bytes(pickle.dumps("text", protocol=2))
    (tmp_path / "net.onnx").write_bytes(b"")
    for name, message in {
        "whole.pth": r"handlers\.models\.\S+, .* save the model's state_dict\(\)$",
        "arrays.pth": r"NumPy arrays \(numpy\.\S+\), as Caffe2's",
        "caffe2.pkl": r"NumPy arrays .* take the PyTorch file of the same network",
        "tensors.pickle": "is not a file of tensors",
        "text.pickle": r"cannot be read as \.pickle",
        "net.onnx": "--family onnx",
    }.items():
        with pytest.raises(ModelError, match=rf"{name}: .*{message}") as refused:
            read_weights(tmp_path / name)
        assert "weights_only" not in str(refused.value)  # torch says how to run the code all the same


@pytest.mark.parametrize("zipped", [True, False])
def test_what_training_scripts_leave_beside_the_tensors_is_passed_over(tmp_path: Path, zipped: bool) -> None:
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 4])
    document = {
        "epoch": 3,
        "arch": "resnet",
        "args": argparse.Namespace(lr=0.1, betas=(0.9, np.float32(0.99))),
        "best_prec1": np.float64(71.5),
        "best": {"top1": np.int64(3), "all": [np.bool_(True)]},
        "cfg": "TRAIN:\n  ENABLE: true\n",
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "state_dict": {"model.module.weight": weight, "model.module.num_batches_tracked": torch.tensor(3)},
    }
    torch.save(document, tmp_path / "c3d.pickle", _use_new_zipfile_serialization=zipped)
    state = read_weights(tmp_path / "c3d.pickle")
    assert sorted(state) == ["num_batches_tracked", "weight"]
    assert torch.equal(state["weight"], weight)


class HistoryBuffer:
    """What mmengine's training log has for every number that it follows."""

    def __init__(self) -> None:
        self._log_history = np.array([0.5, 0.25])

    def mean(self) -> float:
        """One of the functions that are saved with it."""
        return float(self._log_history.mean())

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"statistics_methods": {"mean": HistoryBuffer.mean}}


HistoryBuffer.__module__ = "mmengine.logging.history_buffer"
HistoryBuffer.mean.__module__ = "mmengine.logging.history_buffer"


class Harmful:
    """Code that a pickle would run."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_training_log_of_mmengine_is_passed_over_and_nothing_of_it_is_run(
    tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modules = HistoryBuffer.__module__.split(".")
    with monkeypatch.context() as patch:
        for index in range(len(modules)):
            patch.setitem(sys.modules, ".".join(modules[: index + 1]), types.ModuleType("absent"))
        patch.setattr(sys.modules[HistoryBuffer.__module__], "HistoryBuffer", HistoryBuffer, raising=False)
        scalars = OrderedDict({"train/loss": HistoryBuffer()})
        document = {
            "meta": {"epoch": 1, "mmengine_version": "0.10.7"},
            "message_hub": {"log_scalars": scalars, "runtime_info": {"best": np.float64(0.5)}, "resumed_keys": {}},
            "state_dict": OrderedDict(weight=torch.ones(2)),
        }
        torch.save(document, tmp_path / "log.pth", _use_new_zipfile_serialization=zipped)
        torch.save(document | {"x": Harmful()}, tmp_path / "bad.pth", _use_new_zipfile_serialization=zipped)
    assert {name: tensor.tolist() for name, tensor in read_weights(tmp_path / "log.pth").items()} == {"weight": [1, 1]}
    with pytest.raises(ModelError, match="print, and code in a file is never run"):
        read_weights(tmp_path / "bad.pth")
    assert capsys.readouterr().out == ""


def test_an_old_pickle_that_claims_memory_without_bytes_is_refused(tmp_path: Path) -> None:
    """Sizes are pickled apart from the bytes, and a list says which bytes follow: here none do, for 8 GB."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, buffer, _use_new_zipfile_serialization=False)
    data = buffer.getvalue()
    device = data.index(b"cpu")
    claimed = b"J" + (2**31 - 1).to_bytes(4, "little")
    for four in (b"K\x04N", b"K\x04\x85"):
        at = data.index(four, device)
        data = data[:at] + claimed + data[at + 2 :]
    keys = data.rindex(b"\x80\x02]q")
    path = tmp_path / "claims.pt"
    path.write_bytes(data[:keys] + b"\x80\x02]q\x00.")
    with pytest.raises(ModelError, match="8590 MB, the file holds"):
        read_weights(path)


@pytest.mark.parametrize("length", [2**31 - 1, 2**33])
def test_no_room_is_made_for_what_a_file_only_says(tmp_path: Path, length: int) -> None:
    text = b"\x80\x02X" + (2**31 - 1).to_bytes(4, "little") + b"abc"
    (tmp_path / "old.pt").write_bytes(text)
    np.savez(tmp_path / "net.npz", a=np.zeros((3, 4), np.float32))
    with zipfile.ZipFile(tmp_path / "net.npz") as archive:
        stated = archive.read("a.npy").replace(b"(3, 4), }          ", f"({length},), }}".ljust(19).encode())
    with zipfile.ZipFile(tmp_path / "net.npz", "w") as archive:
        archive.writestr("a.npy", stated)
    tracemalloc.start()
    try:
        for name, says in (("old.pt", ""), ("net.npz", f"take {4 * length} bytes, and it holds 48")):
            with pytest.raises(ModelError, match=f"{name}: .*{says}"):
                read_weights(tmp_path / name)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**24
