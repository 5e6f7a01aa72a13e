"""Fetching published weights from a server on this machine that breaks off, forgets and lies."""

from __future__ import annotations

import fcntl
import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from actionlens.card import read_card
from handlers.models import family
from handlers.models.family_registry import families
from service.cli.main import app
from service.cli.weights_download import CatalogueEntry, fetch, find_entry, read_catalogue
from service.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable

CONTENT = bytes(range(256)) * 40_000


class Publisher(ThreadingHTTPServer):
    """Serves one file. ranges: whether it can continue; breaks: after how many bytes each answer breaks off."""

    content = CONTENT
    ranges = True
    breaks: int | None = None
    status = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[str | None] = []

    def entry(self, sha256: str = "", family: str = "motion-cnn") -> CatalogueEntry:
        url = f"http://127.0.0.1:{self.server_port}/files/net.pth"
        digest = sha256 or hashlib.sha256(self.content).hexdigest()
        return CatalogueEntry(family=family, url=url, sha256=digest, licence="MIT")


class Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        publisher = self.server
        span = self.headers.get("Range")
        publisher.asked.append(span)
        if publisher.status:
            self.send_error(publisher.status)
            return
        start = int(span.removeprefix("bytes=").removesuffix("-")) if span and publisher.ranges else 0
        if start >= len(publisher.content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        body = publisher.content[start:]
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(publisher.content) - 1}/{len(publisher.content)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: publisher.breaks])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def silent(_done: int, _whole: int | None) -> None:
    """Tell nobody."""


def test_a_file_arrives_whole_and_progress_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    reported: list[tuple[int, int | None]] = []
    path = fetch(publisher.entry(), tmp_path / "a", lambda done, whole: reported.append((done, whole)))
    assert path.read_bytes() == CONTENT
    assert reported[-1] == (len(CONTENT), len(CONTENT))
    assert [part.name for part in path.parent.iterdir()] == ["net.pth"]
    assert fetch(publisher.entry(), tmp_path / "a", silent) == path
    assert publisher.asked == [None]


def test_a_broken_connection_is_taken_up_where_it_broke(publisher: Publisher, tmp_path: Path) -> None:
    publisher.breaks = 4_000_000
    assert fetch(publisher.entry(), tmp_path, silent).read_bytes() == CONTENT
    assert publisher.asked[0] is None
    assert len(publisher.asked) >= 3
    assert all(span is not None and span != "bytes=0-" for span in publisher.asked[1:])


def test_a_later_pull_continues_an_earlier_one(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:12_345])
    assert fetch(publisher.entry(), tmp_path, silent).read_bytes() == CONTENT
    assert publisher.asked == ["bytes=12345-"]


def test_a_server_that_cannot_continue_sends_all_of_it(publisher: Publisher, tmp_path: Path) -> None:
    publisher.ranges = False
    (tmp_path / "net.pth.part").write_bytes(b"x" * 12_345)
    assert fetch(publisher.entry(), tmp_path, silent).read_bytes() == CONTENT


def test_a_finished_part_is_not_asked_for_again(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "net.pth.part").write_bytes(CONTENT)
    assert fetch(publisher.entry(), tmp_path, silent).read_bytes() == CONTENT


def test_a_wrong_digest_is_refused_and_nothing_is_kept(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"sha256 is [0-9a-f]{64}, the catalogue says 0{64}"):
        fetch(publisher.entry("0" * 64), tmp_path, silent)
    assert list(tmp_path.iterdir()) == []


def test_what_the_publisher_tells_of_a_digest_is_compared(publisher: Publisher, tmp_path: Path) -> None:
    beginning = hashlib.sha256(CONTENT).hexdigest()[:8]
    entry = publisher.entry(beginning)
    assert fetch(entry, tmp_path, silent).is_file()
    assert entry.digest_line == f"{beginning}: begins as published; no more than 8 digits are"
    with pytest.raises(FailedPrecondition, match="the catalogue says 00000000"):
        fetch(publisher.entry("0" * 8), tmp_path / "other", silent)


