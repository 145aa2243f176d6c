"""One iteration of Algorithm 1, line by line: what each line of the algorithm computes, in numbers.

The iteration is the real one. `walk` lets `Algorithm1.step` run, and looks at what passes: the noise, the minibatches,
the logits, the gradients, and the parameters before and after each update. A look draws no random number and changes no
parameter, so the iteration ends in the same bits as without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

import tinygan.functional as F
from tinygan.engine import Tensor, grad, no_grad
from tinygan.errors import ArgumentError
from tinygan.gan.algorithm1 import Algorithm1, Step
from tinygan.gan.inputs import needs_labels
from tinygan.gan.monitors import gradient_norm
from tinygan.gan.objectives import OBJECTIVES
from tinygan.gan.sampling import evaluating
from tinygan.gan.step import answers_of
from tinygan.optim.gradients import array_norm
from tinygan.runs.json_values import json_value
from tinygan.trace.moved import PLAYERS, Before, hashes, moved, named_parameters

SHOWN = 16  # samples and examples that a line keeps
FIRST = 5  # numbers of the first noise vector that a line keeps


class Printed(NamedTuple):
    """A line of an algorithm as it is printed, with the spaces of its loops."""

    key: str
    text: str


_SAMPLE = "Sample minibatch of m noise samples {z(1), ..., z(m)} from noise prior p_g(z)."
_DATA = "Sample minibatch of m examples {x(1), ..., x(m)} from data generating distribution p_data(x)."
_D_GRADIENT = "∇θd 1/m Σ [log D(x(i)) + log(1 - D(G(z(i))))]"
_G_GRADIENT = "∇θg 1/m Σ log(1 - D(G(z(i))))"
_D_UPDATE = f"Update the discriminator by ascending its stochastic gradient: {_D_GRADIENT}."
_OTHER = "Update the {} by descending the stochastic gradient of its loss; the objective is {}."
PAPER = ("minimax", "non-saturating")  # the objectives of the paper, in its order


def printed_lines(game: Algorithm1) -> list[Printed]:
    """Return the lines of the algorithm that a game runs: of Algorithm 1, or of the simultaneous schedule.

    Parameters
    ----------
    game : Algorithm1

    Returns
    -------
    list of Printed
        Line n of the algorithm is number n - 1. The paper prints the lines of the alternating schedule; the others
        describe the released code.

    Examples
    --------
    >>> from tinygan import gan, nn
    >>> for line in printed_lines(gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1)))[:2]:
    ...     print(line.text)
    for number of training iterations do
      for k steps do
    """
    of_paper = game.losses.is_probability
    d_update = _D_UPDATE if of_paper else _OTHER.format("discriminator", game.objective)
    g_update = f"Update the generator by descending its stochastic gradient: {_G_GRADIENT}."
    g_update = g_update if of_paper else _OTHER.format("generator", game.objective)
    penalised = " The penalty is part of its loss." * bool(game.penalties)
    data = _DATA + " Their labels y are read by both: G(z, y), D(x, y)." * needs_labels(game.generator)
    inner = [("noise", _SAMPLE), ("data", data), ("d_update", d_update + penalised)]
    if game.schedule == "alternating":
        lines = [
            ("k", "  for k steps do"),
            *((key, f"    {text}") for key, text in inner),
            ("end_k", "  end for"),
            ("g_noise", f"  {_SAMPLE}"),
            ("g_update", f"  {g_update}"),
        ]
    else:
        alone = [("k", "  for k - 1 steps do"), *((key, f"    {text}") for key, text in inner), ("end_k", "  end for")]
        scale = game.discriminator_loss_scale
        d_gradient = (_D_GRADIENT if of_paper else f"that of its {game.objective} loss") + penalised.rstrip(".")
        lines = [
            *(alone if game.k > 1 else []),
            ("both_noise", f"  {_SAMPLE}" + (" Both players use it." if game.shared_noise else "")),
            ("both_data", f"  {data}"),
            *([] if game.shared_noise else [("g_noise", f"  {_SAMPLE} It is for the generator.")]),
            ("d_gradient", f"  Compute the discriminator's gradient: {f'{scale:g} ' * (scale != 1)}{d_gradient}."),
            ("g_gradient", "  Compute the generator's gradient at the same parameters."),
            ("both_update", "  Update both players at once."),
        ]
    everything = [("iteration", "for number of training iterations do"), *lines, ("end", "end for")]
    return [Printed(key, text) for key, text in everything]


@dataclass(frozen=True)
class Line:
    """A line of the algorithm in this iteration.

    Attributes
    ----------
    number : int
        Of the line, from 1; a line inside ``for k steps`` comes k times.
    key : str
        What the line does, such as "d_update".
    text : str
        The line as printed, with the spaces of its loops.
    numbers : dict
        What was computed: numbers, texts, lists and dicts of them, and arrays (the first samples or examples).
    """

    number: int
    key: str
    text: str
    numbers: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the line as values that JSON can hold; nan and the infinities become None."""
        plain = {
            name: value.astype(float).tolist() if isinstance(value, np.ndarray) else value
            for name, value in self.numbers.items()
        }
        record = {"line": self.number, "key": self.key, "text": self.text.strip(), **plain}
        return dict(json_value(record, "line", non_finite_as_null=True))


