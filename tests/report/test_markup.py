"""Text of `text` cannot become markup."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tinygan.report.markup import picture, table, text

ANY_TEXT = st.text(st.characters(exclude_categories=()))


class Recorder(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.events = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.events.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.events and isinstance(self.events[-1], str):
            data = self.events.pop() + data
        self.events.append(data)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_is_preserved(value):
    assert Recorder(f"<p>{text(value)}<br>").events == [("p", {}), *([value] if value else []), ("br", {})]


@given(ANY_TEXT)
def test_any_text_is_safe_between_tags_and_in_attributes(value):
    events = Recorder(f'<p title="{text(value)}">{text(value)}<br>').events
    assert [event[0] for event in events if isinstance(event, tuple)] == ["p", "br"]
    assert list(events[0][1]) == ["title"]
    text(value).encode()


def test_characters_not_allowed_in_html_are_replaced():
    assert text("a\x00\x1b\x7f\x9f\ud800b\n\tc") == "a\ufffd\ufffd\ufffd\ufffd\ufffdb\n\tc"
    assert text(None) == "None"


def test_a_table_marks_headings_and_numbers():
    page = table([["loss", "1.4", "1.386"]], ["", "epoch 3", "at equilibrium"], numbers=True)
    assert page.count('<td class="number">') == 2
    assert page.count('<th scope="col" class="number">') == 2
    assert '<th scope="row">loss</th>' in page


def test_words_of_a_table_are_not_numbers():
    page = table([["1", "linear", "5"]], ["layer", "kind", "parameters"], numbers=True, words=1)
    assert "<td>linear</td>" in page
    assert '<td class="number">5</td>' in page
    assert table([]).count("<tr>") == 0


@given(st.binary(), ANY_TEXT)
def test_a_picture_contains_its_bytes(png, description):
    ((tag, attributes),) = Recorder(picture(png, 3, 2, description)).events
    assert tag == "img"
    head, data = attributes["src"].split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == png
    assert (attributes["width"], attributes["height"]) == ("3", "2")
    assert list(attributes) == ["src", "width", "height", "alt"]
