"""Signatures of weights files by minisign, checked offline against a public key that the user has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from actionlens.extras import needing
from service.errors import FailedPrecondition, InvalidArgument

SUFFIX = ".minisig"
MOST_BYTES = 16 * 2**10
"""Longest signature; its comments are bounded by minisign itself."""

PublicKey = Annotated[
    str,
    typer.Option(
        metavar="KEY|FILE",
        show_default="no signature is asked for",
        help="The publisher's minisign public key, or the file with it; the weights must be signed by it.",
    ),
]


def check_signature(file: Path, signature: Path, public_key: str) -> str:
    """Check that the file was signed by the owner of the key. Returns the signature's trusted comment.

    public_key: minisign's text of 56 characters, or the path of its .pub file. Raises InvalidArgument for what is no
    key, and FailedPrecondition for a signature that is absent, is no signature, or is of another file or key.
    """
    with needing("signatures"):
        import minisign
    try:
        key = (
            minisign.PublicKey.from_file(public_key)
            if Path(public_key).is_file()
            else minisign.PublicKey.from_base64(public_key)
        )
    except (minisign.ParseError, OSError, ValueError) as error:
        raise InvalidArgument(f"public_key: is no minisign public key: {error}", field="public_key") from error
    try:
        with signature.open("rb") as opened:
            found = minisign.Signature.from_bytes(opened.read(MOST_BYTES))
        # The old kind would be verified by reading all of the file into memory.
        if not found.is_prehashed():
            raise FailedPrecondition(f"{signature.name}: sign again with a minisign of this decade", reason=_REASON)
        key.verify_file(file, found)
    except OSError as error:
        raise FailedPrecondition(
            f"{file.name} has no signature: {signature}: {error.strerror}", reason=_REASON
        ) from error
    except (minisign.ParseError, minisign.VerifyError) as error:
        raise FailedPrecondition(f"{signature.name}: {error}; {file.name} is not used", reason=_REASON) from error
    return str(found.trusted_comment)


_REASON = "WRONG_SIGNATURE"