def walk(
    game: Algorithm1,
    iterate: Callable[[], object],
    show: Callable[[Line], object] | None = None,
) -> list[Line]:
    """Run one iteration of a game, and return what each line of the algorithm computed.

    Parameters
    ----------
    game : Algorithm1
    iterate : callable
        Runs one iteration of `game`, such as ``lambda: game.step(batch)`` or the `step` of a
        `tinygan.experiments.training.Training` without a CUDA graph.
    show : callable, optional
        Is given each line when it has been computed, while the iteration waits.

    Returns
    -------
    list of Line
        In the order in which the lines ran.

    Raises
    ------
    ArgumentError
        `iterate` ran no iteration of this game, or more than one.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import gan, nn
    >>> game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1))
    >>> lines = walk(game, lambda: game.step(np.zeros((4, 3), np.float32)))
    >>> [line.key for line in lines]
    ['iteration', 'k', 'noise', 'data', 'd_update', 'end_k', 'g_noise', 'g_update', 'end']
    >>> lines[4].numbers["moved"]
    ['discriminator']
    """
    lines: list[Line] = []
    own = type(game)
    numbered = {line.key: (number, line.text) for number, line in enumerate(printed_lines(game), start=1)}

    def emit(key: str, numbers: dict[str, Any]) -> None:
        lines.append(Line(numbered[key][0], key, numbered[key][1], numbers))
        if show is not None:
            show(lines[-1])

    # Only the class of the game is another for a while: its state, which the iteration changes, is its own.
    watched: Any = game
    watched.__class__ = type(f"Watched{own.__name__}", (_Watched, own), {})
    watched.watch = _Watch(emit)
    try:
        iterate()
    finally:
        watched.__class__ = own
        del watched.watch
    done = sum(line.key == "end" for line in lines)
    if done != 1:
        raise ArgumentError(f"walk: iterate ran {done} iterations of this game; expected 1, as in game.step(batch)")
    return lines


class _Watch:
    """What has been seen of this iteration."""

    def __init__(self, emit: Callable[[str, dict[str, Any]], None]) -> None:
        self.emit = emit
        self.k = 0  # updates of the discriminator alone
        self.noise_key = ""  # of the line that draws the next noise
        self.z: Any = None  # the noise that was drawn last
        self.logits: Any = None  # that were computed last
        self.gradients: dict[str, dict[str, Any]] = {}  # of each player
        self.minibatch: Any = None  # data, samples, and D's answers to them before the update
        self.y: Any = ()  # the labels of the last samples, if the game has labels
        self.fooled: Any = None  # how often G(z) fools D before the update
        self.hashes: dict[str, str] = {}  # of both players before k steps


