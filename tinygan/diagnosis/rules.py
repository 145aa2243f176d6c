"""Verdicts on a game, from the numbers of `tinygan.diagnosis.measures`.

A rule is a function of the measures that returns a `Verdict`, or None where it finds nothing or where a measure that it
needs is missing. To add a verdict, write its rule and name it in `RULES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tinygan.gan.players import ROUNDING

LOG_4 = math.log(4)
HEALTHY_UPDATE = -3.0  # log10 of update over weight
CHANCE = 0.5  # the accuracy of guessing

Measures = Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """What is wrong with a game, the number that shows it, and what to try.

    Attributes
    ----------
    name : str
        A short name, the same in every version, such as ``"d-won"``.
    title : str
        A few words.
    says : str
        One or two sentences, with the number.
    number, reference : float
        The number that led to the verdict, and the value to compare it with.
    advice : tuple of str
        What to try, in the order to try it; empty if there is nothing to mend.
    """

    name: str
    title: str
    says: str
    number: float
    reference: float
    advice: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything under its name, for JSON."""
        return {**asdict(self), "advice": list(self.advice)}


def discriminator_has_won(m: Measures, given: Collection[str]) -> Verdict | None:
    """D separates samples from data without error, and the gradient of G falls."""
    loss, accuracy = m["discriminator_loss"], m["d_accuracy"]
    norm, share = m.get("generator_gradient_norm"), m.get("generator_gradient_share", 1.0)
    most, least, largest = (0.3, 0.95, 0.8) if "d-won" in given else (0.1, 0.99, 0.5)
    if loss > most or accuracy < least or (share > largest and loss > most / 5):
        return None
    about_g = "" if norm is None else f" The gradient norm of G is {norm:.2g}"
    about_g += "." if norm is not None and share > 0.99 else ""
    about_g += f", {100 * share:.2g} % of its largest in this run." if norm is not None and share <= 0.99 else ""
    return Verdict(
        "d-won",
        "D has won",
        f"The loss of D is {loss:.2g}, and D is right on {100 * accuracy:.1f} % of data and samples: it separates them "
        f"without error, and G learns little or nothing from it.{about_g}",
        loss,
        LOG_4,
        (
            "lower the learning rate of D: a half, then a tenth (discriminator.optimizer.lr)",
            "make one update of D for each of G (training.k = 1)",
            'update both players at once (training.schedule = "simultaneous")',
            "give D more dropout, or fewer units",
            "start again, or go back to a checkpoint from before D won",
        ),
    )


def generator_is_saturated(m: Measures, given: Collection[str]) -> Verdict | None:
    """The minimax objective gives G almost no gradient."""
    factor = m["d_fake"]
    if not m["is_minimax"] or factor > (0.1 if "saturated" in given else 0.05):
        return None
    return Verdict(
        "saturated",
        "G is saturated",
        f"Under the minimax objective, the gradient of G has the factor D(G(z)), and its mean is {factor:.2g}. Under "
        f"the non-saturating objective the factor would be 1 - D(G(z)), with the mean {1 - factor:.2g}.",
        factor,
        CHANCE,
        (
            'use the non-saturating objective (training.objective = "non-saturating"): its fixed point is the same',
            "lower the learning rate of D (discriminator.optimizer.lr)",
        ),
    )


def samples_are_alike(m: Measures, given: Collection[str]) -> Verdict | None:
    """The Helvetica scenario: G maps many z to the same x."""
    wider = 1.1 if "helvetica" in given else 1.0
    found = []  # how far below its limit, the sentence, the number, the reference
    if "nearest_ratio" in m:
        ratio = m["nearest_ratio"]
        found.append((ratio / 0.5, f"the nearest other sample is {ratio:.2g} times as far as for data", ratio, 1.0))
    if "spread" in m:
        spread = m["spread"]
        said = f"over z the samples have {100 * spread:.2g} % of the data's variance"
        found.append((spread / 0.25, said, spread, 1.0))
    for covered, noun in (("classes_covered", "classes"), ("modes_recovered", "modes")):
        if m.get(noun, 0) > 1:
            said = f"the samples belong to {m[covered]:.0f} of {m[noun]:.0f} {noun}"
            found.append((m[covered] / m[noun] / 0.5, said, m[covered], m[noun]))
    signs = sorted(sign for sign in found if sign[0] < wider)
    if not signs:
        return None
    said = "; ".join(sign[1] for sign in signs)
    return Verdict(
        "helvetica",
        "the Helvetica scenario (mode collapse)",
        f"G maps many z to the same x: {said}. The losses cannot show this.",
        signs[0][2],
        signs[0][3],
        (
            "if these are the first epochs, train on: before it learns, every G draws almost the same for every z",
            "lower the learning rate of G (generator.optimizer.lr)",
            "make more updates of D for each of G (training.k = 2)",
            "use larger minibatches (training.batch)",
            "give G more noise (noise.size), or more units",
        ),
    )


