"""Networks whose code lies beside their card: run where they are trusted, and nowhere else."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from actionlens.archive import write_archive
from actionlens.card import read_card, write_card
from handlers.checking import check_model
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import ModelError
from handlers.importing.checkpoint import ImportedModel, import_model, main
from handlers.models.action_model import ActionModel
from handlers.models.own_code import classes_argument
from tests.handlers import networks

NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, width=4):
        super().__init__()
        self.conv = nn.Conv3d(3, width, 3, padding=1)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3, 4)))
"""


def network() -> nn.Module:
    found: dict[str, type[nn.Module]] = {}
    exec(NET, found)
    torch.manual_seed(0)
    return found["Net"](3).eval()


def written(folder: Path, architecture: str, **changes: object) -> tuple[Path, Path]:
    """A card of this architecture and weights for it."""
    document = networks.card().model_dump(mode="json", exclude={"weights", "arguments", "layer"}, exclude_none=True)
    folder.mkdir(exist_ok=True)
    (folder / "card.yaml").write_text(
        yaml.safe_dump(document | {"architecture": architecture, "layer": "conv"} | changes)
    )
    torch.save(network().state_dict(), folder / "net.pth")
    return folder / "card.yaml", folder / "net.pth"


def imported(folder: Path, architecture: str, **changes: object) -> ImportedModel:
    return import_model(*written(folder, architecture, **changes), folder / "store", trust_code=True)


def logits(folder: Path) -> torch.Tensor:
    (answer,) = Engine.load(folder, trust_code=True).explain([ClipRequest(networks.clip(), [MethodCall("dtd")])])
    assert isinstance(answer, ClipAnswer)
    return answer.logits


def expected(folder: Path) -> torch.Tensor:
    pixels = torch.from_numpy(networks.clip()).permute(3, 0, 1, 2) / 255
    size = read_card(folder).input
    mean, std = (torch.tensor(values)[:, None, None, None] for values in (size.mean, size.std))
    with torch.no_grad():
        found: torch.Tensor = network()(((pixels - mean) / std)[None])[0]
    return found


