"""Formulas in typeset mathematics, as MathML: browsers draw it without a script, and so without network.

The docstrings have formulas as plain text, because `help` and traces show them: ``y = 1 / (1 + e^-x)``. `rst_of` reads
such a line; latex2mathml makes MathML of its result. What is no formula stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docs._ext.gallery import escape

_TOKEN = re.compile(r"\s*(\.\.\.|\d+(?:\.\d+)?|\.\d+|D\*\(?|[A-Za-z]\w*\(?|<=|>=|[-+*/^_()\[\],=<>|'])")
_GREEK = ("alpha", "beta", "gamma", "sigma", "mu", "eps", "epsilon", "pi", "tau", "theta")
_OPERATORS = {
    **dict.fromkeys(("log", "sin", "cos", "tanh", "max", "min", "floor", "sign", "mean", "erf"), ""),
    **{"sum": r"\sum", "prod": r"\prod", "E": r"\mathbb{E}", "Phi": r"\Phi"},
}
_FUNCTIONS = {
    *("sigmoid", "softplus", "softmax", "conv", "conv_transpose", "conv_weight"),
    *("onehot", "classes", "size", "KL", "JSD"),
}
_SIGNS = {"<=": r"\le", ">=": r"\ge", "*": r"\cdot", "...": r"\dots"}
# In a text, where "a" is a word.
_LETTERS = re.compile(r"(?<![\w'])(?:[a-zA-Z]\^\w|g?[b-zA-Z]|ga|[a-zA-Z]_\w+)(?![\w'])")
_CITATION = re.compile(r" \(([A-Z][^()]* et al\.[^()]*|[A-Z]\w+ and [^()]*)\)")


class _NoFormulaError(Exception):
    pass


def _tokens(text: str) -> list[str]:
    """Return the tokens; a name that is directly followed by a parenthesis keeps it, because it is a function."""
    found, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise _NoFormulaError(text[position:])
        found.append(match[1])
        position = match.end()
    return found


class _Reader:
    """Reads one formula: sums of products; a quotient takes the whole product on its left as numerator."""

    def __init__(self, text: str) -> None:
        self.tokens = [*_tokens(text), ""]
        self.position = 0
        self.bars = False

    @property
    def next(self) -> str:
        return self.tokens[self.position]

    def take(self, token: str = "") -> str:
        if token and self.next != token:
            raise _NoFormulaError(self.next)
        self.position += 1
        return self.tokens[self.position - 1]

    def all(self) -> str:
        latex = self.relation()
        self.take_end()
        return latex

    def take_end(self) -> None:
        if self.next:
            raise _NoFormulaError(self.next)

    def relation(self) -> str:
        latex = self.sum()
        while self.next in ("=", "<", ">", "<=", ">="):
            sign = self.take()
            latex += f" {_SIGNS.get(sign, sign)} {self.sum()}"
        return latex

    def sum(self) -> str:
        latex = self.take() if self.next == "-" else ""
        latex += self.product()
        while self.next in ("+", "-"):
            latex += f" {self.take()} {self.product()}"
        return latex

    def product(self) -> str:
        latex = self.factors()
        while self.next == "/":
            self.take()
            latex = rf"\frac{{{_bare(latex)}}}{{{_bare(self.factor())}}}"
            if self.starts():
                latex += rf" \, {self.factors()}"
        return latex

    def starts(self) -> bool:
        return bool(re.match(r"[\w(.]", self.next)) or self.next == "*" or (self.next == "|" and not self.bars)

    def factors(self) -> str:
        latex = self.factor()
        while self.starts():
            latex += rf" {_SIGNS['*']} {self.factor()}" if self.next == "*" and self.take() else rf" \, {self.factor()}"
        return latex

    def factor(self) -> str:
        latex = self.atom()
        while self.next in ("_", "^", "'"):
            mark = self.take()
            if mark == "'":
                latex += r"^{\top}"
                continue
            minus = self.take() if self.next == "-" else ""
            exponent = minus + (self.atom())
            if mark == "^" and exponent == r"\left(\frac{1}{2}\right)":
                latex = rf"\sqrt{{{_bare(latex)}}}"
            else:
                latex += f"{mark}{{{_bare(exponent)}}}"
            if mark == "^" and self.next == "^":
                raise _NoFormulaError("^")
        return latex

    def atom(self) -> str:
        token = self.take()
        if token == "(":
            return self.inside()
        if token == "|":
            outer, self.bars = self.bars, True  # the next bar ends it
            inside = self.sum()
            self.bars = outer
            self.take("|")
            return rf"\left|{inside}\right|"
        if token == "..." or re.match(r"[\d.]", token):
            return _SIGNS.get(token, token)
        if token.endswith("("):
            name = token[:-1]
            if name == "sqrt":
                return rf"\sqrt{{{_bare(self.inside())}}}"
            if name.endswith("_"):
                return self.name(name + "?").replace("?", _bare(self.inside()))
            return self.name(name, applied=True) + self.inside()
        if re.match(r"\w", token):
            return self.name(token)
        raise _NoFormulaError(token)

    def inside(self) -> str:
        latex = self.relation()
        while self.next == ",":
            latex += f"{self.take()} {self.relation()}"
        self.take(")")
        return rf"\left({latex}\right)"

    def name(self, token: str, applied: bool = False) -> str:
        head, _, below = token.partition("_")
        if token in _OPERATORS:  # "sum e^x" is one factor
            sign = _OPERATORS[token] or rf"\operatorname{{{token}}}"
            return sign + (rf"\, {self.factors()}" if self.starts() and not applied else "")
        if token in _FUNCTIONS:
            inside = token.replace("_", r"\_")
            return rf"\operatorname{{{inside}}}"
        if below:
            outer = f"g_{{{head[1]}" if re.fullmatch(r"g[A-Za-z]", head) else ""
            return f"{outer}_{{{below}}}}}" if outer else f"{self.name(head)}_{{{_below(below)}}}"
        if token == "D*":
            return "D^*"
        if token in _GREEK:
            return rf"\{token.replace('epsilon', 'eps').replace('eps', 'varepsilon')}"
        if len(token) == 1:
            return token
        if re.fullmatch(r"g[A-Za-z]", token):  # the gradient with respect to the second letter
            return f"g_{{{token[1]}}}"
        if re.fullmatch(r"[a-z]\d", token):
            return f"{token[0]}_{{{token[1]}}}"
        if re.fullmatch(r"d[a-z]", token):
            return rf"\mathrm{{d}}{token[1]}"
        if token in ("lr", "low", "high", "weight"):
            return rf"\mathrm{{{token}}}"
        raise _NoFormulaError(token)


def _bare(latex: str) -> str:
    """Return LaTeX without the parentheses around all of it, which a fraction or an exponent does not need."""
    if not latex.startswith(r"\left("):
        return latex
    depth = 0
    for match in re.finditer(r"\\left\(|\\right\)", latex):
        depth += 1 if match[0] == r"\left(" else -1
        if depth == 0:
            return latex[len(r"\left(") : match.start()] if match.end() == len(latex) else latex
    return latex


def _below(name: str) -> str:
    return name if len(name) < 3 else rf"\mathrm{{{name}}}"


def _math(text: str) -> str | None:
    try:
        return _Reader(text).all()
    except _NoFormulaError:
        return None


class _Maths(str):
    """LaTeX, among pieces of plain text."""


def _words(words: str) -> list[str]:
    """Return words in pieces: the letters of formulas among them are mathematics."""
    pieces, end = [], 0
    for match in _LETTERS.finditer(words):
        pieces += [words[end : match.start()], _Maths(_math(match[0]) or match[0])]
        end = match.end()
    return [*pieces, words[end:]]


def _text(words: str) -> list[str]:
    """Return words in pieces: a formula at their end is mathematics, too."""
    pieces = re.split(r"(?<= )", words)
    for count in range(1, len(pieces)):
        end = "".join(pieces[count:])
        certain = re.search(r"[=^(<>|]", end) or all(map(_LETTERS.fullmatch, end.split()))
        if certain and (latex := _math(end)):
            return [*_words("".join(pieces[:count])), _Maths(latex)]
        if pieces[count + 1 : count + 2] == ["= "]:
            return _words("".join(pieces[:count])) + _pieces("".join(pieces[count:]))
    return _words(words)


def _pieces(formula: str) -> list[str]:
    if whole := _math(formula):
        return [_Maths(whole)]
    left, equals, right = formula.partition(" = ")
    if cases := re.fullmatch(r"(.+?)( where )(.+?)(, else )(.+)", right):
        first, where, condition, other, second = cases.groups()
        return [_Maths(f"{_math(left)} ="), " ", *_either(first), where, *_either(condition), other, *_either(second)]
    head, tail = beginning(formula)
    if head:
        return [_Maths(head), *_text(tail)]
    if equals and (start := _math(left)):
        return [_Maths(f"{start} ="), " ", *_text(right)]
    return _text(formula)


def beginning(text: str) -> tuple[str, str]:
    """Return the longest beginning of a text that is a formula, as LaTeX, and the rest of the text."""
    words = re.split(r"(?=[ ,:.] |[ ,:.]$| )", text)
    for count in range(len(words), 0, -1):
        start = "".join(words[:count])
        if re.search(r"[=^/(<>]", start) and (head := _math(start)):
            return head, text[len(start) :]
    return "", text


def _either(part: str) -> list[str]:
    return [_Maths(latex)] if (latex := _math(part)) else _text(part)


def rst_of(formula: str) -> str:
    r"""Return a formula of a docstring, such as ``gx = gy / x``, as reStructuredText.

    >>> print(rst_of("gx = gy / (2 y), infinite for y = 0"))
    :math:`g_{x} = \frac{g_{y}}{2 \, y}`\ , infinite for :math:`y = 0`
    >>> print(rst_of("gx = gy where y > 0, else 0"))
    :math:`g_{x} =` :math:`g_{y}` where :math:`y > 0`\ , else :math:`0`
    """
    rst = ""
    for piece in filter(None, _pieces(formula)):
        if isinstance(piece, _Maths):
            rst += rf"\ :math:`{piece}`\ "
        else:
            rst += escape(piece)
    rst = re.sub(r"(^| )\\ (?=:math)", r"\1", rst)
    return re.sub(r"(?<=`)\\ ($| )", r"\1", rst)


def formulas_of(docstring: str) -> Iterator[str]:
    """Yield the formulas in the first paragraph of an operation's docstring: the forward formula, then gradients."""
    paragraph = " ".join(docstring.partition("\n\n")[0].split("\n"))
    paragraph = _CITATION.sub("", re.sub(r"(?<=\S) {4,}", " ", paragraph)).rstrip(". ")
    for part in re.split(r"; {1,2}|, {2}", paragraph):
        yield part.strip()


