"""The page in a real browser: sort, filter, enlarge, choose, by mouse and by keyboard; nothing goes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from faceinv.cli.measuring import measure_with
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.report.page import render
from faceinv.report.runs import read_runs
from faceinv.weights import WeightStore

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


@pytest.fixture(scope="module")
def shown_run(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Path:
    return write_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def page_file(shown_run: Path) -> Path:
    host = Host()
    measure = measure_with(lambda: Loader(host, WeightStore(host, offline=True)))
    path = shown_run / "page.html"
    path.write_text(render(read_runs([shown_run]), host=host, measure=measure), encoding="utf-8")
    return path


@pytest.fixture
def page(visit: Callable[..., Any], page_file: Path) -> Any:
    return visit(page_file).page


def scores(run_folder: Path, place: int, metric: str) -> list[float]:
    return pq.read_table(run_folder / "cells" / f"{place:016x}.parquet").to_pydict()[metric]


def order(page: Any) -> list[int]:
    return page.eval_on_selector_all(".rows li", "items => items.map((item) => Number(item.dataset.row))")


def test_rows_are_sorted_by_any_score(page: Any, shown_run: Path) -> None:
    assert order(page) == list(range(6))
    labels = page.locator("[data-control=metric] option").all_inner_texts()
    for label, metric, falling in (("PSNR", "psnr", True), ("Landmark error", "landmark_error", False)):
        page.select_option("[data-control=metric]", label=next(text for text in labels if text == label))
        for place in (0, 2):
            page.select_option("[data-control=column]", str(place))
            values = scores(shown_run, place, metric)
            best_first = sorted(range(6), key=values.__getitem__, reverse=falling)
            assert order(page) == best_first
            page.click("[data-control=direction]")
            assert order(page) == best_first[::-1]
            page.click("[data-control=direction]")
        # The score under a picture is the one that is sorted by, to the last digit.
        shown = page.locator(f".rows li[data-row='{best_first[0]}'] [data-kind='2'] data")
        assert float(shown.get_attribute("value")) == values[best_first[0]]


def test_rows_are_filtered_by_success(page: Any, shown_run: Path) -> None:
    page.select_option("[data-control=column]", "1")
    accepted = scores(shown_run, 1, "success_type1@0.001:critic")
    assert page.locator("[data-control=judge] option:checked").inner_text() == "facenet.msceleb, type I, FMR 0.001"
    for choice, value in (("1", 1.0), ("0", 0.0)):
        page.select_option("[data-control=filter]", choice)
        expected = [index for index, given in enumerate(accepted) if given == value]
        assert 0 < len(expected) < 6
        assert order(page) == expected
        assert page.locator(".count").inner_text() == f"{len(expected)} of 6 targets"
    page.select_option("[data-control=filter]", "all")
    assert len(order(page)) == 6


def test_the_false_match_rate_is_chosen_once_for_all(page: Any) -> None:
    def visible() -> list[str]:
        return [table.get_attribute("data-fmr") for table in page.locator("div[data-fmr]:visible").all()]

    assert visible() == ["0.001"]
    page.locator(".chooser input[value='0.001']").focus()
    page.keyboard.press("ArrowLeft")
    assert visible() == ["0.01"]
    lines = page.locator("g.threshold:visible")
    assert {line.get_attribute("data-fmr") for line in lines.all()} == {"0.01"}
    assert "FMR 0.01" in page.locator("[data-control=judge] option:checked").inner_text()
    # Where there were too few pairs, the page says so and shows no number.
    page.locator(".chooser label", has_text="10 000").click()
    assert visible() == ["0.0001"]
    assert "too few pairs" in page.locator("div[data-fmr='0.0001']").inner_text()


def test_a_picture_is_enlarged_and_flipped_in_place(page: Any) -> None:
    tile = page.locator(".rows li[data-row='2'] [data-kind='1']")
    tile.click()
    stage = page.locator("#lightbox .stage img")
    own, target = tile.locator("img").get_attribute("src"), page.locator("li[data-row='2'] [data-kind=target] img")
    assert stage.get_attribute("src") == own
    before = stage.bounding_box()
    page.locator("#lightbox .stage").click()
    assert stage.get_attribute("src") == target.get_attribute("src")
    assert stage.bounding_box() == before
    page.locator("#lightbox .stage").click()
    assert stage.get_attribute("src") == own
    page.locator("#lightbox [data-close]").click()
    assert not page.locator("#lightbox").is_visible()


def test_the_keyboard_is_enough(page: Any) -> None:
    def shown() -> str:
        return page.locator("#lightbox [data-what]").inner_text()

    page.locator(".rows li[data-row='0'] [data-kind='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("#lightbox").is_visible()
    target = page.locator("#lightbox [data-target]")
    assert (shown(), target.inner_text()[:8]) == ("id,lm", "person 1")
    page.keyboard.press("Space")
    assert shown() == "Target"
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    assert shown() == "id,lm,hist"
    page.keyboard.press("ArrowDown")
    assert target.inner_text()[:8] == "person 2"
    page.keyboard.press("Escape")
    assert not page.locator("#lightbox").is_visible()
    # Focus goes back to the picture that was looked at last.
    where = "[document.activeElement.closest('li')?.dataset.row, document.activeElement.dataset.kind]"
    for _ in range(100):  # a dialog gives the focus back after it has closed, not as it closes
        focused = page.evaluate(where)
        if focused == ["2", "2"]:
            break
        page.wait_for_timeout(20)
    assert focused == ["2", "2"]


def test_everything_that_can_be_operated_is_reached_and_seen(page: Any) -> None:
    seen = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        name, outlined = page.evaluate(
            "(() => { const at = document.activeElement, style = getComputedStyle(at);"
            " const next = at.matches('.chooser input') ? getComputedStyle(at.nextElementSibling) : style;"
            " return [at.dataset.control || at.id || at.className || at.tagName, next.outlineStyle !== 'none']; })()"
        )
        if name == "BODY":
            break
        assert outlined, name
        seen.add(name)
    assert {"theme", "metric", "column", "judge", "filter", "tile"} <= seen


def test_landmarks_are_drawn_over_the_pictures(page: Any) -> None:
    def drawn(where: str) -> list[int]:
        paths = page.locator(f"{where} .over .points path:not(.rim)").all()
        return [path.get_attribute("d").count("M") for path in paths]

    tile = ".rows li[data-row='0'] [data-kind='2']"
    assert drawn(tile) == []
    page.locator(".tools [data-overlay=landmarks]").check()
    # Those measured on the target, and on the reconstruction; on the target, what was read from its descriptor.
    assert drawn(tile) == [68, 68]
    read = page.locator("li[data-row='0'] [data-kind=target] .over .read path").last
    assert set(read.get_attribute("d").split("M")[1:]) == {"25,25h0"}
    page.locator(tile).click()
    assert drawn("#lightbox .stage") == [68, 68]


def test_every_picture_has_a_text_and_every_control_a_name(page: Any) -> None:
    assert page.locator("main img:not([alt]), main img[alt=''], header img[alt='']").count() == 0
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, select, input, svg[role=img]')].filter((element) =>"
        " !(element.getAttribute('aria-label') || element.textContent.trim() || element.closest('label')"
        " || element.querySelector('img[alt]'))).map((element) => element.outerHTML)"
    )
    assert unnamed == []
    ids = page.eval_on_selector_all("[id]", "items => items.map((item) => item.id)")
    assert len(ids) == len(set(ids))


def test_a_phone_needs_no_sideways_scrolling(visit: Callable[..., Any], page_file: Path) -> None:
    page = visit(page_file, **PHONE).page
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.locator(".rows li[data-row='0'] [data-kind='2']").tap()
    box = page.locator("#lightbox").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_dark_follows_the_system_and_the_button(visit: Callable[..., Any], page_file: Path) -> None:
    def lightness(page: Any) -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return int(colour.split("(")[1].split(",")[0])

    page = visit(page_file, color_scheme="dark").page
    assert lightness(page) < 60
    page.click("#theme")
    assert lightness(page) > 200
    light = visit(page_file, color_scheme="light").page
    assert lightness(light) > 200


def test_a_page_without_pictures_works_too(visit: Callable[..., Any], shown_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "public.html"
    path.write_text(render(read_runs([shown_run]), images=False), encoding="utf-8")
    page = visit(path).page
    page.locator(".chooser label", has_text="100").first.click()
    assert page.locator("div[data-fmr='0.01']").is_visible()
    assert page.locator("img, dialog").count() == 0
