"""Pieces of HTML. All text from a file passes through `text`, so nothing in a run folder can become markup."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Sequence

# Characters that HTML does not allow, not even as references.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def text(value: object) -> str:
    r"""Return a value as text that is safe between tags and in quoted attributes.

    Examples
    --------
    >>> text("<b> & \x00")
    '&lt;b&gt; &amp; �'
    """
    return html.escape(_CONTROL.sub("\ufffd", str(value)))


def shown(value: object) -> str:
    """Return a value of a record for a reader: a number with four digits, and ``null`` in words.

    Examples
    --------
    >>> shown(-0.123456), shown(None), shown(3)
    ('−0.1235', 'not a number', '3')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):  # a record has null for nan and infinity
        return "not a number"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else text(value)


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), numbers: bool = False, words: int = 0) -> str:
    r"""Return a table of markup, which scrolls if the page is too narrow.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first cell of each row is its heading.
    header : sequence of str
        Headings of the columns.
    numbers : bool
        Whether the columns hold numbers, but not the first and the `words` after it.
    words : int

    Examples
    --------
    >>> table([["epochs", "300"]])
    '<div class="wide"><table>\n<tbody>\n<tr><th scope="row">epochs</th><td>300</td></tr>\n</tbody>\n</table></div>'
    """
    kinds = [' class="number"' if numbers and i > words else "" for i in range(max(map(len, [header, *rows])))]
    head = ""
    if header:
        cells = "".join(f'<th scope="col"{kind}>{cell}</th>' for kind, cell in zip(kinds, header, strict=False))
        head = f"<thead>\n<tr>{cells}</tr>\n</thead>\n"
    body = ""
    for first, *rest in rows:
        cells = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], rest, strict=False))
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>\n'
    return f'<div class="wide"><table>\n{head}<tbody>\n{body}</tbody>\n</table></div>'


def picture(png: bytes, width: int, height: int, description: str) -> str:
    """Return an image element that contains a PNG file.

    Examples
    --------
    >>> picture(b"...", 20, 10, "Two samples")
    '<img src="data:image/png;base64,Li4u" width="20" height="10" alt="Two samples">'
    """
    data = base64.b64encode(png).decode("ascii")
    return f'<img src="data:image/png;base64,{data}" width="{width}" height="{height}" alt="{text(description)}">'
