"""Images of any kind are read as float32 RGB in [0, 1], or refused with a one-line reason."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image, ImageOps

from faceinv.data import decode_image, read_image, to_bytes, write_image
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


def encoded(image: Image.Image, fmt: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def whole(fmt: str, **options: object) -> bytes:
    return encoded(Image.fromarray(np.kron(PIXELS, np.ones((4, 4, 1), np.uint8))), fmt, **options)


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


def test_more_pixels_than_the_bound_are_refused_with_the_size() -> None:
    with pytest.raises(InputError, match=r"a\.png: the image has 28x36 pixels; at most 1,000 are decoded\. Save"):
        decode_image(io.BytesIO(whole("PNG")), "a.png", most=1000)


def test_a_photograph_of_108_megapixels_is_read_at_half_its_size(tmp_path: Path) -> None:
    image = read_image(saved(Image.new("L", (12000, 9000), 60), tmp_path / "a.jpg"))
    assert image.shape == (3, 4500, 6000)
    assert image[:, ::1000, ::1000].sub(60 / 255).abs().max() < 0.01


def test_pillows_own_limit_does_not_count_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # at twice as many, Pillow refuses
    assert decode_image(io.BytesIO(whole("PNG")), "a.png").shape == (3, 36, 28)
    assert Image.MAX_IMAGE_PIXELS == 40


def odd_exif(orientation: int = 6) -> bytes:
    """Metadata that cannot be written again: a resolution of -72, where only positive numbers are allowed."""
    tags = struct.pack("<HHLHH", ORIENTATION, 3, 1, orientation, 0) + struct.pack("<HHLL", 0x011A, 10, 1, 38)
    return b"Exif\0\0II*\0" + struct.pack("<LH", 8, 2) + tags + struct.pack("<Lll", 0, -72, 1)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_only_the_orientation_of_the_metadata_counts(fmt: str, orientation: int) -> None:
    good = Image.Exif()
    good[ORIENTATION] = orientation
    image = Image.fromarray(PIXELS)
    expected = np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(encoded(image, fmt, exif=good)))).convert("RGB")
    )
    odd = decode_image(io.BytesIO(encoded(image, fmt, exif=odd_exif(orientation))), "odd")
    np.testing.assert_array_equal(to_bytes(odd), expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_greys_fill_the_range_that_holds_them(tmp_path: Path, bits: int, dtype: type) -> None:
    grey = np.array([[0, 1 << (bits - 1), (1 << bits) - 1]], dtype=dtype)
    image = read_image(saved(Image.fromarray(grey), tmp_path / "a.tif"))
    assert image[0, 0].tolist() == pytest.approx([0, 128 / 255, 1], abs=1e-6)


@pytest.mark.parametrize("grey", [[-1, 5], [0, 70_000]])
def test_greys_of_unknown_range_are_refused(tmp_path: Path, grey: list[int]) -> None:
    path = saved(Image.fromarray(np.array([grey], dtype=np.int32)), tmp_path / "a.tif")
    with pytest.raises(InputError, match=f"greys run from {grey[0]} to {grey[1]}, an unknown range; save it with"):
        read_image(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("path", ["pipe.png", "/dev/zero"])
def test_pipes_and_devices_are_no_images(tmp_path: Path, path: str) -> None:
    if not path.startswith("/"):
        os.mkfifo(tmp_path / path)
    with pytest.raises(InputError, match="a pipe, socket or device"):
        read_image(tmp_path / path)


def test_a_name_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(InputError, match="null byte"):
        read_image("a\0b.png")


@pytest.mark.parametrize("fmt", ["EPS"])
def test_formats_that_start_another_program_are_not_read(fmt: str) -> None:
    with pytest.raises(InputError, match="not an image that Pillow can read"):
        decode_image(io.BytesIO(whole(fmt)), "a.eps")


@pytest.mark.parametrize("exif", [b"", odd_exif()], ids=["plain", "rotated"])
@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "BMP"])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, fmt: str, exif: bytes, data: st.DataObject) -> None:
    content = bytearray(whole(fmt, exif=exif))
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
