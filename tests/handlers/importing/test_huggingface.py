"""Directories as Hugging Face's transformers saves them: what is read from them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from actionlens.card import read_card
from handlers.engine.engine import Engine
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint, import_model, main
from handlers.importing.huggingface import read_pretrained
from handlers.models import family
from tests.handlers import networks
from tests.handlers.models.architectures import directories


def test_a_directory_of_another_family_is_named(tmp_path: Path) -> None:
    folder = directories.saved(directories.classifier("timesformer"), tmp_path / "hub")
    with pytest.raises(ModelError, match=r"videomae\.embeddings\.patch.* is missing; .*'timesformer': --family times"):
        import_checkpoint("videomae", folder, tmp_path / "store")
    with pytest.raises(ModelError, match=r"family: s3d has no directories .*; timesformer, videomae, vivit, vjepa2"):
        import_checkpoint("s3d", folder, tmp_path / "store")
    assert not list((tmp_path / "store").glob("*"))


def test_fields_that_no_network_here_has_are_named(tmp_path: Path) -> None:
    folder = directories.saved(directories.classifier("timesformer"), tmp_path / "hub")
    with pytest.raises(ModelError, match=r"arguments: timesformer: attention_type: 'space_only'; only"):
        import_checkpoint("timesformer", directories.changed(folder, attention_type="space_only"), tmp_path / "store")
    directories.changed(folder, attention_type="divided_space_time", hidden_act="quick_gelu")
    with pytest.raises(ModelError, match=r"arguments: timesformer: hidden_act: 'quick_gelu' is not one of gelu"):
        import_checkpoint("timesformer", folder, tmp_path / "store")
    directories.changed(folder, hidden_act="gelu", id2label={"0": "wave", "1": "jump"})
    with pytest.raises(ModelError, match="hub has 2 labels, the weights have 3 classes"):
        import_checkpoint("timesformer", folder, tmp_path / "store")
    directories.changed(folder, id2label={"0": "wave", "2": "jump", "4": "sit"})
    with pytest.raises(ModelError, match=r"config\.json: id2label: its 3 keys must be 0 to 2"):
        import_checkpoint("timesformer", folder, tmp_path / "store")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"holds neither model\.safetensors nor pytorch_model\.bin"):
        import_checkpoint("timesformer", folder, tmp_path / "store")


@pytest.mark.parametrize(
    ("field", "size", "message"),
    [
        ("hidden_size", 10**8, r"weights: .* is \[.*24.*\], timesformer.* takes \[.*100000000"),
        ("intermediate_size", 10**9, r"weights: .*dense\.weight is \[40, 24\], timesformer.* takes \[1000000000, 24\]"),
        ("num_hidden_layers", 3000, r"arguments: num_hidden_layers: 3000, but there are \d\d tensors"),
        ("hidden_size", 10**30, r"arguments: timesformer: "),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_not_built(tmp_path: Path, field: str, size: int, message: str) -> None:
    folder = directories.saved(directories.classifier("timesformer"), tmp_path / "hub")
    directories.changed(folder, model_type="other", **{field: size})  # so that nobody looks for what it looks like
    card = networks.card(architecture="timesformer", arguments={}, layer="")
    document = card.model_dump(mode="json", exclude={"weights"}, exclude_none=True)
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(ModelError, match=message):
        import_checkpoint("timesformer", folder, tmp_path / "store")
    with pytest.raises(ModelError, match=message):
        import_model(tmp_path / "card.yaml", folder, tmp_path / "store")


@pytest.mark.parametrize("size", [None, [24, 24, 24], "large", 10**9])
def test_a_picture_size_that_is_none_is_named(tmp_path: Path, size: object) -> None:
    folder = directories.saved(directories.classifier("timesformer"), tmp_path / "hub")
    with pytest.raises(ModelError, match=r"hub: height: "):
        import_checkpoint("timesformer", directories.changed(folder, image_size=size), tmp_path / "store")


def test_the_clip_is_cut_out_as_its_processor_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = directories.classifier("vivit")
    processor = {"do_center_crop": True, "size": {"shortest_edge": 30}, "rescale_factor": 1 / 127.5, "offset": True}
    folder = directories.saved(network, tmp_path / "hub", processor | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    directories.changed(folder, id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})
    store = tmp_path / "store"
    assert main(["--family", "vivit", "--weights", str(folder), "--store", str(store), "--name", "clips"]) == 0
    said = capsys.readouterr().out
    assert "called by number" in said
    engine = Engine.load(store / "clips")
    assert engine.model.card.labels == ("0", "1", "2")
    assert (engine.model.card.input.height, engine.model.card.input.shorter) == (directories.SIZE, 30)
    pixels = networks.clip(0, directories.FRAMES, directories.SIZE, directories.SIZE)
    # (pixel / 127.5 - 1 - 0.5) / 0.5, as the library's processor has it.
    expected = (torch.from_numpy(pixels).permute(3, 0, 1, 2)[None] / 127.5 - 1.5) / 0.5
    torch.testing.assert_close(engine.model.prepare([pixels]), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("frames", "stride"), [(4, 32), (8, 32), (16, 16), (96, 3)])
def test_more_frames_are_seen_closer_together(tmp_path: Path, frames: int, stride: int) -> None:
    """As TimeSformer is published: 8 x 32, 16 x 16, 96 x 4 (here 3, since they span the time of the others)."""
    folder = directories.saved(directories.classifier("timesformer"), tmp_path / "hub")
    shown = read_pretrained(family("timesformer"), directories.changed(folder, num_frames=frames)).input
    assert shown is not None
    assert (shown.frames, shown.stride) == (frames, stride)


def test_older_directories_hold_a_pickle_of_tensors(tmp_path: Path) -> None:
    network = directories.classifier("videomae")
    folder = directories.saved(network, tmp_path / "hub")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    made = import_checkpoint("videomae", folder, tmp_path / "store")
    assert [note for note in made.notes if "published checkpoints" in note] == [made.notes[0]]
    card = read_card(made.folder)
    assert card.input.mean == (0.485, 0.456, 0.406)
    # Another card's arguments are not silently replaced.
    path = tmp_path / "card.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "other",
                "architecture": "videomae",
                "arguments": {"num_hidden_layers": 7},
                "labels": ["a", "b", "c"],
                "input": {"frames": 4, "height": 24, "width": 24},
            }
        )
    )
    with pytest.raises(ModelError, match=r"arguments: the card has \{'num_hidden_layers': 7\}"):
        import_model(path, folder, tmp_path / "store")