_BLOCK = re.compile(r"::\n\n((?: +\S.* = .*\n)+)(?=\n|$)")


def typeset(lines: list[str]) -> None:
    """Typeset what is certainly a formula in a docstring: the beginning of its summary, and blocks of equations."""
    text = "\n".join(lines) + "\n"
    summary, gap, rest = text.partition("\n\n")
    start = "Return " if summary.startswith("Return ") else ""
    head, tail = beginning(summary.removeprefix(start).replace("\n", " "))
    if head and (start or "^" in head):
        text = f"{start}:math:`{head}`{tail}{gap}{rest}"

    def block(match: re.Match[str]) -> str:
        equations = [_math(line.strip()) for line in match[1].splitlines()]
        if None in equations:
            return match[0]
        return ":\n\n" + "\n".join(f".. math:: {each}\n" for each in equations)

    text, mark, examples = _BLOCK.sub(block, text).partition("\nExamples\n---")
    parts = re.split(r"(`+[^`]+`+)", text)
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]  # |x| would be a substitution
    lines[:] = ("".join(parts) + mark + examples).split("\n")


def side_by_side(operation: type) -> list[str]:
    """Return the formulas of an operation as a table: forward, and beside it backward."""
    forward, *backward = [rst_of(formula) for formula in formulas_of(operation.__doc__ or "")]
    table = [".. list-table::", "   :class: formulas", "   :header-rows: 1", ""]
    table += ["   * - forward", "     - backward", f"   * - {forward}"]
    for number, formula in enumerate(backward or [""]):
        table += [("     - " if number == 0 else "\n       ") + formula]
    return ["", *table, ""]


def render(latex: str, display: str) -> str:
    """Return LaTeX as MathML."""
    from latex2mathml.converter import convert  # type: ignore[import-not-found, unused-ignore]

    return str(convert(latex, display=display))
