"""Single images: JPEG, PNG and raw pixels to upright RGB. Sizes are read from headers and checked before decoding."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from actionlens.v1 import model_pb2
from service.decoding.colour import Light, light_of, to_screen
from service.decoding.exif import jpeg_orientation, png_orientation, swaps_sides, turned
from service.decoding.fit import fit, refit
from service.decoding.png_chunks import SIGNATURE, plain_png, png_chunk
from service.errors import InvalidArgument
from service.settings import Limits

_JPEG = b"\xff\xd8\xff"
# A progressive JPEG has about ten scans. Each costs a pass over all pixels, so a file with thousands is an attack.
_MOST_SCANS = 100


def image_size(encoded: bytes, limits: Limits, field: str) -> tuple[int, int]:
    """Width and height of a JPEG or PNG as it is meant to be shown (EXIF orientation applied), from its header alone.

    Raises InvalidArgument (with `field`): PICTURE_EMPTY, PICTURE_UNRECOGNISED, PICTURE_BROKEN, PICTURE_TOO_LARGE.
    """
    width, height = _stored_size(encoded, limits, field)
    return (height, width) if swaps_sides(_orientation(encoded)) else (width, height)


def decode_image(encoded: bytes, limits: Limits, field: str) -> NDArray[np.uint8]:
    """Decode a JPEG or PNG to uint8 [H, W, 3] RGB, upright: turned and mirrored as its EXIF orientation says.

    Grey is repeated over the channels, alpha is laid over black, 16 bits per channel become 8; PNG files of high
    dynamic range or wide gamut (cICP) are brought to an ordinary screen. Raises InvalidArgument (with `field`) as
    `image_size` does, and PICTURE_BROKEN when the data does not decode.
    """
    _stored_size(encoded, limits, field)
    image = _decode_jpeg(encoded, field) if encoded.startswith(_JPEG) else _decode_png(encoded, field)
    return turned(image, _orientation(encoded))


def decode_frame(
    encoded: bytes, model_input: model_pb2.ModelInput, first: tuple[int, int] | None, limits: Limits, field: str
) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """Decode a JPEG or PNG of a stream and fit it to the model.

    first: width and height of the stream's first image, to which this one is brought; None for the first itself.
    Returns uint8 [height, width, 3] RGB at the model's size, and the image's own width and height. Raises as
    `decode_image` does.
    """
    image = decode_image(encoded, limits, field)
    came_as = image.shape[1], image.shape[0]
    return fit(refit(image, *(first or came_as)), model_input)[0], came_as


def raw_image(data: bytes, height: int, width: int, limits: Limits, field: str) -> NDArray[np.uint8]:
    """View raw RGB bytes as uint8 [height, width, 3] (read-only, not copied).

    Raises InvalidArgument (with `field`): PICTURE_TOO_LARGE, or RAW_SIZE_MISMATCH when the number of bytes is not
    height x width x 3.
    """
    check_size(width, height, limits, field)
    if len(data) != height * width * 3:
        raise InvalidArgument(
            f"{field}: {height} x {width} RGB pixels take {height * width * 3} bytes, got {len(data)}; "
            "send uint8 pixels, height x width x 3",
            field=field,
            reason="RAW_SIZE_MISMATCH",
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def check_size(width: int, height: int, limits: Limits, field: str) -> None:
    """Raise InvalidArgument when an image is empty or has more pixels than `limits.pixels`."""
    if width < 1 or height < 1:
        raise InvalidArgument(
            f"{field}: the image is {width} x {height} pixels; both sides must be at least 1",
            field=field,
            reason="PICTURE_EMPTY",
        )
    if width * height > limits.pixels:
        raise InvalidArgument(
            f"{field}: {width} x {height} pixels are more than the limit of {limits.pixels}; scale the image down "
            "before sending (the model sees a small frame anyway)",
            field=field,
            reason="PICTURE_TOO_LARGE",
        )


def too_many_scans(jpeg: bytes) -> bool:
    """Whether a JPEG has more scans than any honest encoder writes."""
    # Entropy-coded data never holds FF DA: an FF byte is always followed by a stuffed 00.
    return jpeg.count(b"\xff\xda") > _MOST_SCANS


def over_black(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay uint8 [H, W, 4] (alpha last, not premultiplied) over black: uint8 [H, W, 3] in the same channel order."""
    alpha = cv2.cvtColor(np.ascontiguousarray(pixels[..., 3]), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.multiply(np.ascontiguousarray(pixels[..., :3]), alpha, scale=1 / 255), np.uint8)


