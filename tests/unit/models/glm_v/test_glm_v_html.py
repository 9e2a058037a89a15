"""HTML between fences: wherever the pieces are cut, only where HTML is, closed where it ends."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkwash.models.glm_v.html import HtmlFence, fence_html

PAGE = '<!DOCTYPE html>\n<html><head></head><body><div id="a">5 < 6</div></body></html>'
PIECES = ["<!DOCTYPE html>", "<html>", "</html>", "<div>", '<div class="x">', "</div>", "</div >", "<nav ", "</nav>"]
PIECES += [
    "<style>",
    "</style>",
    "<script a>",
    "</script>",
    "<!--",
    "-->",
    "~~~",
    "<svg/>",
    "<meta a>",
    "````",
    "<svg>",
]
TEXTS = st.lists(
    st.one_of(st.sampled_from([*PIECES, "\n", "```", "```html\n", "<", "</", "<di"]), st.text("ab <>\n", max_size=5)),
    max_size=9,
).map("".join)


@pytest.mark.parametrize(
    ("text", "fenced"),
    [
        (PAGE, f"```html\n{PAGE}\n```"),
        (f"Here:\n{PAGE}\nDone.", f"Here:\n```html\n{PAGE}\n```\nDone."),
        ("<div>a<div>b</div>c</div> so", "```html\n<div>a<div>b</div>c</div>\n```\n so"),
        ("<DIV>a</Div>", "```html\n<DIV>a</Div>\n```"),
        ("<body>cut", "```html\n<body>cut\n```"),
        ("<style>p{}</style>\n<div>a</div>\nSo.", "```html\n<style>p{}</style>\n<div>a</div>\n```\nSo."),
        ("<style>p{}</style>\nSo.", "```html\n<style>p{}</style>\n```\nSo."),
        ('<svg viewBox="0">\n<path/></svg>', '```html\n<svg viewBox="0">\n<path/></svg>\n```'),
        ("<table><tr></tr></table>\n1", "```html\n<table><tr></tr></table>\n```\n1"),
        (
            '<meta charset="u">\n<title>a</title><body>b</body>',
            '```html\n<meta charset="u">\n<title>a</title><body>b</body>\n```',
        ),
        ("<html><script>a='</html>'</script>b</html>c", "```html\n<html><script>a='</html>'</script>b</html>\n```\nc"),
        ("<div><!-- </div> -->b</div>c", "```html\n<div><!-- </div> -->b</div>\n```\nc"),
        ("<div><style>/*</div>*/</style></div>c", "```html\n<div><style>/*</div>*/</style></div>\n```\nc"),
        ("~~~\na\n~~~\n<div>b</div>", "~~~\na\n~~~\n```html\n<div>b</div>\n```"),
        ("<nav>1</nav><nav>2</nav>", "```html\n<nav>1</nav>\n```\n```html\n<nav>2</nav>\n```"),
    ],
)
def test_html_is_fenced_and_the_rest_is_not(text: str, fenced: str) -> None:
    assert fence_html(text) == fenced


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "A <div> inside a sentence.",
        f"~~~html\n{PAGE}\n~~~\nDone.",
        f"~~~\n```\n{PAGE}\n~~~\nDone.",
        f"````md\n```\n{PAGE}\n```\n{PAGE}\n````",
        f"```\n~~~\n{PAGE}\n```",
        f"```html\n{PAGE}\n```\nDone.",
        "x < y\n<b>bold</b>\n<divider>",
        "<di",
        "    <p>no block we fence</p>",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert fence_html(text) == text


def test_a_tag_split_over_pieces_is_seen_and_escapes_stay() -> None:
    fence = HtmlFence()
    assert [fence.feed(piece) for piece in ("<ht", "m", "l>\\n")] == ["", "", "```html\n<html>\\n"]
    assert fence.feed("</ht") == ""
    assert fence.feed("ml>ok") == "</html>\n```\nok"
    assert fence.finish() == ""


@given(TEXTS, st.lists(st.integers(0, 90), max_size=6))
@example("<meta a><!DOCTYPE html>", [12])
def test_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    fence = HtmlFence()
    streamed = "".join(fence.feed(text[start:end]) for start, end in pairwise(places)) + fence.finish()
    assert streamed == fence_html(text)


@given(TEXTS)
def test_only_fences_and_line_breaks_are_added(text: str) -> None:
    text = text.replace("`", "")

    def bare(value: str) -> str:
        return value.replace("```html", "").replace("```", "").replace("\n", "")

    assert bare(fence_html(text)) == bare(text)
    assert fence_html(text).count("```") % 2 == 0
