"""What lies below a folder of photographs is listed once, and what is left out is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from faceinv.data import list_images, mark_made

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has other links and no pipes")


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "grey").save(path, "PNG")


def test_links_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for path in (tmp_path / "real" / "bo" / "1.png", root / "ada" / "1.png", root / "z" / "own" / "1.png"):
        picture(path)
    (root / "bo").symlink_to(tmp_path / "real" / "bo")  # to elsewhere
    (root / "again").symlink_to(root / "z" / "own")  # to a folder that has its own path here
    (root / "ada" / "loop").symlink_to(root)
    (root / "up").symlink_to(tmp_path)
    (root / "file.png").symlink_to(tmp_path / "real" / "bo" / "1.png")
    listing = list_images(root)
    assert listing.images == ["ada/1.png", "bo/1.png", "file.png", "z/own/1.png"]
    assert [name for name, _ in listing.skipped] == ["ada/loop", "again", "up"]


def test_a_data_set_may_be_a_link_and_may_lie_in_a_run(tmp_path: Path) -> None:
    picture(tmp_path / "run" / "targets" / ("a" * 16) / "00000.png")
    (tmp_path / "link").symlink_to(tmp_path / "run" / "targets" / ("a" * 16))
    assert list_images(tmp_path / "link").images == ["00000.png"]


def test_dead_links_pipes_and_link_loops_are_skipped(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "dead.jpg").symlink_to("/nowhere.jpg")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "cells").symlink_to("/" + "a" * 300)  # a name that no file can have
    listing = list_images(tmp_path)
    assert listing.images == ["a.png"]
    assert [name for name, _ in listing.skipped] == ["cells", "dead.jpg", "loop.png", "pipe.png", "zero.png"]


def test_what_pillow_decodes_is_an_image_and_other_files_are_counted(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.jfif", "c.gif", "d.pgm", "noext", ".hidden.png"):
        picture(tmp_path / name)
    for name in ("e.heic", "f.npy", "notes.txt", "table.csv", "README", "page.ps"):
        (tmp_path / name).write_text("no picture")
    listing = list_images(tmp_path)
    assert listing.images == ["a.JPG", "b.jfif", "c.gif", "d.pgm", "noext"]
    assert listing.remark() == [
        ("README", "4 files such as this one do not have the suffix of an image that can be read.")
    ]
    assert listing.remark(["README", "f.npy", "page.ps"]) == [
        ("e.heic", "Its suffix is not that of an image that can be read.")
    ]


@pytest.mark.parametrize("mark", [f"cells/{'0a' * 8}.json", f"targets/{'0a' * 8}/00000.png", "cells/inverted.json"])
def test_runs_below_and_around_the_photographs_are_left_out(tmp_path: Path, mark: str) -> None:
    for run in ("", "runs/bench/"):
        picture(tmp_path / f"{run}{mark}")
        for name in ("cells/deep/00000.png", "contact.png", "me.png", "me-start.png", "me-target.png"):
            picture(tmp_path / f"{run}{name}")
    picture(tmp_path / "photograph.png")
    picture(tmp_path / "cells2" / "1.png")
    listing = list_images(tmp_path)
    assert listing.images == ["cells2/1.png", "photograph.png"]
    assert "runs/bench" in [name for name, _ in listing.skipped]


def test_samples_of_a_generator_are_left_out_unless_they_are_the_data_set(tmp_path: Path) -> None:
    mark_made(tmp_path / "samples")
    picture(tmp_path / "samples" / "00000.png")
    picture(tmp_path / "photograph.png")
    mark_made(tmp_path)  # holds other files
    listing = list_images(tmp_path)
    assert listing.images == ["photograph.png"]
    assert listing.skipped == [("samples", "Pictures that faceinv made, not photographs.")]
    assert list_images(tmp_path / "samples").images == ["00000.png"]


def test_people_called_cells_are_people(tmp_path: Path) -> None:
    picture(tmp_path / "cells" / "1.png")
    picture(tmp_path / "targets" / "1.png")
    assert list_images(tmp_path).images == ["cells/1.png", "targets/1.png"]
