"""No value becomes markup: the element builder is the only way to make any."""

from __future__ import annotations

import json
import re
from pathlib import Path

import gnomon_reports
import pytest
from gnomon_reports import markup
from gnomon_reports.markup import (
    Markup,
    a,
    data_script,
    div,
    element,
    group,
    plain,
    printable,
    say,
    strong,
    value,
)
from hypothesis import given
from hypothesis import strategies as st
from report_reader import Reader

PACKAGE = Path(gnomon_reports.__file__).parent


def test_a_string_is_text_wherever_it_stands() -> None:
    made = div("<b>", ["&amp;", ("<i>", 3)], title='"><script>')
    read = Reader(made.html)
    assert [tag for tag, _ in read.tags] == ["div"]
    assert read.tags[0][1]["title"] == '"><script>'
    assert read.text == "<b>&amp;<i>3"


@given(st.text(), st.text())
def test_any_text_stays_text_in_content_and_in_attributes(content: str, attribute: str) -> None:
    read = Reader(div(value(content, 10_000), title=attribute).html)
    assert [tag for tag, _ in read.tags] == ["div", "bdi"]
    assert read.text == printable(content).replace("\r\n", "\r\n")
    assert read.tags[0][1]["title"] == printable(attribute)


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_data_for_the_script_reads_back_and_cannot_end_its_element(content: object) -> None:
    html = data_script("x", content).html
    inside = html.removeprefix('<script type="application/json" id="x">').removesuffix("</script>")
    assert not set("<>&") & set(inside)
    assert json.loads(inside) == content


def test_markup_refuses_to_become_a_string() -> None:
    with pytest.raises(TypeError, match="not text"):
        f"{div('x')}"


@pytest.mark.parametrize(
    "attributes", [{"style": "color:red"}, {"onclick": "x()"}, {"src": "x"}, {"href": "javascript:x"}]
)
def test_what_the_page_forbids_cannot_be_written(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="page"):
        a("x", **attributes)


def test_a_sentence_keeps_its_parts_apart_from_its_words() -> None:
    made = say("{who} says {what}, no more", who=strong("<3.2>"), what="{who}")
    assert plain(made) == "<3.2> says {who}, no more"
    assert [tag for tag, _ in Reader(made.html).tags] == ["b"]


def test_what_steers_a_terminal_or_the_reading_direction_is_made_visible() -> None:
    assert printable("a\x00\x1b[31m\x9b\u202egnp\ud800\tb\nc") == "a␀␛[31m\ufffd\ufffdgnp\ufffd\tb\nc"
    assert value("x\u202e").html == "<bdi>x\ufffd</bdi>"


def test_a_long_value_is_cut_and_its_rest_is_in_the_title() -> None:
    tag, attributes = Reader(value("x" * 90).html).tags[0]
    assert (tag, attributes["title"]) == ("bdi", "x" * 90)
    assert Reader(value("x" * 90).html).text == "x" * 79 + "…"


def test_only_the_builder_makes_markup() -> None:
    """Nowhere else does a string turn into markup, so what the tests above show holds for the whole page."""
    makers = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"\bMarkup\(", path.read_text())]
    assert makers == ["markup.py"]


def test_plain_is_what_a_reader_would_read() -> None:
    made = group("a < ", element("b", "b & c", title="<not this>"), Markup("&nbsp;d"))
    assert plain(made) == "a < b & c\xa0d"


def test_own_source_cannot_end_its_element() -> None:
    with pytest.raises(ValueError, match="could end it"):
        markup.own_source("script", "x = '</script>'")
