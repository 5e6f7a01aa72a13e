"""Files of labels as people have them: each form gives the same classes, and each mistake names the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file

from actionlens.card import read_card
from handlers.errors import ModelError
from handlers.importing.checkpoint import import_checkpoint, import_model
from handlers.labels import labels_of, read_labels
from handlers.models import family
from tests.handlers import networks, onnx_files

NAMES = ["abseiling", "air drumming", "archery, field", "yoga", "zumba"]
FORMS: dict[str, tuple[str, str, str]] = {
    "lines": ("l.txt", "utf-8", "\n".join(NAMES) + "\n"),
    "windows lines with a mark": ("l.txt", "utf-8-sig", "\r\n".join(NAMES) + "\r\n\r\n"),
    "utf-16 with a mark": ("l.txt", "utf-16", "\r\n".join(NAMES)),
    "numbered from 1": ("l.txt", "utf-8", "\n".join(f"{n} {name}" for n, name in enumerate(NAMES, 1))),
    "numbered from 0, tabs": ("l.txt", "utf-8", "\n".join(f"{n}\t{name}" for n, name in enumerate(NAMES))),
    "numbered with points": ("l.txt", "utf-8-sig", "\n".join(f"{n}. {name}" for n, name in enumerate(NAMES, 1))),
    "numbered, in another order": (
        "l.txt",
        "utf-8",
        "\n".join(f"{n} {name}" for n, name in sorted(enumerate(NAMES, 1), reverse=True)),
    ),
    "numbers behind": ("l.txt", "utf-8", "\n".join(f"{name}\t{n}" for n, name in enumerate(NAMES))),
    "JSON list": ("l.json", "utf-8", json.dumps(NAMES)),
    "JSON list with a mark, called .txt": ("l.txt", "utf-8-sig", json.dumps(NAMES)),
    "JSON by number": ("l.json", "utf-8", json.dumps(dict(reversed([(str(n), s) for n, s in enumerate(NAMES)])))),
    "JSON by number from 1": ("l.json", "utf-8", json.dumps({str(n): s for n, s in enumerate(NAMES, 1)})),
    "JSON by name": ("l.json", "utf-8", json.dumps({s: n for n, s in enumerate(NAMES)})),
    "JSON by name, as texts": ("l.json", "utf-8", json.dumps({f'"{s}"': str(n) for n, s in enumerate(NAMES)})),
    "config.json": ("config.json", "utf-8", json.dumps({"id2label": {n: s for n, s in enumerate(NAMES)}, "a": 1})),
    "JSON entries": ("l.json", "utf-8", json.dumps([{"id": n, "name": s} for n, s in enumerate(NAMES)][::-1])),
    "CSV": ("l.csv", "utf-8", "id,name\n" + "\n".join(f'{n},"{s}"' for n, s in enumerate(NAMES))),
    "CSV by name, with a mark": (
        "l.csv",
        "utf-8-sig",
        "name;id\n" + "\n".join(f"{s};{n}" for n, s in enumerate(NAMES)),
    ),
    "CSV without titles": ("l.csv", "utf-8", "\n".join(f'{n},"{s}"' for n, s in enumerate(NAMES))),
    "CSV of one column": ("l.csv", "utf-8", "label\n" + "\n".join(f'"{s}"' for s in NAMES)),
    "CSV called .txt": ("l.txt", "utf-8", "index,label\n" + "\n".join(f'{n},"{s}"' for n, s in enumerate(NAMES))),
    "TSV": ("l.tsv", "utf-8", "\n".join(f"{n}\t{s}" for n, s in enumerate(NAMES))),
    "CSV with more columns": (
        "l.csv",
        "utf-8",
        "label_id,class,notes\n" + "\n".join(f'{n},"{s}",text' for n, s in enumerate(NAMES)),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_classes(tmp_path: Path, form: str) -> None:
    name, encoding, text = FORMS[form]
    (tmp_path / name).write_bytes(text.encode(encoding))
    found = read_labels(tmp_path / name)
    assert list(found.names) == NAMES
    numbered = (
        any(word in form for word in ("umber", "by name", "entries", "CSV", "TSV", "config")) and "one" not in form
    )
    assert any("in the order of their numbers" in note for note in found.notes) == numbered


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("10 pushups\n20 pushups\n30 pushups\n", ["10 pushups", "20 pushups", "30 pushups"]),
        ("2 hands\n1 hand\nno hand\n", ["2 hands", "1 hand", "no hand"]),
        ("class 1\nclass 2\n", ["class 1", "class 2"]),
        ("[unknown]\nwalk\n", ["[unknown]", "walk"]),
        ("put, down\npick, up\n", ["put, down", "pick, up"]),
        ("1\n2\n3\n", ["1", "2", "3"]),
    ],
)
def test_numbers_that_belong_to_the_names_stay(tmp_path: Path, text: str, names: list[str]) -> None:
    (tmp_path / "l.txt").write_text(text)
    found = read_labels(tmp_path / "l.txt")
    assert list(found.names) == names
    assert any("target '3' is the class of that label, number 2" in note for note in found.notes) == (names[0] == "1")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.txt", b"a\nb\na\n", r"labels 1 and 3 are both 'a'"),
        ("l.txt", b"\xff\xfea\x00", r"has 1 labels"),
        ("l.txt", b"caf\xe9\nb\n", r"is not UTF-8 text \(byte 3\)"),
        ("l.txt", b"1 a\n2 b\n4 d\n", r"must be 0 to 2 or 1 to 3: 3 is missing"),
        ("l.txt", b"", r"has 0 labels"),
        ("l.txt", b"a\0b\nc\n", r"is not text"),
        ("l.json", b'["a", "b"', r"delimiter"),
        ("l.json", b'{"a": "b", "c": "d"}', r"neither the names by number nor"),
        ("l.json", b'{"a": 0, "b": 2}', r"1 is missing"),
        ("l.json", b'["a", true]', r"True is not a name"),
        ("l.json", b'"abc"', r"neither a list nor a map"),
        ("l.csv", b"id,name\n0,a\n1\n", r"row 3 has 1 columns"),
        ("l.csv", b"a,b\nc,d\n", r"2 columns of text"),
        ("l.csv", b"id,name\n", r"without a column of names"),
        ("l.csv", b'id,name\n0,"' + b"x" * 200_000 + b'"\n', r"field larger than field limit"),
        ("l.json", b"[" * 5000, r"deeper than 64"),
    ],
)
def test_mistakes_name_the_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"labels: .*{name}: .*{message}") as refused:
        read_labels(tmp_path / name)
    assert "card" not in str(refused.value).replace(str(tmp_path), "")


def _card(path: Path, **fields: object) -> Path:
    document = networks.card().model_dump(mode="json", exclude={"weights", "labels"}, exclude_none=True)
    (path / "card.yaml").write_text(yaml.safe_dump(document | fields))
    save_file(networks.module(networks.card()).state_dict(), path / "w.safetensors")
    return path / "card.yaml"


def test_a_card_takes_the_same_forms(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes("id,name\r\n1,right\r\n0,left\r\n2,still\r\n".encode("utf-8-sig"))
    for fields in ({"labels_file": "l.csv"}, {"labels": {2: "still", 0: "left", 1: "right"}}):
        made = import_model(_card(tmp_path, **fields), tmp_path / "w.safetensors", tmp_path / "store", replace=True)
        assert read_card(made.folder).labels == ("left", "right", "still")
        assert [note for note in made.notes if "in the order of their numbers" in note]
    made = import_model(_card(tmp_path, labels=[1, 2, 3]), tmp_path / "w.safetensors", tmp_path / "store", replace=True)
    assert read_card(made.folder).labels == ("1", "2", "3")
    (tmp_path / "l.txt").write_text("left\nright\nleft\n")
    with pytest.raises(ModelError, match=r"^labels: .*l\.txt: labels 1 and 3 are both 'left'"):
        import_model(_card(tmp_path, labels_file="l.txt"), tmp_path / "w.safetensors", tmp_path / "store")
    (tmp_path / "l.txt").write_text("left\nright\n")
    with pytest.raises(ModelError, match=r"^labels: .*l\.txt has 2 labels, the weights have 3 classes"):
        import_model(_card(tmp_path, labels_file="l.txt"), tmp_path / "w.safetensors", tmp_path / "store")
    with pytest.raises(ModelError, match=r"labels and labels_file: give one"):
        import_model(_card(tmp_path, labels_file="l.txt", labels=["a"]), tmp_path / "w.safetensors", tmp_path / "store")


def test_families_and_onnx_files_take_them_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(family("motion-cnn").build(classes=3).state_dict(), tmp_path / "w.pth")
    nodes, weights = onnx_files.network()
    onnx_files.write(tmp_path / "net.onnx", nodes, weights)
    (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbf1 left\r\n2 right\r\n3 still\r\n")
    (tmp_path / "two.txt").write_text("left\nright\n")
    for name, file in (("motion-cnn", "w.pth"), ("onnx", "net.onnx")):
        made = import_checkpoint(
            name, tmp_path / file, tmp_path / "store", labels_path=tmp_path / "l.txt", name=f"n-{name}"
        )
        assert read_card(made.folder).labels == ("left", "right", "still")
        assert [note for note in made.notes if "in the order of their numbers, from 1" in note]
        with pytest.raises(ModelError, match=r"labels: .*two\.txt has 2 labels"):
            import_checkpoint(name, tmp_path / file, tmp_path / "other", labels_path=tmp_path / "two.txt")
    onnx_files.write(tmp_path / "named.onnx", nodes, weights, labels='{"0": "left", "1": "right", "2": "still"}')
    made = import_checkpoint("onnx", tmp_path / "named.onnx", tmp_path / "store")
    assert read_card(made.folder).labels == ("left", "right", "still")
    onnx_files.write(tmp_path / "text.onnx", nodes, weights, labels='"abc"')
    with pytest.raises(ModelError, match=r"labels: .*text\.onnx, its metadata: is neither a list nor a map"):
        import_checkpoint("onnx", tmp_path / "text.onnx", tmp_path / "store")


def test_labels_within_a_document_are_found() -> None:
    assert labels_of({"labels": ["a", "b"]}, "x").names == ("a", "b")
    assert labels_of({"label2id": {"b": 1, "a": 0}}, "x").names == ("a", "b")


def test_the_cases_of_the_faults(assets: Path) -> None:
    assert read_labels(assets / "faults/labels_bom.txt").names[0] == "abseiling"
    numbers = read_labels(assets / "faults/labels_numbers.txt")
    assert numbers.names == ("1", "2", "3", "4", "5")
    assert numbers.notes