def test_a_server_that_has_it_not_or_is_not_there_is_named(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 404
    with pytest.raises(Unavailable, match=r"net\.pth: the server answers 404"):
        fetch(publisher.entry(), tmp_path, silent)
    away = publisher.entry().model_copy(update={"url": "http://127.0.0.1:1/net.pth"})
    (tmp_path / "net.pth.part").write_bytes(CONTENT[:2_000_000])
    with pytest.raises(Unavailable, match=r"2\.0 MB are kept"):
        fetch(away, tmp_path, silent)
    assert (tmp_path / "net.pth.part").stat().st_size == 2_000_000


def test_two_pulls_of_the_same_do_not_mix(publisher: Publisher, tmp_path: Path) -> None:
    with (tmp_path / "net.pth.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(FailedPrecondition, match="another process"):
            fetch(publisher.entry(), tmp_path, silent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "file:///etc/passwd"}, r"net\.url: "),
        ({"sha256": "abc"}, r"net\.sha256: "),
        ({"licence": ""}, r"net\.licence: "),
        ({"size": 3}, r"net\.size: Extra inputs"),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused_by_field(
    tmp_path: Path, publisher: Publisher, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(yaml.safe_dump({"net": publisher.entry().model_dump() | change}))
    with pytest.raises(InvalidArgument, match=message):
        read_catalogue(path)


def test_the_bundled_catalogue_names_families_that_exist() -> None:
    catalogue = read_catalogue(Path(__file__).resolve().parents[3] / "model_store/catalogue.yaml")
    assert {entry.family for entry in catalogue.values()} <= {
        name for name, entry in families().items() if entry.input is not None
    }
    assert all(f"-{entry.sha256}." in entry.file for entry in catalogue.values())


def test_an_unknown_name_lists_what_there_is(publisher: Publisher) -> None:
    with pytest.raises(NotFound, match="'tea' is not in the catalogue; it has net"):
        find_entry({"net": publisher.entry()}, "tea")


def test_the_command_fetches_and_imports(publisher: Publisher, tmp_path: Path) -> None:
    written = io.BytesIO()
    torch.manual_seed(0)
    torch.save({"state_dict": family("motion-cnn").build(classes=3).state_dict()}, written)
    publisher.content = written.getvalue()
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump({"small-net": publisher.entry().model_dump()}))
    arguments = ["models", "pull", "small-net", "--catalogue", str(catalogue), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "MIT" in done.stdout
    assert f"sha256 {publisher.entry().sha256}: as published\n" in done.stdout
    card = read_card(tmp_path / "store" / "small-net")
    assert (card.architecture, card.labels) == ("motion-cnn", ("0", "1", "2"))
    assert not (tmp_path / "store" / ".pull" / "small-net").exists()
    listed = CliRunner().invoke(app, ["models", "pull", "--catalogue", str(catalogue)])
    assert "small-net  motion-cnn  MIT  http://127.0.0.1" in listed.stdout


def test_a_key_chooses_among_the_networks_of_the_file(publisher: Publisher, tmp_path: Path) -> None:
    state = family("motion-cnn").build(classes=3).state_dict()
    averaged = {name: tensor + 1 for name, tensor in state.items()}
    written = io.BytesIO()
    torch.save({"state_dict": state, "state_dict_ema": averaged}, written)
    publisher.content = written.getvalue()
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump({"net": publisher.entry().model_dump()}))
    arguments = ["models", "pull", "net", "--catalogue", str(catalogue), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, [*arguments, "--weights-key", "state_dict"])
    assert done.exit_code == 0, done.output
    assert "weights are those under 'state_dict' (as was asked for)" in done.stdout
    found = load_file(tmp_path / "store" / "net" / "weights.safetensors")
    assert torch.equal(found["head.weight"], state["head.weight"])
