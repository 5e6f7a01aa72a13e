"""Masks in every form that is read, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.client.evaluations.mask_files import read_masks
from service.errors import InvalidArgument

MASKS = np.random.default_rng(0).random((11, 5, 7)) > 0.5


def test_arrays_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", anything=MASKS)
    np.savez(tmp_path / "more.npz", other=np.zeros(3), mask=MASKS * np.float32(0.5))
    np.save(tmp_path / "plain.npy", MASKS.astype(np.uint8) * 255)
    for name in ("one.npz", "more.npz", "plain.npy"):
        np.testing.assert_array_equal(read_masks(tmp_path / name), MASKS)


@pytest.mark.parametrize("mode", ["L", "P", "1", "RGB"])
def test_a_folder_is_read_in_natural_order(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "masks"
    folder.mkdir()
    for number, mask in enumerate(MASKS):
        _picture(mask, mode).save(folder / f"frame{number}.png")
    np.testing.assert_array_equal(read_masks(folder), MASKS)


@pytest.mark.parametrize("suffix", ["tif", "png", "gif"])
def test_a_file_of_several_pictures_is_read(tmp_path: Path, suffix: str) -> None:
    first, *rest = [_picture(mask, "L") for mask in MASKS]
    path = tmp_path / f"film.{suffix}"
    first.save(path, save_all=True, append_images=rest)
    np.testing.assert_array_equal(read_masks(path), MASKS)


def _picture(mask: NDArray[np.bool_], mode: str) -> Image.Image:
    if mode == "RGB":
        blue = np.zeros((*mask.shape, 3), np.uint8)
        blue[..., 2] = mask
        return Image.fromarray(blue)
    image = Image.fromarray(mask.astype(np.uint8) * (255 if mode != "P" else 3))
    if mode == "P":
        image.putpalette([7] * 768)
    return image.convert("1") if mode == "1" else image


def test_what_is_no_mask_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays")
    (tmp_path / "text.tif").write_text("no picture")
    np.savez(tmp_path / "two.npz", a=MASKS, b=MASKS)
    np.save(tmp_path / "flat.npy", MASKS[0])
    np.save(tmp_path / "words.npy", np.array(["a"]))
    np.save(tmp_path / "nan.npy", np.full((1, 2, 2), np.nan))
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (tmp_path / "empty").mkdir()
    sizes = tmp_path / "sizes"
    sizes.mkdir()
    Image.new("L", (4, 4)).save(sizes / "1.png")
    Image.new("L", (4, 5)).save(sizes / "2.png")
    expected = {
        "text.npz": "cannot be read as NumPy arrays",
        "text.tif": "cannot be read as masks",
        "two.npz": "holds 2 arrays; name that of the masks 'mask'",
        "flat.npy": "has the shape [5, 7]",
        "words.npy": "holds <U1",
        "nan.npy": "not finite",
        "objects.npy": "cannot be read as NumPy arrays",
        "sizes": "mask 1 is 4 x 5, the first 4 x 4",
    }
    for name, says in expected.items():
        with pytest.raises(InvalidArgument) as caught:
            read_masks(tmp_path / name)
        assert caught.value.message.startswith(f"mask: {name} "), caught.value.message
        assert says in caught.value.message
    with pytest.raises(InvalidArgument, match="holds no"):
        read_masks(tmp_path / "empty")
