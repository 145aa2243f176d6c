"""How a line of `tinygan.trace.algorithm_lines` is shown: as text for a terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygan.pictures.terminal import draw_histogram, draw_images
from tinygan.trace.algorithm_lines import Line, Printed

NARROWEST, WIDEST = 20, 100  # columns of text
SIGNS = {"∇": "gradient", "θ": "_", "Σ": "sum"}  # for a terminal that cannot write mathematics
LETTERS = {"generator": "G", "discriminator": "D"}
SLOPES = {"minimax": "D = ", "non-saturating": "1 - D = "}  # of G's loss in D's logit, without its sign
ABBREVIATED = 12  # characters of a SHA-256
INDENT = 3
ROOMY = 60  # columns of text that hold the full names of the parameters


@dataclass(frozen=True)
class AlgorithmText:
    """Writes lines of the algorithm for a terminal.

    Parameters
    ----------
    image_shape : tuple of int
        Of the data; (1,) for plain numbers.
    iterations : int, optional
        Of the whole training.
    columns : int
        That a line may take; the text takes 20 to 100.
    style : {"plain", "256", "24-bit"}
        See `tinygan.pictures.terminal`.

    Examples
    --------
    >>> line = Line(2, "k", "  for k steps do", {"step": 1, "steps": 3})
    >>> print(AlgorithmText((8, 8)).line(line))
    2    for k steps do
    <BLANKLINE>
       step 1 of 3
    """

    image_shape: tuple[int, ...]
    iterations: int | None = None
    columns: int = 80
    style: str = "plain"
    shown: tuple[float, float] = (0.0, 1.0)

    @property
    def width(self) -> int:
        """The columns that the text takes."""
        return max(NARROWEST, min(self.columns, WIDEST))

    def paragraph(self, text: str) -> str:
        """Break a text into lines."""
        return "\n".join(_wrapped(text, self.width))

    def program(self, lines: Sequence[Printed]) -> str:
        """Write the whole algorithm, numbered."""
        return "\n".join(self._printed(number, line.text) for number, line in enumerate(lines, start=1))

    def line(self, line: Line) -> str:
        """Write a line as printed, and under it what it computed."""
        body: list[str] = getattr(self, f"_{line.key}")(line.numbers)
        return "\n".join(
            [self._printed(line.number, line.text), "", *(f"{' ' * INDENT}{row}".rstrip() for row in body)]
        )

    def _printed(self, number: int, text: str) -> str:
        indent = " " * (3 + len(text) - len(text.lstrip()))
        return "\n".join(_wrapped(text.strip(), self.width, f"{number:<{len(indent)}}", indent))

    # ------------------------------------------------------------------ one method for each line

    def _iteration(self, numbers: dict[str, Any]) -> list[str]:
        of = "" if self.iterations is None else f" of {self.iterations:,}"
        return [f"iteration {numbers['iteration']:,}{of}"]

    def _k(self, numbers: dict[str, Any]) -> list[str]:
        return [f"step {numbers['step']} of {numbers['steps']}"]

    def _noise(self, numbers: dict[str, Any]) -> list[str]:
        count, *size = numbers["shape"]
        first = ", ".join(f"{number:.3f}" for number in numbers["first"])
        more = ", ..." if math.prod(size) > len(numbers["first"]) else ""
        return [
            *self._prose(f"m = {count} vectors z of {_numbers(math.prod(size))} each, {numbers['kind']}"),
            *self._prose(f"z(1) = ({first}{more})"),
            *self._prose(
                f"all of them: mean {numbers['mean']:.3f}, standard deviation {numbers['deviation']:.3f}"
                + (" (0 and 1 are expected)" if numbers["kind"] in ("uniform", "gaussian") else "")
            ),
            "",
            *self._pictures([("G(z)", numbers["samples"])]),
        ]

    _g_noise = _both_noise = _noise

    def _data(self, numbers: dict[str, Any]) -> list[str]:
        count, *size = numbers["shape"]
        return [
            *self._prose(
                f"m = {count} examples x of {_numbers(math.prod(size))} each, from {numbers['low']:.3f} to "
                f"{numbers['high']:.3f}, mean {numbers['mean']:.3f}"
            ),
            "",
            *self._pictures([("x", numbers["examples"]), ("G(z)", numbers["samples"])]),
        ]

    _both_data = _data

    def _d_gradient(self, numbers: dict[str, Any]) -> list[str]:
        at_rest, half = numbers.get("at_equilibrium", math.log(4)), f"{math.log(2):.4f}"
        rest = "unknown" if at_rest is None else f"{at_rest:.4f}"
        rows = [["", "now", "equilibrium"], ["D's loss", f"{numbers['loss']:.4f}", rest]]
        if "real_part" in numbers:
            rows = [
                ["mean of", "now", "D = 1/2"],
                ["-log D(x)", f"{numbers['real_part']:.4f}", half],
                ["-log(1 - D(G(z)))", f"{numbers['fake_part']:.4f}", half],
                ["sum: D's loss", f"{numbers['loss']:.4f}", rest],
            ]
        if "penalty" in numbers:
            rows.append(["penalty", f"{numbers['penalty']:.4f}", ""])
        scaled = f", of {numbers['scale']:g} times the loss" if numbers["scale"] != 1 else ""
        return [
            *self._table(rows),
            "",
            *self._prose(_answers(numbers)),
            *self._prose(f"Norm of the gradient{scaled}: {numbers['gradient_norm']:.3g}"),
            *(["", *self._layers(numbers)] if "parameters" not in numbers else []),
        ]

    def _d_update(self, numbers: dict[str, Any]) -> list[str]:
        return [*self._d_gradient(numbers), "", *self._update(numbers)]

    def _end_k(self, numbers: dict[str, Any]) -> list[str]:
        steps = numbers["steps"]
        title = f"After {steps} step{'s' * (steps > 1)} of D, on the x and G(z) of its first step, without dropout:"
        who = "This step" if steps == 1 else "These steps"
        return [*self._discriminator_change(numbers, title), "", *self._moved(numbers, who)]

    def _g_gradient(self, numbers: dict[str, Any]) -> list[str]:
        found = numbers.get("objectives", {})
        rows = [["", *found], ["G's loss", *(f"{kind['loss']:.4f}" for kind in found.values())]]
        rows.append(["|slope|", *(f"{SLOPES.get(name, '')}{kind['factor']:.3f}" for name, kind in found.items())])
        rows.append(["gradient", *(f"{kind['gradient_norm']:.3g}" for kind in found.values())])
        of_paper = "minimax" in found or not found
        kinds = (
            " Minimax: G minimises log(1 - D(G(z))). Non-saturating (section 3 of the paper): G maximises log D(G(z))."
            if of_paper
            else ""
        )
        values = ": D or 1 - D" * of_paper
        ends = " If D rejects all samples, D is near 0 and 1 - D is near 1." * of_paper
        return [
            *self._prose(f"This experiment uses the {numbers['objective']} objective.{kinds} On this minibatch:"),
            "",
            *self._table(rows),
            "",
            *self._prose(
                f"|slope| is the size of the loss's slope in D's logit, on average{values}. The gradient of each "
                f"sample has it as a factor.{ends} The gradient's norm is over all weights of G."
            ),
            *(["", *self._layers(numbers)] if "parameters" not in numbers else []),
        ]

    def _g_update(self, numbers: dict[str, Any]) -> list[str]:
        return [
            *self._g_gradient(numbers), "", *self._update(numbers), "", *self._generator_change(numbers)
        ]  # fmt: skip

    def _both_update(self, numbers: dict[str, Any]) -> list[str]:
        return [
            *self._layers(numbers),
            "",
            *self._moved(numbers, "This step"),
            "",
            *self._discriminator_change(
                numbers["discriminator"], "D on the same x and G(z), before and after, without dropout:"
            ),
            "",
            *self._generator_change(numbers["generator"]),
        ]

    def _end(self, numbers: dict[str, Any]) -> list[str]:
        summary = numbers["summary"].splitlines()
        return [*(row for text in summary for row in self._prose(text)), "", *self._moved(numbers, "This iteration")]

    # ------------------------------------------------------------------ parts

    def _update(self, numbers: dict[str, Any]) -> list[str]:
        rates = " and ".join(f"{rate:.3g}" for rate in np.atleast_1d(numbers["lr"]))  # of groups of parameters
        return [
            *self._prose(
                f"The update, by {numbers['rule']} with learning rate {rates} (norms; update/weight is "
                "often near 1e-03):"
            ),
            "",
            *self._layers(numbers),
            "",
            *self._moved(numbers, "This step"),
        ]

    def _layers(self, numbers: dict[str, Any]) -> list[str]:
        """Write a table of the parameters: gradient, and the update if there is one."""
        gradients = numbers.get("gradients", {})
        if "parameters" not in numbers:
            found = [[self._name(name), _short(norm)] for name, norm in gradients.items()]
            return self._table([["parameter", "gradient"], *found])
        rows = [["parameter", "shape", "gradient", "update", "update/weight", "moved"]]
        for row in numbers["parameters"]:
            ratio = "from 0" if row["ratio"] is None else _short(row["ratio"])
            shape, moved = "x".join(map(str, row["shape"])), "yes" if row["moved"] else "no"
            gradient = _short(gradients.get(row["name"]))
            rows.append([self._name(row["name"]), shape, gradient, _short(row["update_norm"]), ratio, moved])
        still = [self._name(row["name"]) for row in numbers["parameters"] if not row["moved"]]
        remark = self._prose(f"Not moved: {', '.join(still)}") if still else []
        return [*self._table(rows, keep=(0, 2, 4, 5, 3, 1) if gradients else (0, 4, 3, 5, 1)), *remark]

    def _name(self, parameter: str) -> str:
        """Return the name of a parameter, shorter for a narrow terminal."""
        player, _, name = parameter.partition(".")
        return parameter if self.width >= ROOMY else f"{LETTERS[player]}.{name}"

    def _moved(self, numbers: dict[str, Any], who: str) -> list[str]:
        """Write which player moved, and the hashes that prove it."""
        letters = [LETTERS[player] for player in numbers["moved"]]
        moved = " and ".join(letters) if letters else "neither player"
        rows = [f"{who} moved {moved}{' only' * (len(letters) == 1)}. SHA-256 of all weights:"]
        for player, (before, after) in numbers["sha256"].items():
            sign = "=" if before == after else "->"
            rows.append(f"{LETTERS[player]}: {before[:ABBREVIATED]} {sign} {after[:ABBREVIATED]}")
        return [row for text in rows for row in self._prose(text)]

    def _discriminator_change(self, numbers: dict[str, Any], title: str) -> list[str]:
        rows: list[tuple[str, str, Callable[[float], str]]] = [
            ("mean D(x)", "d_real", _three), ("mean D(G(z))", "d_fake", _three),
            ("D's mean output for x", "score_real", _three), ("for G(z)", "score_fake", _three),
            ("their difference", "score_difference", _three), ("D is right", "accuracy", _percent),
        ]  # fmt: skip
        return self._change(numbers, title, rows)

    def _generator_change(self, numbers: dict[str, Any]) -> list[str]:
        rows: list[tuple[str, str, Callable[[float], str]]] = [
            ("mean D(G(z))", "d_fake", _three), ("D's mean output for G(z)", "score_fake", _three),
            ("G fools D", "fooled", _percent),
        ]  # fmt: skip
        return self._change(numbers, "G on the same z, before and after, without dropout:", rows)

    def _change(
        self, numbers: dict[str, Any], title: str, rows: list[tuple[str, str, Callable[[float], str]]]
    ) -> list[str]:
        before, after = numbers["before"], numbers["after"]
        known = [(name, key, show) for name, key, show in rows if key in before]
        table = [["", "before", "after"], *([name, show(before[key]), show(after[key])] for name, key, show in known)]
        return [*self._prose(title), *self._table(table)]

    def _pictures(self, groups: list[tuple[str, Any]]) -> list[str]:
        """Draw groups of samples side by side, or the histograms of plain numbers one below the other."""
        room = self.width - INDENT
        if self.image_shape == (1,):
            finite = np.concatenate([rows[np.isfinite(rows)] for _, rows in groups])
            low, high = (float(finite.min()), float(finite.max())) if finite.size else (-1.0, 1.0)
            name = max(len(title) for title, _ in groups)
            lines = [f"{'':{name}}  {low:.2f} to {high:.2f}"]
            for title, rows in groups:
                lines.append(f"{title:{name}} |{draw_histogram(rows, low, high, room - name - 3, self.style)}|")
            return lines
        each = (room - 3 * (len(groups) - 1)) // len(groups)
        drawn = [(title, *draw_images(rows, self.image_shape, each, self.style, self.shown)) for title, rows in groups]
        titles = "   ".join(
            (f"{title}, the first {count}" if count > 1 else title).ljust(width) for title, _, width, count in drawn
        )
        return [titles, *("   ".join(parts) for parts in zip(*(lines for _, lines, _, _ in drawn), strict=True))]

    def _prose(self, text: str) -> list[str]:
        return _wrapped(text, self.width - INDENT, "", "  ")

    def _table(self, rows: list[list[str]], keep: Sequence[int] = ()) -> list[str]:
        """Align columns; if they are too wide, leave out the last ones in `keep`, which orders them by importance."""
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        kept = list(keep or range(len(widths)))
        while len(kept) > 1 and sum(widths[column] + 2 for column in kept) - 2 > self.width - INDENT:
            kept.pop()
        kept.sort()
        return [
            "  ".join(row[column].rjust(widths[column]) if column else row[0].ljust(widths[0]) for column in kept)
            for row in rows
        ]


def without_signs(text: str) -> str:
    """Return a text in ASCII: the signs of mathematics as words.

    Examples
    --------
    >>> without_signs("1/m Σ log D(x)")
    '1/m sum log D(x)'
    """
    for sign, word in SIGNS.items():
        text = text.replace(sign, word)
    return text


def _answers(numbers: dict[str, Any]) -> str:
    """Write what D answers, and how often it is right, if that is known."""
    answers = f"D's mean output is {numbers['score_real']:.3f} for x and {numbers['score_fake']:.3f} for G(z)" if (
        "score_real" in numbers
    ) else f"D(x) is {numbers['d_real']:.3f} and D(G(z)) is {numbers['d_fake']:.3f} on average"
    if "accuracy" not in numbers:
        return f"{answers}; a single output does not say whether D takes an example for data."
    right = _percent(numbers["accuracy_real"]), _percent(numbers["accuracy_fake"])
    return f"{answers}; D is right about {right[0]} of the x and {right[1]} of the G(z)."


def _short(number: float | None) -> str:
    return "none" if number is None else f"{number:.1e}"


def _wrapped(text: str, width: int, first: str = "", later: str = "") -> list[str]:
    """Break a text into lines, but not in "1 - D" or "50 %"."""
    for keep in (" - ", " %"):
        text = text.replace(keep, keep.replace(" ", "\0"))
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=later, break_on_hyphens=False)
    return [line.replace("\0", " ") for line in lines]


def _numbers(count: int) -> str:
    return f"{count} number{'s' * (count > 1)}"


def _three(number: float) -> str:
    return f"{number:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
