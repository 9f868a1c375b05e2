"""The page: one HTML file that asks nothing of the network, and whose policy lets nothing in."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from gnomon_diff.comparison import Comparison, Verdict

from gnomon_reports import plotly_bundle
from gnomon_reports.figure import Section, render_section
from gnomon_reports.marks import chip
from gnomon_reports.markup import (
    Content,
    Markup,
    a,
    button,
    div,
    document,
    footer,
    group,
    header,
    main,
    meta,
    nav,
    own_source,
    path,
    span,
    strong,
    svg,
    title,
    value,
)
from gnomon_reports.numerals import minute
from gnomon_reports.run import Run, without_examples
from gnomon_reports.sections.against import against_section
from gnomon_reports.sections.cases import cases_section
from gnomon_reports.sections.cost import cost_section
from gnomon_reports.sections.how import how_section
from gnomon_reports.sections.inputs import input_section
from gnomon_reports.sections.right import right_section
from gnomon_reports.sections.scores import scores_section
from gnomon_reports.sections.skew import skew_section
from gnomon_reports.sections.verdict import verdict_section
from gnomon_reports.sections.where import where_section
from gnomon_reports.sentences import headline, verdict_state, verdict_word

# plotly adds an empty <style> and fills it through the object model; this is the hash of nothing.
_EMPTY_STYLE = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def render(
    comparison: Comparison, verdict: Verdict | None, *, policy_text: str | None = None, examples: bool = True
) -> str:
    """The page of one comparison, as one HTML file.

    Args:
        comparison: what was measured.
        verdict: what the gate says of it; None if no policy judged it.
        policy_text: the policy as it is written, shown as it is.
        examples: show the rows drawn from the traffic.

    Returns:
        The file's text. It links to nothing, loads nothing, and holds no row of the log but the examples.
    """
    if not examples:
        comparison = without_examples(comparison)
    run = Run(comparison, verdict, policy_text, examples)
    sections = _sections(run)
    return document(
        head=group(
            meta(charset="utf-8"),
            meta(http_equiv="Content-Security-Policy", content=content_policy()),
            meta(name="viewport", content="width=device-width,initial-scale=1"),
            meta(name="color-scheme", content="light dark"),
            title(headline(run)),
            own_source("style", _asset("page.css")),
        ),
        body=group(
            a("Skip to the verdict", href="#verdict", cls="skip"),
            _top(run),
            _nav(run, sections),
            main(
                verdict_section(run),
                div(*(render_section(run, part) for part in sections), cls="wrap"),
                id="main",
            ),
            footer(
                div(
                    f"gnomon {comparison.gnomon_version} · this file needs no network and sends nothing · ",
                    a("back to the verdict", href="#verdict"),
                    cls="wrap",
                )
            ),
            own_source("script", plotly_bundle.packed(), type="text/plain", id="plotly"),
            own_source("script", _asset("page.js")),
        ),
    )


def _sections(run: Run) -> list[Section]:
    """In the order in which an engineer asks. Skew comes first, because it undermines the rest."""
    skew, against = skew_section(run), against_section(run)
    return [
        *([skew] if skew else []),
        *([against] if against else []),
        where_section(run),
        scores_section(run),
        input_section(run),
        cost_section(run),
        right_section(run),
        cases_section(run),
        how_section(run),
    ]


def content_policy() -> str:
    """Nothing may load; only the page's own script and style, named by their hashes, may act."""
    scripts = f"'{_hash(_asset('page.js'))}' '{plotly_bundle.source_hash()}'"
    styles = f"'{_hash(_asset('page.css'))}' '{_EMPTY_STYLE}'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src-elem {styles}; style-src-attr 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _top(run: Run) -> Markup:
    subject = run.comparison.subject
    return header(
        span(_logo(), span("gnomon", cls="wordmark"), cls="logo"),
        span(
            strong(value(subject.experiment, 80)),
            " ",
            span(run.primary, " → ", run.candidate, cls="nb"),
            cls="what",
        ),
        span(f"written {minute(run.comparison.generated_at)}", cls="mut written"),
        button("Theme: auto", type="button", id="theme", hidden=True),
        cls="wrap top",
    )


def _logo() -> Markup:
    """A gnomon and its shadow."""
    return svg(
        path(d="M2 17h18", stroke="currentColor", stroke_width=1.5),
        path(d="M7 17V4l6.5 13z", fill="currentColor"),
        path(d="M13.5 17H20l-3-1.6z", fill="currentColor", opacity=0.45),
        width=22,
        height=22,
        viewBox="0 0 22 22",
        aria_hidden="true",
    )


def _nav(run: Run, sections: list[Section]) -> Markup:
    links: list[Content] = [a(part.name, href=f"#{part.ident}") for part in sections]
    first = a(chip(verdict_state(run), verdict_word(run)), href="#verdict", cls="first-link")
    return nav(div(first, *links, cls="wrap"), cls="nav", aria_label="Sections")
