"""The page as a file: its policy, its size, its addresses, its charts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

import gnomon_reports
import plotly.graph_objects as go
import pytest
import report_samples as samples
from gnomon_reports import plotly_bundle, render, vendor_plotly
from plotly.offline import get_plotlyjs_version
from report_reader import Reader

PACKAGE = Path(gnomon_reports.__file__).parent


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {
        name: render(*make(), policy_text="[gate]\nalpha = 0.05\n") for name, make in samples.STATES.items()
    }


def test_every_state_makes_a_page_with_every_section(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        found = re.findall(r'<section class="sec" id="(\w+)"', page)
        expected = ["where", "scores", "input", "cost", "right", "cases", "how"]
        assert found == (["skew", *expected] if name == "skewed" else expected), name


def test_pages_keep_within_their_size(pages: dict[str, str]) -> None:
    sizes = {name: len(page.encode()) for name, page in pages.items()}
    assert max(sizes.values()) <= 1_600_000, sizes


def test_the_markup_of_a_page_keeps_within_six_thousand_nodes(pages: dict[str, str]) -> None:
    counts = {name: len(Reader(page).tags) for name, page in pages.items()}
    assert max(counts.values()) <= 6000, counts


def test_no_address_is_given_twice_and_every_link_leads_to_one(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        tags = Reader(page).tags
        ids = Counter(str(attributes["id"]) for _, attributes in tags if "id" in attributes)
        assert [ident for ident, n in ids.items() if n > 1] == [], name
        wanted = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
        wanted += [
            f"#{attributes[key]}"
            for _, attributes in tags
            for key in ("aria-labelledby", "aria-details")
            if key in attributes
        ]
        assert [link for link in wanted if link.removeprefix("#") not in ids] == [], name


def test_nothing_in_a_page_points_outside_it(pages: dict[str, str]) -> None:
    for name, page in pages.items():
        for tag, attributes in Reader(page).tags:
            assert tag not in {"link", "img", "iframe", "object", "embed", "base", "form"}, name
            assert not {"style", "src", "srcset", "action", "data"} & set(attributes), (name, tag)
            assert not [key for key in attributes if key.startswith("on")], (name, tag)
            assert str(attributes.get("href", "#")).startswith("#"), (name, tag)


def test_the_policy_names_the_page_s_own_scripts_and_style_and_nothing_else(pages: dict[str, str]) -> None:
    page = pages["reject"]
    policy = dict(part.split(" ", 1) for part in Reader(page).tags[3][1]["content"].split("; "))  # type: ignore[union-attr]
    assert Reader(page).tags[3][1]["http-equiv"] == "Content-Security-Policy"
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    bundle = gzip.decompress(base64.b64decode(plotly_bundle.packed()))
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == f"'{_sha(script.encode())}' '{_sha(bundle)}'"
    assert policy["style-src-elem"] == f"'{_sha(style.encode())}' '{_sha(b'')}'"
    assert set(policy) == {
        "default-src",
        "script-src",
        "style-src-elem",
        "style-src-attr",
        "img-src",
        "base-uri",
        "form-action",
    }


def _sha(source: bytes) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source).digest()).decode()


def test_hostile_values_make_no_element_and_no_attribute(pages: dict[str, str]) -> None:
    page = pages["hostile"]
    tags = Counter(tag for tag, _ in Reader(page).tags)
    assert not {"img", "iframe"} & set(tags)
    scripts = [attributes.get("type") for tag, attributes in Reader(page).tags if tag == "script"]
    assert Counter(scripts) == {"application/json": 7, "text/plain": 1, None: 1}
    assert "example.invalid" in page  # it is there, as text
    known = {
        attribute
        for name in ("reject", "all_errors")
        for _, attributes in Reader(pages[name]).tags
        for attribute in attributes
    }
    assert {attribute for _, attributes in Reader(page).tags for attribute in attributes} <= known


def test_a_value_is_no_markup_for_plotly_either(pages: dict[str, str]) -> None:
    for spec in specs(pages["hostile"]):
        for text in strings(spec):
            assert not re.search(r"<(?!/?b>|/?extra>)", text), text
            assert "%{x}" not in text or text.startswith("%{x:"), text


def specs(page: str) -> list[dict[str, Any]]:
    return [
        json.loads(found)
        for found in re.findall(r'<script type="application/json" id="[^"]+">(.*?)</script>', page)
    ]


def strings(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        return [text for inner in content.values() for text in strings(inner)]
    if isinstance(content, list):
        return [text for inner in content for text in strings(inner)]
    return []


def test_every_chart_is_a_figure_that_plotly_accepts(pages: dict[str, str]) -> None:
    found = specs(pages["reject"])
    assert len(found) == 7
    for spec in found:
        colourless = json.loads(re.sub(r'"--[a-z0-9-]+(/[\d.]+)?"', '"#123456"', json.dumps(spec)))
        go.Figure(colourless)  # raises on an attribute or a value that plotly does not know


def test_colours_of_charts_are_properties_that_the_style_defines(pages: dict[str, str]) -> None:
    style = (PACKAGE / "page.css").read_text()
    used = {
        text.split("/")[0]
        for page in pages.values()
        for spec in specs(page)
        for text in strings(spec)
        if text.startswith("--")
    }
    assert used
    assert [name for name in used if f"{name}:" not in style] == []


def test_both_dark_themes_are_the_same() -> None:
    style = (PACKAGE / "page.css").read_text()
    system = re.search(r":root:not\(\[data-theme=light\]\) \{(.*?)\}", style, re.S)
    chosen = re.search(r":root\[data-theme=dark\] \{(.*?)\}", style, re.S)
    assert system is not None
    assert chosen is not None
    assert system[1].split() == chosen[1].split()


def test_without_examples_no_row_is_shown() -> None:
    comparison, verdict = samples.promote()
    page = render(comparison, verdict, examples=False)
    assert not any(example.request_id in page for example in comparison.examples)
    assert "--examples 0" in page


def test_the_same_run_makes_the_same_page() -> None:
    comparison, verdict = samples.golden()
    assert render(comparison, verdict) == render(comparison, verdict)


def test_a_page_is_rendered_in_a_fraction_of_a_second() -> None:
    comparison, verdict = samples.reject()
    render(comparison, verdict)
    start = time.process_time()
    render(comparison, verdict)
    assert time.process_time() - start < 0.5


def test_the_vendored_plotly_is_whole_and_of_the_version_that_python_speaks_to(tmp_path: Path) -> None:
    packed = (PACKAGE / "vendor" / f"{plotly_bundle.NAME}.gz").read_bytes()
    source = gzip.decompress(packed)
    assert plotly_bundle.version() == get_plotlyjs_version()
    assert f"plotly.js (cartesian - minified) v{get_plotlyjs_version()}" in source[:200].decode()
    assert plotly_bundle.sums() == {
        f"{plotly_bundle.NAME}.gz": hashlib.sha256(packed).hexdigest(),
        plotly_bundle.NAME: hashlib.sha256(source).hexdigest(),
    }
    licence = (PACKAGE / "vendor" / plotly_bundle.LICENCE_FILE).read_bytes()
    assert b"MIT" in licence
    vendor_plotly.write(plotly_bundle.version(), source, licence, tmp_path)
    assert gzip.decompress((tmp_path / f"{plotly_bundle.NAME}.gz").read_bytes()) == source