def test_a_file_beside_the_card_is_served(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    made = imported(tmp_path, "net.py:Net")
    (tmp_path / "net.py").unlink()
    assert torch.allclose(logits(made.folder), expected(made.folder), atol=1e-5)
    assert made.methods["dtd"] == made.methods["grad-cam"] == ""
    assert check_model(made.folder, trust_code=True).passed
    assert "net" not in sys.modules


def test_a_package_is_served_with_the_modules_that_it_imports(tmp_path: Path) -> None:
    package = tmp_path / "package_of_the_test"
    (package / "parts").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts" / "body.py").write_text(NET)
    (package / "net.py").write_text("from package_of_the_test.parts.body import Net\nfrom .parts import body\n")
    made = imported(tmp_path, "package_of_the_test.net:Net")
    package.rename(tmp_path / "elsewhere")
    assert torch.allclose(logits(made.folder), expected(made.folder), atol=1e-5)
    with zipfile.ZipFile(made.folder / "code.zip") as archive:
        assert archive.namelist() == [f"{package.name}/{name}.py" for name in ("__init__", "net", "parts/body")]

    other = tmp_path / "other"
    (other / package.name).mkdir(parents=True)
    (other / package.name / "net.py").write_text(NET)
    with pytest.raises(ModelError, match=r"loaded in this process already, with other code"):
        imported(other, "package_of_the_test.net:Net")


def test_both_are_packed_for_the_workers(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    made = imported(tmp_path, "net.py:Net")
    with zipfile.ZipFile(write_archive(made.folder, tmp_path)) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert torch.allclose(logits(tmp_path / "unpacked"), expected(made.folder), atol=1e-5)
    assert not [path for path in (tmp_path / "unpacked").glob("*.py") if path.name != "action_handler.py"]


def test_nothing_runs_without_trust(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "net.py").write_text(f"open({str(ran)!r}, 'w').close()\n{NET}")
    card, weights = written(tmp_path, "net.py:Net")
    with pytest.raises(ModelError, match=r"net.py:Net is code of its own.*--trust-code or ACTIONLENS_TRUST_CODE=1"):
        import_model(card, weights, tmp_path / "store")
    assert main(["--card", str(card), "--weights", str(weights), "--store", str(tmp_path / "store")]) == 1
    assert not ran.exists()
    folder = import_model(card, weights, tmp_path / "store", trust_code=True).folder
    assert ran.exists()
    ran.unlink()
    with pytest.raises(ModelError, match="--trust-code"):
        ActionModel.load(folder)
    report = check_model(folder)
    assert not report.passed
    assert "--trust-code" in report.steps[-1].detail
    assert not ran.exists()


def test_code_of_another_digest_is_refused_before_it_runs(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (tmp_path / "net.py").write_text(NET)
    folder = imported(tmp_path, "net.py:Net").folder
    with zipfile.ZipFile(folder / "code.zip", "w") as archive:
        archive.writestr("net.py", f"open({str(ran)!r}, 'w').close()\n{NET}")
    with pytest.raises(ModelError, match=r"code.zip: code.sha256 is \w{64}, the card says \w{64}"):
        ActionModel.load(folder, trust_code=True)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("source", "architecture", "message"),
    [
        (NET, "absent.py:Net", "absent.py: No such file"),
        (NET, "net.py:Other", "net.py has no function or class Other"),
        (NET, "no_such_package.net:Net", "no package 'no_such_package'"),
        (NET, "sys:exit", "sys"),
        (NET, "torch:nn", "is compiled"),
        (NET, "net.py:", "not package.module:build"),
        (NET, "net.py:Net()", "not package.module:build"),
        (NET, "../x.py:Net", "No such file"),
        ("import no_such_library", "net.py:Net", "install no_such_library where models are served"),
        ("raise SystemExit(3)", "net.py:Net", "SystemExit: 3"),
        ("def Net(:", "net.py:Net", "SyntaxError"),
        ("Net = 3", "net.py:Net", "no function or class Net"),
        ("def Net(classes): return 3", "net.py:Net", "it makes a int, not a torch.nn.Module"),
        ("def Net(classes): raise KeyError('size')", "net.py:Net", "KeyError: 'size'"),
        (NET.replace("self.head(", "(lambda x: (x,))("), "net.py:Net", "puts out a tuple, not a tensor of logits"),
        (
            NET.replace("self.conv(x)", "self.conv(x.transpose(1, 2))"),
            "net.py:Net",
            r"is given float32 \[1, 3, 6, 12, 16\]",
        ),
        (NET.replace("mean((2, 3, 4))", "mean((3, 4)).transpose(1, 2)"), "net.py:Net", r"puts out \[1, 6, 3\]"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, source: str, architecture: str, message: str) -> None:
    (tmp_path / "net.py").write_text(source)
    with pytest.raises(ModelError, match=message):
        imported(tmp_path, architecture)
    assert not [path for path in (tmp_path / "store").glob("*") if not path.name.startswith(".")]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../net.py": b""}, "no Python file of a package"),
        ({"net.so": b""}, "no Python file of a package"),
        ({"net.py": b" " * (16 * 2**20 + 1)}, "bytes of code"),
        ({"other.py": b""}, "there is no net.py in its code"),
        (None, "no zip archive"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, entries: dict[str, bytes] | None, message: str) -> None:
    (tmp_path / "net.py").write_text(NET)
    folder = imported(tmp_path, "net.py:Net").folder
    made = io.BytesIO(b"nothing")
    if entries is not None:
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
    (folder / "code.zip").write_bytes(made.getvalue())
    card = read_card(folder)
    assert card.code is not None
    code = card.code.model_copy(update={"sha256": hashlib.sha256(made.getvalue()).hexdigest()})
    write_card(card.model_copy(update={"code": code}), folder)
    with pytest.raises(ModelError, match=message):
        ActionModel.load(folder, trust_code=True)


def test_an_operation_without_a_rule_leaves_the_methods_that_need_none(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET.replace(".relu()", ".erfinv().nan_to_num()"))
    made = imported(tmp_path, "net.py:Net", layer="")
    assert "erfinv" in made.methods["dtd"]
    assert made.methods["integrated-gradients"] == ""


def test_the_number_of_classes_goes_where_it_is_taken() -> None:
    assert classes_argument(lambda width, n_classes: width) == "n_classes"
    assert classes_argument(lambda **more: more) == "classes"
    assert classes_argument(lambda width: width) == ""