def _stored_size(encoded: bytes, limits: Limits, field: str) -> tuple[int, int]:
    """Width and height of the stored pixels by the header. Raises as `image_size` does."""
    if not encoded:
        raise InvalidArgument(f"{field}: is empty; send a JPEG or PNG file", field=field, reason="PICTURE_EMPTY")
    if encoded.startswith(_JPEG):
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(encoded, strict=False)
        except (ValueError, KeyError) as error:
            # KeyError: simplejpeg has no name for a colour space that libjpeg could not find out.
            raise _broken("JPEG", f"bad header: {error}", field) from None
        if too_many_scans(encoded):
            raise _broken("JPEG", f"more than {_MOST_SCANS} scans", field)
    elif encoded.startswith(SIGNATURE):
        if len(encoded) < 33 or encoded[12:16] != b"IHDR":
            raise _broken("PNG", "the header is cut off", field)
        width, height = struct.unpack(">II", encoded[16:24])
    else:
        raise InvalidArgument(
            f"{field}: is neither a JPEG nor a PNG file; convert it to one of these",
            field=field,
            reason="PICTURE_UNRECOGNISED",
        )
    check_size(width, height, limits, field)
    return width, height


def _orientation(encoded: bytes) -> int:
    return jpeg_orientation(encoded) if encoded.startswith(_JPEG) else png_orientation(encoded)


def _decode_jpeg(encoded: bytes, field: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(_jpeg_pixels(encoded), np.uint8)
    except ValueError as error:
        raise _broken("JPEG", str(error), field) from None


def _jpeg_pixels(encoded: bytes) -> Any:
    try:
        return simplejpeg.decode_jpeg(encoded, "RGB")
    except ValueError as error:
        # Many cameras leave padding between markers, which harms no pixel; anything else (a cut-off file) does.
        if "extraneous bytes" not in str(error):
            raise
        return simplejpeg.decode_jpeg(encoded, "RGB", strict=False)


def _decode_png(encoded: bytes, field: str) -> NDArray[np.uint8]:
    try:
        # OpenCV makes room for whatever a chunk's length says, and inflates whatever is in it.
        plain = plain_png(encoded)
    except ValueError as error:
        raise _broken("PNG", str(error), field) from None
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(plain, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise _broken("PNG", "it is cut off or damaged", field)
    if pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    light = _png_light(encoded)
    if not light.ordinary:
        coded = pixels[..., 2::-1] if pixels.dtype == np.uint16 else pixels[..., 2::-1].astype(np.uint16) * 257
        shown = to_screen(coded, light, 2**16 - 1)[..., ::-1]
        pixels = np.dstack((shown, _eight_bits(pixels[..., 3:])))
    pixels = _eight_bits(pixels)
    if pixels.shape[2] == 4:
        pixels = over_black(pixels)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _png_light(encoded: bytes) -> Light:
    """What the pixels of a PNG mean, by its cICP chunk: numbers of H.273 for primaries and transfer."""
    numbers = png_chunk(encoded, b"cICP")
    return light_of(numbers[1], numbers[0]) if numbers is not None and len(numbers) >= 2 else Light(None, None)


def _eight_bits(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def _broken(kind: str, why: str, field: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field}: the {kind} file cannot be decoded ({why}); send it again whole", field=field, reason="PICTURE_BROKEN"
    )
