"""The sources ``https``, ``hf``, ``file`` and ``package``, against local servers."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import WeightsError
from faceinv.weights.sources import fetch_file, fetch_hf, fetch_https, fetch_package, http as web


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def body() -> bytes:
    return hashlib.shake_256(b"weights").digest(300_000)


def test_download_is_complete_and_reports_progress(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"] = body
    told: list[tuple[int, int]] = []
    web.download(f"{site.url}/f", tmp_path / "f", lambda done, total: told.append((done, total)))
    assert (tmp_path / "f").read_bytes() == body
    assert told[0] == (0, len(body))
    assert told[-1] == (len(body), len(body))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert os.listdir(tmp_path) == ["f"]


def test_download_that_breaks_off_is_resumed(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"], site.headers, site.breaks = body, {"ETag": '"1"'}, [131_072, 65_536]
    web.download(f"{site.url}/f", tmp_path / "f", silent)
    assert (tmp_path / "f").read_bytes() == body
    assert [asked for _, asked, _ in site.asked] == ["", "bytes=131072-", "bytes=196608-"]
    assert sum(sent for _, _, sent in site.asked) == len(body)


def test_download_is_resumed_by_a_later_call(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"], site.headers = body, {"Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT"}
    site.breaks = [131_072, 0]
    with pytest.raises(WeightsError, match="broke off"):
        web.download(f"{site.url}/f", tmp_path / "f", silent)
    assert (tmp_path / "f").stat().st_size == 131_072
    web.download(f"{site.url}/f", tmp_path / "f", silent)
    assert site.asked[-1] == ("/f", "bytes=131072-", 168_928)
    assert (tmp_path / "f").read_bytes() == body


@pytest.mark.parametrize("change", ["release", "address", "no validator", "weak validator", "no ranges"])
def test_two_releases_are_never_mixed(site: Any, body: bytes, tmp_path: Path, change: str) -> None:
    site.files["/f"], site.headers, site.breaks = body, {"ETag": '"1"'}, [131_072, 0]
    if change in ("no validator", "weak validator"):
        site.headers = {"ETag": 'W/"1"'} if change == "weak validator" else {}
    with pytest.raises(WeightsError, match="broke off"):
        web.download(f"{site.url}/f", tmp_path / "f", silent)
    site.files["/f"] = site.files["/g"] = other = body[::-1]
    site.ranges = change != "no ranges"
    if change == "release":
        site.headers = {"ETag": '"2"'}
    web.download(f"{site.url}/{'g' if change == 'address' else 'f'}", tmp_path / "f", silent)
    assert (tmp_path / "f").read_bytes() == other


def test_file_whose_hash_is_known_needs_no_validator(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"], site.breaks = body, [131_072, 0]
    sha256 = hashlib.sha256(body).hexdigest()
    with pytest.raises(WeightsError, match="broke off"):
        web.download(f"{site.url}/f", tmp_path / "f", silent, sha256=sha256)
    web.download(f"{site.url}/f", tmp_path / "f", silent, sha256=sha256)
    assert site.asked[-1] == ("/f", "bytes=131072-", 168_928)
    assert (tmp_path / "f").read_bytes() == body
    site.breaks = [131_072, 0]
    with pytest.raises(WeightsError, match="broke off"):
        web.download(f"{site.url}/f", tmp_path / "f", silent, sha256=sha256)
    web.download(f"{site.url}/f", tmp_path / "f", silent, sha256="0" * 64)
    assert site.asked[-1] == ("/f", "", len(body))


def test_part_longer_than_the_file_is_restarted(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"], site.headers, site.breaks = body, {"ETag": '"1"'}, [131_072, 0]
    with pytest.raises(WeightsError, match="broke off"):
        web.download(f"{site.url}/f", tmp_path / "f", silent)
    site.files["/f"] = body[:1000]
    web.download(f"{site.url}/f", tmp_path / "f", silent)
    assert (tmp_path / "f").read_bytes() == body[:1000]


def test_server_that_refuses_or_cannot_be_reached(site: Any, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="the server answered 404 Not Found"):
        web.download(f"{site.url}/missing", tmp_path / "f", silent)
    assert len(site.asked) == 1
    with pytest.raises(WeightsError, match="cannot be reached"):
        web.download("http://127.0.0.1:9/f", tmp_path / "f", silent)


def test_plain_http_is_not_used_for_https(site: Any, body: bytes, tmp_path: Path) -> None:
    site.files["/f"] = body
    with pytest.raises(WeightsError):
        fetch_https(site.url.removeprefix("http:") + "/f", tmp_path / "f", silent)


@pytest.fixture
def hub(site: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    site.files["/own/net/resolve/main/sub/w.bin"] = b"W" * 5000
    site.headers = {"ETag": '"abc"', "X-Repo-Commit": "0" * 40}
    monkeypatch.setenv("HF_ENDPOINT", site.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return site


def test_hugging_face_over_plain_https(hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fetch_hf("own/net@main/sub/w.bin", tmp_path / "w", silent)
    assert (tmp_path / "w").read_bytes() == b"W" * 5000
    with pytest.raises(WeightsError, match="404"):
        fetch_hf("own/net@main/none", tmp_path / "v", silent)
    for location in ("net@main/w", "own/net/w", "own/net@main"):
        with pytest.raises(WeightsError, match="OWNER/REPO@REVISION/FILE"):
            fetch_hf(location, tmp_path / "v", silent)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        fetch_hf("own/net@main/sub/w.bin", tmp_path / "w", silent)


def test_hugging_face_through_its_own_client(hub: Any, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra 'hf' is not installed")
    code = """
