"""The page in a real browser: nothing leaves it, nothing is complained about, everything works."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples
from gnomon_reports import render
from playwright.sync_api import Browser, Page, Route, sync_playwright

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
CHARTS = 7


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("pages")

    def file(state: str) -> Path:
        path = folder / f"{state}.html"
        if not path.exists():
            path.write_text(render(*samples.STATES[state](), policy_text="alpha = 0.05"), encoding="utf-8")
        return path

    return file


@dataclass
class Seen:
    """What a page did that it should not."""

    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Browser, files: Callable[[str], Path]) -> Iterator[Callable[..., tuple[Page, Seen]]]:
    contexts = []

    def open_(
        state: str, width: int = 1280, height: int = 800, at: str = "", **options: Any
    ) -> tuple[Page, Seen]:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page, seen, address = context.new_page(), Seen(), files(state).as_uri()

        def guard(route: Route) -> None:
            if route.request.url.split("#")[0] == address:
                route.continue_()
            else:
                seen.requests.append(route.request.url)
                route.abort()

        context.route("**/*", guard)
        page.on("console", lambda message: seen.messages.append(message.text))
        page.on("pageerror", lambda error: seen.messages.append(str(error)))
        page.on("dialog", lambda dialog: (seen.messages.append(dialog.message), dialog.dismiss()))
        page.goto(address + at)
        return page, seen

    yield open_
    for context in contexts:
        context.close()


def reach_charts(page: Page) -> int:
    """Scrolls to every chart until plotly has drawn it; how many there are."""
    boxes = page.locator(".plot")
    for index in range(boxes.count()):
        boxes.nth(index).scroll_into_view_if_needed()
        page.wait_for_function(
            "box => box.classList.contains('alive')", arg=boxes.nth(index).element_handle(), timeout=30_000
        )
    return boxes.count()


def test_nothing_leaves_the_page_and_nothing_is_complained_about(
    open_page: Callable[..., tuple[Page, Seen]],
) -> None:
    page, seen = open_page("reject")
    assert reach_charts(page) == CHARTS
    page.locator("#theme").click()
    assert (seen.requests, seen.messages) == ([], [])


def test_every_chart_is_drawn_when_it_is_reached_and_not_before(
    open_page: Callable[..., tuple[Page, Seen]],
) -> None:
    page, _ = open_page("reject")
    page.wait_for_timeout(300)
    assert page.evaluate("typeof window.Plotly") == "undefined"  # no chart is near the first screen
    assert reach_charts(page) == CHARTS
    for index in range(CHARTS):
        live = page.locator(".plot").nth(index).locator(".live")
        assert live.locator("svg.main-svg").count() > 0
        assert live.locator(".trace, .hm").count() > 0
        still, alive = page.locator(".still").nth(index).bounding_box(), live.bounding_box()
        assert still is not None
        assert alive is not None
        assert (still["height"], still["width"]) == (alive["height"], alive["width"])  # nothing jumped


def test_no_chart_offers_to_share_its_data(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("promote")
    reach_charts(page)
    buttons = page.evaluate(
        "Array.from(document.querySelectorAll('.modebar-btn'), b => b.getAttribute('data-title'))"
    )
    assert len(buttons) == CHARTS
    assert {title.lower() for title in buttons} == {"download plot as a png"}
    text = page.evaluate("document.body.innerHTML.replace(/<script[^]*?<[/]script>/g, '')")
    assert "Share chart" not in text


def test_the_theme_cycles_and_charts_follow_it(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("promote", color_scheme="light")
    reach_charts(page)
    button = page.locator("#theme")
    line = page.locator("[data-chart=where-days-spec] .live .trace.scatter .js-line").last
    colours = []
    for expected in ("Theme: auto", "Theme: light", "Theme: dark", "Theme: auto"):
        assert button.inner_text() == expected
        page.wait_for_timeout(200)
        colours.append(line.evaluate("line => getComputedStyle(line).stroke"))
        button.click()
    assert colours == ["rgb(52, 72, 197)", "rgb(52, 72, 197)", "rgb(143, 162, 255)", "rgb(52, 72, 197)"]


@pytest.mark.parametrize("state", ["reject", "hostile", "few_days", "empty", "many_features", "skewed"])
@pytest.mark.parametrize("width", [320, 390, 1280, 1920])
def test_a_page_does_not_scroll_sideways(
    open_page: Callable[..., tuple[Page, Seen]], state: str, width: int
) -> None:
    page, _ = open_page(state, width)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_screen_holds_verdict_criteria_and_limits(
    open_page: Callable[..., tuple[Page, Seen]],
) -> None:
    page, _ = open_page("reject")
    for part in (".headline", ".answers", ".crit", "#verdict-accounts", "#verdict-limits"):
        box = page.locator(part).first.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= 800, part


def test_hostile_values_stay_text(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, seen = open_page("hostile")
    reach_charts(page)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    assert (seen.requests, seen.messages) == ([], [])
    assert page.title().startswith("REJECT")
    assert page.locator("img, iframe, a[href^='http'], .live a").count() == 0
    # as text they are there, in the document and in plotly's labels
    assert "<script>alert(1)</script>" in page.locator(".top .what").inner_text()
    assert "<img src=x onerror=alert(2)>" in page.locator("[data-chart=where-days-spec] .live").text_content()


@pytest.mark.parametrize("state", sorted(samples.STATES))
def test_without_javascript_all_but_interaction_reads(
    open_page: Callable[..., tuple[Page, Seen]], state: str
) -> None:
    page, seen = open_page(state, java_script_enabled=False)
    assert page.locator("h1").inner_text() in ("PROMOTE", "REJECT", "HOLD", "INVALID", "NOT JUDGED")
    assert page.locator("h2:visible").count() >= 9
    assert not page.locator("#theme").is_visible()
    assert page.locator(".controls:visible, .copy:visible").count() == 0
    for index in range(page.locator(".still").count()):
        assert page.locator(".still").nth(index).locator("path, rect").count() > 0
    assert (seen.requests, seen.messages) == ([], [])


def test_cases_filter_and_sort(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("reject")
    rows = page.locator("#cases-table tbody tr")
    total = rows.count()
    page.locator("#cases-filter").fill("MQ")
    shown = page.locator("#cases-table tbody tr:visible").count()
    assert 0 < shown < total
    assert page.locator("#cases-table-count").inner_text() == f"{shown} of {total} rows"
    page.locator("#cases-filter").press("Escape")
    assert page.locator("#cases-table tbody tr:visible").count() == total
    head = page.locator("#cases-table thead th").nth(6)  # the difference of scores
    for order, factor in (("ascending", 1), ("descending", -1)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        found = page.evaluate(
            "Array.from(document.querySelectorAll('#cases-table tbody tr'), r => Number(r.cells[6].dataset.value))"
        )
        assert found == sorted(found, key=lambda number: factor * number)


def test_a_link_into_something_folded_opens_it(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("reject", at="#def-psi")
    assert page.locator("#def-psi").is_visible()
    page.locator("#where-h").scroll_into_view_if_needed()
    page.evaluate("location.hash = '#how-versions'")
    page.wait_for_function("() => document.getElementById('how-versions').open")


def test_dragging_zooms_only_when_asked(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("reject")
    reach_charts(page)
    state = "() => { const l = document.querySelector('[data-chart=cost-ecdf-spec] .live')._fullLayout; return [l.dragmode, l.xaxis.fixedrange]; }"
    button = page.locator("#cost-ecdf .zoom")
    assert page.evaluate(state) == [False, True]
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert page.evaluate(state) == ["zoom", False]
    button.click()
    assert page.evaluate(state) == [False, True]


def test_the_section_in_sight_is_marked(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("reject")
    page.locator(".nav a[href='#cost']").click()
    page.wait_for_function(
        "() => document.querySelector(\".nav a[href='#cost']\").getAttribute('aria-current') === 'true'"
    )


def test_paper_shows_the_still_pictures_and_no_controls(open_page: Callable[..., tuple[Page, Seen]]) -> None:
    page, _ = open_page("promote", color_scheme="dark")
    reach_charts(page)
    page.emulate_media(media="print")
    assert page.locator(".live:visible, .nav:visible, button:visible").count() == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.still')).opacity") == "1"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