def loss_at_log_4(m: Measures, given: Collection[str]) -> Verdict | None:
    """D answers 1/2: at the equilibrium, and where D has learnt nothing."""
    loss, accuracy, error = m["discriminator_loss"], m["classifier_accuracy"], m["classifier_standard_error"]
    if abs(loss - LOG_4) > (0.15 if {"log-4-blind", "log-4-equilibrium"} & set(given) else 0.1):
        return None
    told = f"The loss of D is {loss:.3f}, near log 4 = 1.386, which alone proves nothing: an untrained D has it too. "
    fresh = f"A fresh classifier is right on {100 * accuracy:.1f} % ± {100 * error:.1f} % of new rows"
    own = m["d_accuracy_held_out"]
    if abs(accuracy - CHANCE) <= max(2 * error, 0.02):
        return Verdict(
            "log-4-equilibrium",
            "near the equilibrium, as far as a classifier can tell",
            f"{told}{fresh}, and chance is 50 %: so the loss may be that of the equilibrium.",
            accuracy,
            CHANCE,
        )
    least, most, bound = (0.93, 0.6, 0.03) if "log-4-blind" in given else (0.95, 0.55, 0.02)
    if accuracy < least or own > most or m["jsd_bound_train"] > bound:  # or D sees at least some of the difference
        return None
    return Verdict(
        "log-4-blind",
        "D does not see what a fresh classifier sees",
        f"{told}{fresh}; D, without dropout, on {100 * own:.0f} %. So this is no equilibrium.",
        accuracy,
        CHANCE,
        (
            "if these are the first epochs, train on",
            "raise the learning rate of D (discriminator.optimizer.lr)",
            "make more updates of D for each of G (training.k = 2)",
            "give D less dropout, or more units",
            "check that data reach D: their range, and their order against the samples",
        ),
    )


def discriminator_overfits(m: Measures, given: Collection[str]) -> Verdict | None:
    """D knows single examples of its training data."""
    train, held_out, error = m["jsd_bound_train"], m["jsd_bound_held_out"], m["jsd_bound_error"]
    gap = train - held_out
    if gap < (0.08 if "d-overfits" in given else 0.1) or gap < 3 * error:
        return None
    return Verdict(
        "d-overfits",
        "D has memorised its training data",
        f"The loss of D puts the Jensen-Shannon divergence at {train:.2f} nats or more on data that it was trained on, "
        f"and at {held_out:.2f} on new data; the largest divergence is log 2 = 0.693. The difference, {gap:.2f} ± "
        f"{error:.2f}, is knowledge of single examples, which misleads G.",
        gap,
        0.0,
        (
            "give D more dropout (0.5 in its hidden layers), or fewer units",
            "train on more data, or stop earlier",
            "lower the learning rate of D (discriminator.optimizer.lr)",
        ),
    )


def relus_are_dead(m: Measures, given: Collection[str]) -> Verdict | None:
    """Many ReLUs are 0 on every row."""
    layer, share = _most(m, "dead_units.")
    if share <= (0.45 if "dead-units" in given else 0.5):
        return None
    return Verdict(
        "dead-units",
        "dead ReLUs",
        f"In the layer {layer}, {100 * share:.0f} % of the ReLUs are 0 on every one of the rows that were tried, and "
        "pass no gradient to their weights.",
        share,
        0.0,
        (
            "lower the learning rate of that player, then train again: a dead unit seldom returns",
            'use leaky ReLUs ({ type = "leaky_relu", slope = 0.1 })',
            "start the weights smaller (weight_range), with biases of 0 or above",
        ),
    )


def pieces_are_idle(m: Measures, given: Collection[str]) -> Verdict | None:
    """In most maxout units the same piece always wins."""
    layer, share = _most(m, "idle_pieces.")
    if share <= (0.85 if "idle-pieces" in given else 0.9):
        return None
    return Verdict(
        "idle-pieces",
        "maxout pieces that never win",
        f"In the layer {layer}, {100 * share:.0f} % of the spare pieces were the largest on none of the rows that were "
        "tried. Such a piece receives no gradient; a unit with one piece that always wins is linear.",
        share,
        0.0,
        (
            "lower the learning rate of that player",
            "start the weights larger (weight_range), with biases of 0",
            "use fewer pieces: the others only cost time",
        ),
    )