import sys
from pathlib import Path
from faceinv.errors import WeightsError
from faceinv.weights.sources import fetch_hf
try:
    fetch_hf(sys.argv[1], Path(sys.argv[2]), lambda done, total: None)
except WeightsError as error:
    sys.exit(f"WeightsError: {error}")
"""

    def run(location: str, **environment: str) -> subprocess.CompletedProcess[str]:
        # A process of its own, because the client reads its settings at import.
        return subprocess.run(
            [sys.executable, "-c", code, location, str(tmp_path / "w")],
            env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", **environment},
            capture_output=True,
            text=True,
        )

    offline = run("own/net@main/sub/w.bin", HF_HUB_OFFLINE="1")
    assert "WeightsError: HF_HUB_OFFLINE is set" in offline.stderr
    done = run("own/net@main/sub/w.bin")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "w").read_bytes() == b"W" * 5000
    (tmp_path / "w").unlink()
    again = run("own/net@main/sub/w.bin", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "w").read_bytes() == b"W" * 5000
    missing = run("own/net@main/none")
    assert "WeightsError: " in missing.stderr
    assert "Traceback" not in missing.stderr


def test_file_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.bin").write_bytes(b"W")
    monkeypatch.setenv("HOME", str(tmp_path))
    fetch_file("~/w.bin", tmp_path / "copy", silent)
    assert (tmp_path / "copy").read_bytes() == b"W"
    with pytest.raises(WeightsError, match=r"none.bin cannot be read: No such file"):
        fetch_file(str(tmp_path / "none.bin"), tmp_path / "copy", silent)


def test_file_of_an_installed_package(tmp_path: Path) -> None:
    fetch_package("faceinv/py.typed", tmp_path / "copy", silent)
    assert (tmp_path / "copy").read_bytes() == b""
    with pytest.raises(WeightsError, match="has no file 'none'"):
        fetch_package("faceinv/none", tmp_path / "copy", silent)
    for location in ("no_such_package/w", "no_such_package.sub/w", "/w"):
        with pytest.raises(WeightsError, match="is not installed"):
            fetch_package(location, tmp_path / "copy", silent)
