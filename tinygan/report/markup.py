"""Pieces of HTML. All text from a file passes through `text`, so nothing in a run folder can become markup."""

from __future__ import annotations

import base64
import html
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


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = (), numbers: bool = False) -> str:
    r"""Return a table of markup, which scrolls if the page is too narrow.

    Parameters
    ----------
    rows : sequence of sequence of str
        The first cell of each row is its heading.
    header : sequence of str
        Headings of the columns.
    numbers : bool
        Whether all columns but the first hold numbers.

    Examples
    --------
    >>> table([["epochs", "300"]])
    '<div class="wide"><table>\n<tbody>\n<tr><th scope="row">epochs</th><td>300</td></tr>\n</tbody>\n</table></div>'
    """
    number = ' class="number"' if numbers else ""
    head = ""
    if header:
        cells = "".join(f'<th scope="col"{number if i else ""}>{cell}</th>' for i, cell in enumerate(header))
        head = f"<thead>\n<tr>{cells}</tr>\n</thead>\n"
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td{number}>{cell}</td>" for cell in rest)}</tr>\n'
        for first, *rest in rows
    )
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
