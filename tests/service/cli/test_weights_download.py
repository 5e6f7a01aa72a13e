"""Fetching published weights from a server on this machine that breaks off, forgets, sends elsewhere and lies."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import io
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import minisign
import pytest
import torch
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

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
    location = ""
    signature = b""
    says_length = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.asked: list[str | None] = []
        self.requests = 0

    def entry(self, sha256: str = "", family: str = "motion-cnn") -> CatalogueEntry:
        url = f"https://127.0.0.1:{self.server_port}/files/net.pth"
        digest = sha256 or hashlib.sha256(self.content).hexdigest()
        return CatalogueEntry(family=family, url=url, sha256=digest, licence="MIT")


class Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        publisher = self.server
        publisher.requests += 1
        if publisher.location:
            self.send_response(302)
            self.send_header("Location", publisher.location)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.path.endswith(".minisig"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(publisher.signature)
            return
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
        if publisher.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: publisher.breaks])

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a certificate of 127.0.0.1 that it has signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "publisher")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("publisher") / "certificate.pem"
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(pem))
    return path


@pytest.fixture
def publisher(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Publisher(context) as server:
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


@pytest.mark.parametrize("says_length", [True, False])
def test_no_more_is_taken_than_was_published(publisher: Publisher, tmp_path: Path, says_length: bool) -> None:
    publisher.says_length = says_length
    entry = publisher.entry().model_copy(update={"bytes": 3_000_000})
    reported: list[int] = []
    with pytest.raises(FailedPrecondition, match="is longer than 3000000 bytes") as caught:
        fetch(entry, tmp_path, lambda done, _whole: reported.append(done))
    assert caught.value.reason == "TOO_LONG"
    assert list(tmp_path.iterdir()) == []
    # What a server announces is refused before any of it is read.
    assert max(reported, default=0) <= (0 if says_length else 3_000_000)


def test_only_https_is_followed_and_not_for_ever(publisher: Publisher, tmp_path: Path) -> None:
    publisher.location = f"http://127.0.0.1:{publisher.server_port}/files/net.pth"
    with pytest.raises(Unavailable, match="only https is followed"):
        fetch(publisher.entry(), tmp_path, silent)
    assert publisher.requests == 1
    publisher.location = publisher.entry().url
    with pytest.raises(Unavailable, match="sends elsewhere more than 5 times"):
        fetch(publisher.entry(), tmp_path, silent)
    assert publisher.requests == 1 + 6


def test_a_server_that_nobody_vouches_for_is_refused(
    publisher: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(publisher.entry(), tmp_path, silent)


def test_a_server_that_has_it_not_or_is_not_there_is_named(publisher: Publisher, tmp_path: Path) -> None:
    publisher.status = 404
    with pytest.raises(Unavailable, match=r"net\.pth: the server answers 404"):
        fetch(publisher.entry(), tmp_path, silent)
    away = publisher.entry().model_copy(update={"url": "https://127.0.0.1:1/net.pth"})
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
        ({"url": "http://example.org/net.pth"}, r"net\.url: "),
        ({"url": "https://example.org/.."}, r"net\.url: "),
        ({"signature": "http://example.org/net.pth.minisig"}, r"net\.signature: "),
        ({"sha256": "abc"}, r"net\.sha256: "),
        ({"sha256": "0" * 8}, r"net\.sha256: "),
        ({"bytes": 0}, r"net\.bytes: "),
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
    assert all(f"-{entry.sha256[:8]}." in entry.file and entry.bytes for entry in catalogue.values())


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
    assert f"sha256 {publisher.entry().sha256}: as in the catalogue\n" in done.stdout
    card = read_card(tmp_path / "store" / "small-net")
    assert (card.architecture, card.labels) == ("motion-cnn", ("0", "1", "2"))
    assert not (tmp_path / "store" / ".pull" / "small-net").exists()
    listed = CliRunner().invoke(app, ["models", "pull", "--catalogue", str(catalogue)])
    assert "small-net  motion-cnn  MIT  https://127.0.0.1" in listed.stdout


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


def test_weights_are_imported_only_as_their_publisher_signed_them(publisher: Publisher, tmp_path: Path) -> None:
    written = io.BytesIO()
    torch.save(family("motion-cnn").build(classes=3).state_dict(), written)
    publisher.content = written.getvalue()
    keys, others = minisign.KeyPair.generate(), minisign.KeyPair.generate()
    public = keys.public_key.to_base64().decode()
    (tmp_path / "other.pub").write_bytes(bytes(others.public_key))
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump({"net": publisher.entry().model_dump(exclude_none=True)}))
    arguments = ["models", "pull", "net", "--catalogue", str(catalogue), "--store", str(tmp_path / "store")]

    def pull(key: str, signature: bytes) -> Result:
        publisher.signature = signature
        return CliRunner().invoke(app, [*arguments, "--public-key", key])

    signed = bytes(keys.secret_key.sign(publisher.content, trusted_comment="net 1.0"))
    for key, signature, says in [
        (public, bytes(keys.secret_key.sign(publisher.content + b"x")), "verification failed"),
        (public, bytes(others.secret_key.sign(publisher.content)), "incompatible key identifiers"),
        (str(tmp_path / "other.pub"), signed, "incompatible key identifiers"),
        (public, bytes(keys.secret_key.sign(publisher.content, prehash=False)), "sign again"),
        (public, signed.replace(b"net 1.0", b"net 2.0"), "verification failed"),
        (public, b"", "invalid number of lines"),
        (public, b"x" * 100_000, "is longer than 16384 bytes"),
        ("RWQf", signed, "is no minisign public key"),
    ]:
        refused = pull(key, signature)
        assert says in str(refused.exception), refused.output
        assert not (tmp_path / "store" / "net").exists()
    done = pull(public, signed)
    assert done.exit_code == 0, done.output
    assert "signed: net 1.0\n" in done.stdout
    assert (tmp_path / "store" / "net" / "card.yaml").is_file()


def test_an_import_takes_the_signature_beside_the_file(tmp_path: Path) -> None:
    keys = minisign.KeyPair.generate()
    public = keys.public_key.to_base64().decode()
    weights = tmp_path / "net.pt"
    torch.save(family("motion-cnn").build(classes=3).state_dict(), weights)
    arguments = ["models", "import", "--weights", str(weights), "--family", "motion-cnn"]
    arguments += ["--store", str(tmp_path / "store"), "--public-key", public]
    refused = CliRunner().invoke(app, arguments)
    assert "net.pt has no signature" in str(refused.exception)
    (tmp_path / "net.pt.minisig").write_bytes(bytes(keys.secret_key.sign(weights.read_bytes())))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "store" / "net" / "card.yaml").is_file()
