"""The curves of a training run: what is drawn, against which reference, and how to read it.

Sections and equations are those of "Generative Adversarial Nets" (Goodfellow et al., 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.report.charts import Chart, Line, Reference

LOG_4, LOG_2 = math.log(4), math.log(2)

HALF = Reference("half", "1/2", "ink", 0.5)


def column(records: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """Collect one number of each record; nan where there is none.

    Examples
    --------
    >>> column([{"value": -1.4}, {"value": None}, {}, {"value": "x"}], "value")
    array([-1.4,  nan,  nan,  nan])
    """
    return np.array([_number(record.get(key)) for record in records], np.float64)


def training_charts(records: Sequence[Mapping[str, Any]], objective: str) -> list[Chart]:
    """Make the charts of a run.

    Parameters
    ----------
    records : sequence of mapping
        Of ``metrics.jsonl``, with the fields of `tinygan.experiments.training.Training.metrics`.
    objective : {"non-saturating", "minimax"}
        What the generator minimises.

    Returns
    -------
    list of Chart
        Momentum is left out when no record has one, for instance under Adam, and so is the validation.

    Examples
    --------
    >>> [chart.name for chart in training_charts([{"epoch": 1, "value": -1.3}], "non-saturating")]
    ['losses', 'value', 'answers', 'accuracy', 'gradients', 'rates']
    """
    x = column(records, "epoch")
    d_loss, g_loss = column(records, "discriminator_loss"), column(records, "generator_loss")
    momentum = column(records, "momentum")
    level = generator_level(objective)
    charts = [
        Chart(
            "losses",
            "What each player minimises",
            "Losses in nats. Neither has to fall, for the players pull against each other (equation 1): at the "
            f"equilibrium D's is log 4 and G's {level.label.partition(' =')[0]}, and a D near 0 has won.",
            x,
            [Line("D", "d", d_loss), Line("G", "g", g_loss)],
            [Reference("log-4", f"log 4 = {LOG_4:.3f}", "d", LOG_4), level],
        ),
        Chart(
            "value",
            "The value of the game, V(D, G)",
            "The best D against a given G makes it −log 4 + 2 JSD(data‖samples) (section 4.1), which is −log 4 "
            "only when the samples follow the data; below the line D does worse than by always answering 1/2.",
            x,
            [Line("V(D, G)", "value", column(records, "value"))],
            [Reference("minus-log-4", f"−log 4 = −{LOG_4:.3f}", "value", -LOG_4)],
        ),
        Chart(
            "answers",
            "What D answers",
            "D's mean probability that its input is data, for data and for samples: the further apart the two, the "
            "better D tells them from each other; once the samples follow the data both are 1/2 (proposition 1).",
            x,
            [
                Line("D(x), data", "d", column(records, "d_real")),
                Line("D(G(z)), samples", "g", column(records, "d_fake")),
            ],
            [HALF],
            limits=(0, 1),
        ),
        Chart(
            "accuracy",
            "How often D is right",
            "The share of data and samples on the right side of 1/2, as D trains, with its dropout on: 1/2 is a coin "
            "toss, and near 1 D rejects every sample and G learns little (section 3).",
            x,
            [Line("accuracy of D", "d", column(records, "d_accuracy"))],
            [HALF],
            limits=(0, 1),
        ),
        Chart(
            "gradients",
            "How hard each player is pulled",
            "The length of a player's whole gradient in the last iteration of Algorithm 1 in each epoch, on a "
            "logarithmic scale: a steady rise warns of divergence, and a G sinking towards 0 has stopped learning.",
            x,
            [
                Line("D", "d", column(records, "discriminator_gradient_norm")),
                Line("G", "g", column(records, "generator_gradient_norm")),
            ],
            logarithmic=True,
        ),
        Chart(
            "rates",
            "Learning rates",
            "The factor on each update of Algorithm 1, as the schedule left it at the end of the epoch.",
            x,
            _both_players(column(records, "discriminator_lr"), column(records, "generator_lr")),
            limits=(0, None),
        ),
        Chart(
            "momentum",
            "Momentum",
            "How much of the last update is carried into the next one, the rule that the caption of Algorithm 1 names.",
            x,
            [Line("momentum", "value", momentum)],
            limits=(0, 1),
        ),
    ]
    return [*charts[: None if np.isfinite(momentum).any() else -1], *_validation_chart(records)]


def _validation_chart(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The log-likelihood of validation images, at the epochs that were judged by it; none if none was."""
    likelihood = column(records, "validation_log_likelihood")
    judged = np.isfinite(likelihood)
    if not judged.any():
        return []
    return [
        Chart(
            "validation",
            "How likely validation images are",
            "Their mean log-likelihood in nats under a Gaussian Parzen window on samples, the measure of table 1: the "
            "higher the better, with a high variance. The best epoch's networks are in checkpoints/best.safetensors.",
            column(records, "epoch")[judged],
            [Line("validation images", "value", likelihood[judged])],
        )
    ]


def generator_level(objective: str) -> Reference:
    """G's loss where D answers 1/2: E log(1 - 1/2), or -E log 1/2."""
    if objective == "minimax":
        return Reference("log-2", f"−log 2 = −{LOG_2:.3f}", "g", -LOG_2)
    return Reference("log-2", f"log 2 = {LOG_2:.3f}", "g", LOG_2)


def _both_players(d: NDArray[np.float64], g: NDArray[np.float64]) -> list[Line]:
    if np.array_equal(d, g, equal_nan=True):  # two lines in one place would look like one player's
        return [Line("D and G", "value", d)]
    return [Line("D", "d", d), Line("G", "g", g)]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        number = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.nan
    return number if math.isfinite(number) else math.nan
