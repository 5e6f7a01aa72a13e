"""Images and videos as the tests of decoding make them."""

from tests.service.decoding.conftest import encode, number_of, numbered, png

__all__ = ["encode", "number_of", "numbered", "png"]
