"""Images of any kind are read as float32 RGB in [0, 1], or refused with a one-line reason."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image

from faceinv.data import read_image, to_bytes, write_image
from faceinv.errors import InputError, StorageError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
ORIENTATION = 0x0112


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_reads_rgb_in_unit_range(tmp_path: Path) -> None:
    image = read_image(saved(Image.fromarray(PIXELS), tmp_path / "a.png"))
    assert image.dtype == torch.float32
    assert image.shape == (3, 9, 7)
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), PIXELS / 255, atol=1e-7)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str) -> None:
    image = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255
    write_image(image, tmp_path / f"a{suffix}")
    assert torch.equal(read_image(tmp_path / f"a{suffix}"), image)


def test_values_are_rounded_and_clipped() -> None:
    image = torch.tensor([-0.2, 0.4 / 255, 0.6 / 255, 1.3]).expand(3, 1, 4)
    assert to_bytes(image)[0, :, 0].tolist() == [0, 0, 1, 255]


def test_stands_upright_as_the_camera_noted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # the camera was turned by 90 degrees
    image = read_image(saved(Image.fromarray(PIXELS), tmp_path / "a.png", exif=exif))
    np.testing.assert_allclose(image.permute(1, 2, 0).numpy(), np.rot90(PIXELS, -1) / 255, atol=1e-7)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 51, 255)
    image = read_image(saved(Image.fromarray(rgba), tmp_path / "a.png"))
    assert image[:, 0].T.tolist() == [pytest.approx([v] * 3, abs=1e-6) for v in (1.0, 0.8, 0.0)]


def test_grey_of_16_bits_keeps_its_range(tmp_path: Path) -> None:
    grey = np.array([[0, 32768, 65535]], dtype=np.uint16)
    image = read_image(saved(Image.fromarray(grey), tmp_path / "a.png"))
    assert image[0, 0].tolist() == pytest.approx([0, 128 / 255, 1], abs=1e-6)
    assert torch.equal(image[0], image[2])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "YCbCr", "RGBA"])
def test_every_usual_mode_is_rgb(tmp_path: Path, mode: str) -> None:
    path = saved(Image.fromarray(PIXELS).convert(mode), tmp_path / "a.tif")
    assert read_image(path).shape == (3, 9, 7)


def damaged(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def whole(fmt: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.kron(PIXELS, np.ones((4, 4, 1), np.uint8))).save(buffer, fmt)
    return buffer.getvalue()


def test_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path / "missing.png", "no such file"),
        (tmp_path, "is a folder"),
        (damaged(tmp_path / "empty.png", b""), "the file is empty"),
        (damaged(tmp_path / "text.png", b"not a picture"), "not an image"),
        (damaged(tmp_path / "half.jpg", whole("JPEG")[:-200]), "cannot be decoded"),
        (saved(Image.new("F", (4, 4)), tmp_path / "float.tif"), "floating-point"),
    ]:
        with pytest.raises(InputError, match=reason) as caught:
            read_image(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_picture_too_large_to_decode_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(Image.fromarray(PIXELS), tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # for 63 pixels, Pillow itself only warns
    with pytest.raises(InputError, match="cannot be decoded"):
        read_image(path)


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "BMP"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, fmt: str, data: st.DataObject) -> None:
    content = bytearray(whole(fmt))
    content = content[: data.draw(st.integers(0, len(content)), "length")]
    for _ in range(data.draw(st.integers(0, 6), "changes") if content else 0):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        image = read_image(damaged(tmp_path / "a.image", bytes(content)))
    except InputError:
        return
    assert image.shape[0] == 3
    assert 0 <= image.min() <= image.max() <= 1


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(torch.zeros(3, 4, 4), tmp_path / "a.png")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match="no space left"):
        write_image(torch.ones(3, 4, 4), tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").max() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