class _Watched(Algorithm1):
    """`Algorithm1`, whose methods do what they do, and then tell what was computed."""

    watch: _Watch

    # ------------------------------------------------------------------ the updates

    def step(self, *inputs: Any, **named: Any) -> Step:
        before = hashes(self)
        self.watch.emit("iteration", {"iteration": self.generator_optimizer.updates + 1, "k": self.k})
        result = super().step(*inputs, **named)
        losses = {name: getattr(result, name).item() for name in ("discriminator_loss", "generator_loss")}
        answers = self._scores(result.real_logits, result.fake_logits)
        self.watch.emit("end", {**losses, **answers, "summary": str(result), **moved(before, hashes(self))})
        return result

    def _update_discriminator(self, real: Tensor, *y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        watch = self.watch
        watch.k += 1
        steps = self.k - (self.schedule == "simultaneous")
        watch.noise_key = "noise"
        watch.emit("k", {"step": watch.k, "steps": steps})
        before = Before(self)
        watch.hashes = watch.hashes or before.hashes
        loss, real_logits, fake_logits, penalty = super()._update_discriminator(real, *y)
        facts = self._discriminator_facts(loss, real_logits, fake_logits, penalty)
        watch.emit("d_update", facts | watch.gradients["discriminator"] | before.changes("discriminator"))
        if watch.k == steps:
            watch.emit("end_k", {"steps": steps} | self._discriminator_change() | moved(watch.hashes, hashes(self)))
            watch.minibatch = None
        return loss, real_logits, fake_logits, penalty

    def _update_generator(self, count: int, *y: Tensor) -> Tensor:
        watch, before = self.watch, Before(self)
        watch.noise_key = "g_noise"
        loss = super()._update_generator(count, *y)
        facts = {"loss": loss.item(), "objective": self.objective}
        changes = before.changes("generator") | self._generator_change()
        watch.emit("g_update", facts | watch.gradients["generator"] | changes)
        return loss

    def _update_both(self, real: Tensor, *y: Tensor) -> Step:
        watch, before = self.watch, Before(self)
        watch.noise_key = "both_noise"
        result = super()._update_both(real, *y)
        logits = result.real_logits, result.fake_logits
        facts = self._discriminator_facts(result.discriminator_loss, *logits, result.penalty)
        watch.emit("d_gradient", facts | watch.gradients["discriminator"])
        facts = {"loss": result.generator_loss.item(), "objective": self.objective}
        watch.emit("g_gradient", facts | watch.gradients["generator"])
        both = {"discriminator": self._discriminator_change(), "generator": self._generator_change()}
        watch.emit("both_update", before.changes(*PLAYERS) | both)
        return result

    # ------------------------------------------------------------------ their parts

    def _draw_noise(self, count: int) -> Tensor:
        self.watch.z = super()._draw_noise(count)
        return self.watch.z

    def _samples(self, count: int, *y: Tensor) -> Tensor:
        fake = super()._samples(count, *y)
        watch = self.watch
        watch.y = y
        z = watch.z.numpy()
        facts = {
            "kind": getattr(self.noise, "kind", type(self.noise).__name__),
            "shape": list(z.shape),
            "first": z[0].ravel()[:FIRST].astype(float).tolist(),
            "mean": float(z.mean(dtype=np.float64)),
            "deviation": float(z.std(dtype=np.float64)),
            "samples": _first(fake),
            "samples_shape": list(fake.shape),
        }
        if watch.noise_key != "noise":
            watch.fooled = self._fooled(watch.z)
        watch.emit(watch.noise_key, facts)
        return fake

    def _samples_beside(self, real: Tensor, *y: Tensor) -> Tensor:
        fake = super()._samples_beside(real, *y)
        watch = self.watch
        key = "data" if watch.noise_key == "noise" else "both_data"
        if watch.minibatch is None:
            watch.minibatch = real.detach(), fake.detach(), self._answers(real, fake, y), y
        x = real.numpy()
        facts = {
            "shape": list(x.shape),
            "low": float(x.min()),
            "high": float(x.max()),
            "mean": float(x.mean(dtype=np.float64)),
            "examples": _first(real),
            "samples": _first(fake),
        }
        watch.emit(key, facts)
        watch.noise_key = "g_noise"
        return fake

    def _judge(self, x: Tensor, *y: Tensor) -> Tensor:
        self.watch.logits = super()._judge(x, *y)
        return self.watch.logits

    def _set_gradients(self, player: str, loss: Tensor, retain_graph: bool = False) -> None:
        objectives = self._objectives() if player == "generator" else {}
        super()._set_gradients(player, loss, retain_graph)
        module, rule = getattr(self, player), getattr(self, f"{player}_optimizer")
        rates = sorted({group["lr"] for group in rule.param_groups})
        self.watch.gradients[player] = {
            **objectives,
            "gradient_norm": gradient_norm(module),
            "gradients": {
                name: None if parameter.grad is None else array_norm(parameter.grad.numpy())
                for name, parameter in named_parameters(self, player)
            },
            "rule": type(rule).__name__,
            "lr": rates[0] if len(rates) == 1 else rates,
        }

    # ------------------------------------------------------------------ looks: no draw, no change

    def _objectives(self) -> dict[str, Any]:
        """Return the generator's gradient under each objective, by the graph that the real gradient will use."""
        logits = self.watch.logits
        if not logits.requires_grad:  # `_set_gradients` will refuse this
            return {}
        trained = [parameter for parameter in self.generator_optimizer.params if parameter.requires_grad]
        found = {}
        shown = {kind: OBJECTIVES[kind] for kind in PAPER if self.losses.is_probability}
        for kind, objective in (shown or {self.objective: self.losses}).items():
            loss = objective.generator_loss(logits)
            slope, *gradients = grad(loss, [logits, *trained], retain_graph=True, allow_unused=True)
            norms = [array_norm(gradient.numpy()) for gradient in gradients if gradient is not None]
            # the loss is a mean over m samples, so the sum of its slopes is the mean slope of log D or log(1 - D)
            factor = -float(slope.numpy().sum(dtype=np.float64))
            found[kind] = {"loss": loss.item(), "factor": factor, "gradient_norm": math.hypot(*norms)}
        return {"objectives": found, **self._of_samples(logits)}

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Compute inside the block in evaluation mode; afterwards all modes and random streams are as before."""
        streams = self.streams.state_dict()
        try:
            with no_grad(), evaluating(self.generator), evaluating(self.discriminator), np.errstate(all="ignore"):
                yield
        finally:
            self.streams.load_state_dict(streams)

    def _answers(self, data: Tensor, samples: Tensor, y: Any) -> dict[str, float]:
        with self._looking():
            return self._scores(self.discriminator(data, *y), self.discriminator(samples, *y))

    def _fooled(self, z: Tensor) -> dict[str, float]:
        with self._looking():
            samples = self._converted(self.generator(z, *self.watch.y), self.discriminator_optimizer)
            logits = self.discriminator(samples, *self.watch.y)
        return self._of_samples(logits)

    def _of_samples(self, logits: Tensor) -> dict[str, float]:
        names = {"d_fake": "d_fake", "score_fake": "score_fake", "accuracy_real": "fooled"}
        scores = self._scores(logits, logits)
        return {name: scores[key] for key, name in names.items() if key in scores}

    def _discriminator_change(self) -> dict[str, Any]:
        data, samples, answers, y = self.watch.minibatch
        return {"before": answers, "after": self._answers(data, samples, y)}

    def _generator_change(self) -> dict[str, Any]:
        return {"before": self.watch.fooled, "after": self._fooled(self.watch.z)}

    def _discriminator_facts(self, loss: Tensor, real: Tensor, fake: Tensor, penalty: Tensor | None) -> dict[str, Any]:
        facts: dict[str, Any] = {"loss": loss.item(), "at_equilibrium": self.losses.at_equilibrium[0]}
        if self.objective in PAPER and self.losses is OBJECTIVES[self.objective]:  # no label is smoothed
            parts = [F.binary_cross_entropy_with_logits(*side).item() for side in ((real, 1), (fake, 0))]
            facts |= {"real_part": parts[0], "fake_part": parts[1]}
        facts |= {} if penalty is None else {"penalty": penalty.item()}
        facts |= {"is_probability": self.losses.is_probability, "scale": self.discriminator_loss_scale}
        return facts | self._scores(real, fake)

    def _scores(self, real_logits: Tensor, fake_logits: Tensor) -> dict[str, float]:
        return answers_of(self.losses, real_logits.detach(), fake_logits.detach())


def _first(rows: Tensor) -> Any:
    """Return the first images, or all numbers."""
    return rows.numpy()[: SHOWN if rows.size > len(rows) else None].copy()