def ranges_differ(m: Measures, given: Collection[str]) -> Verdict | None:
    """The data do not lie where G can draw."""
    low, high = m["data_low"], m["data_high"]
    lowest, highest = m.get("output_low", -math.inf), m.get("output_high", math.inf)
    scale = "scale the data to [0, 1] for a sigmoid, or to [-1, 1] for a tanh (data.range)"
    data = f"The data lie in [{low:.3g}, {high:.3g}]"
    if low < lowest - ROUNDING or high > highest + ROUNDING:
        return Verdict(
            "range",
            "G cannot reach the data",
            f"{data}, but the last layer of G only reaches [{lowest:g}, {highest:g}].",
            high if high > highest + ROUNDING else low,
            highest if high > highest + ROUNDING else lowest,
            (scale, "or choose another last layer for G"),
        )
    if -math.inf < lowest < -ROUNDING <= low and math.isfinite(highest):
        return Verdict(
            "range",
            "half of G's range holds no data",
            f"{data}, but the last layer of G reaches [{lowest:g}, {highest:g}]: D can reject every sample by a "
            "negative number.",
            low,
            lowest,
            ("scale the data to [-1, 1]: data.range = [-1, 1], or 2 x - 1", "or end G in a sigmoid"),
        )
    size, drawn = max(abs(low), abs(high)), max(abs(m["sample_low"]), abs(m["sample_high"]))
    if size <= 10 * drawn or math.isfinite(highest):
        return None
    return Verdict(
        "range",
        "data and samples differ in scale",
        f"{data}, and the samples in [{m['sample_low']:.3g}, {m['sample_high']:.3g}]. The weights of G must grow until "
        "its samples are as large.",
        drawn,
        size,
        (f"{scale}; without either, to a standard deviation of 1 (data.contrast)",),
    )


def updates_are_off(m: Measures, given: Collection[str]) -> Verdict | None:
    """A layer is changed too much in each step, or hardly at all."""
    ratios = {name.removeprefix("update_ratio."): r for name, r in m.items() if name.startswith("update_ratio.")}
    if not ratios:
        return None
    layer, ratio = max(ratios.items(), key=lambda item: abs(item[1] - HEALTHY_UPDATE))
    inside = 0.2 if "update-ratio" in given else 0.0
    if -6.0 + inside <= ratio <= -0.5 - inside:
        return None
    large = ratio > HEALTHY_UPDATE
    was = f"log10 of update over weight was {ratio:.1f} in the layer {layer}; near -3 is healthy"
    if ratio <= -11.9:
        was = f"the layer {layer} did not change at all; log10 of update over weight near -3 is healthy"
    effect = "one step replaces much of what it has learnt" if large else "it hardly learns"
    rate = f"{'lower' if large else 'raise'} the learning rate of that player (PLAYER.optimizer.lr)"
    return Verdict(
        "update-ratio",
        f"a layer moves too {'fast' if large else 'slowly'}",
        f"In the last step, {was}. So {effect}.",
        ratio,
        HEALTHY_UPDATE,
        (
            (rate, "start the weights larger (weight_range)")
            if large
            else (rate, "look for a cause of small gradients: dead units, a saturated G, weights that start too small")
        ),
    )


def nothing_found(m: Measures) -> Verdict:
    """No rule has found a fault."""
    accuracy = m.get("classifier_accuracy")
    if accuracy is None:
        return Verdict("healthy", "no fault found", "No rule found a fault in what could be measured.", 0.0, 0.0)
    return Verdict(
        "healthy",
        "no fault found",
        f"No rule found a fault. That does not mean that the samples are good: a fresh classifier distinguishes them "
        f"from data with {100 * accuracy:.1f} % accuracy (chance is 50 %). While that number falls, they get better.",
        accuracy,
        CHANCE,
    )


Rule = Callable[[Measures, Collection[str]], Verdict | None]

# Each rule needs the measures of an epoch, or also those of the whole game.
EPOCH_RULES: tuple[Rule, ...] = (discriminator_has_won, generator_is_saturated)
GAME_RULES: tuple[Rule, ...] = (
    samples_are_alike,
    loss_at_log_4,
    discriminator_overfits,
    ranges_differ,
    updates_are_off,
    relus_are_dead,
    pieces_are_idle,
)
RULES = EPOCH_RULES + GAME_RULES


def apply_rules(rules: tuple[Rule, ...], measures: Measures, given: Collection[str] = ()) -> list[Verdict]:
    """Return what these rules find; see `judge`."""
    found = []
    for rule in rules:
        try:
            verdict = rule(measures, given)
        except KeyError:  # a measure that the rule needs is missing
            continue
        if verdict is not None:
            found.append(verdict)
    return found


def judge(measures: Measures, given: Collection[str] = ()) -> list[Verdict]:
    """Return the verdicts on a game, or the single verdict ``healthy``.

    Parameters
    ----------
    measures : mapping of str to float
        Of `epoch_measures` and `game_measures`; a rule whose measures are missing finds nothing.
    given : collection of str
        The names of the verdicts of the last time. A rule keeps such a verdict a little beyond its limit, so that a
        number near the limit does not change the verdict in every epoch.

    Returns
    -------
    list of Verdict
        In the order of `RULES`, never empty.

    Examples
    --------
    >>> [verdict.name for verdict in judge({"discriminator_loss": 0.001, "d_accuracy": 1.0})]
    ['d-won']
    >>> print(judge({})[0].says)
    No rule found a fault in what could be measured.
    """
    return apply_rules(RULES, measures, given) or [nothing_found(measures)]


def _most(m: Measures, prefix: str) -> tuple[str, float]:
    """Return the layer with the largest measure of this kind, and the measure; ("", 0) without such a measure."""
    shares = {name.removeprefix(prefix): share for name, share in m.items() if name.startswith(prefix)}
    return max(shares.items(), key=lambda item: item[1]) if shares else ("", 0.0)
