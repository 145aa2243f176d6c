"""The charts of a training run: their curves, reference levels and explanations.

Sections and equations are those of "Generative Adversarial Nets" (Goodfellow et al., 2014).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinygan.gan.objectives import Objective, smoothed
from tinygan.report.charts import LAYERS, Chart, Line, Reference

LOG_4, LOG_2 = math.log(4), math.log(2)

HALF = Reference("half", "1/2", "ink", 0.5)


def column(records: Sequence[Mapping[str, Any]], key: str) -> NDArray[np.float64]:
    """Return one number of each record; nan where it is missing.

    Examples
    --------
    >>> column([{"value": -1.4}, {"value": None}, {}, {"value": "x"}], "value")
    array([-1.4,  nan,  nan,  nan])
    """
    return np.array([_number(record.get(key)) for record in records], np.float64)


def training_charts(
    records: Sequence[Mapping[str, Any]],
    objective: str,
    diagnoses: Sequence[Mapping[str, Any]] = (),
    layers: Mapping[str, str] | None = None,
    label_smoothing: float = 0.0,
) -> list[Chart]:
    """Make the charts of a run.

    Parameters
    ----------
    records : sequence of mapping
        The lines of ``metrics.jsonl``, with the fields of `tinygan.experiments.training.Training.metrics`.
    objective : str
        A name in `tinygan.gan.OBJECTIVES`. Charts that hold for the paper's two only are left out for the others.
    diagnoses : sequence of mapping
        The lines of ``diagnosis.jsonl``.
    layers : mapping of str to str, optional
        What each layer is, such as ``{"generator.0": "linear"}``.
    label_smoothing : float
        As in the experiment.

    Returns
    -------
    list of Chart
        Charts of what no record has are left out: momentum above 0, validation, a fresh classifier, layers.

    Examples
    --------
    >>> [chart.name for chart in training_charts([{"epoch": 1, "value": -1.3}], "non-saturating")]
    ['losses', 'answers', 'value', 'accuracy', 'gradients', 'rates']
    """
    x = column(records, "epoch")
    d_loss, g_loss = column(records, "discriminator_loss"), column(records, "generator_loss")
    momentum = column(records, "momentum")
    levels, rules = loss_levels(objective, label_smoothing), smoothed(objective, label_smoothing)
    of_paper = rules.is_probability and not label_smoothing
    of_losses = f"The losses of the objective {objective}. Neither has to fall, because the players have opposite aims."
    if of_paper:
        of_losses = (
            "Losses in nats. Neither loss has to fall, because the players have opposite aims (equation 1). At the "
            f"equilibrium D's is log 4 and G's {levels[1].label.partition(' =')[0]}; if D's is near 0, D has won."
        )
    charts = [
        Chart(
            "losses",
            "What each player minimises",
            of_losses,
            x,
            [Line("D", "d", d_loss), Line("G", "g", g_loss)],
            levels,
        ),
        _answers_chart(records, objective, rules, [] if label_smoothing else [HALF]),
        Chart(
            "value",
            "The value of the game, V(D, G)",
            "With the best D for a given G it is −log 4 + 2 JSD(data‖samples) (section 4.1), which is −log 4 only "
            "if the samples follow the data. Below the line D is worse than the constant D = 1/2.",
            x,
            [Line("V(D, G)", "value", column(records, "value"))],
            [Reference("minus-log-4", f"−log 4 = −{LOG_4:.3f}", "value", -LOG_4)],
        ),
        Chart(
            "accuracy",
            "The accuracy of D",
            "The share of data and samples that D classifies correctly during training, with dropout. 1/2 is chance; "
            "near 1, D rejects every sample and G learns little (section 3).",
            x,
            [Line("accuracy of D", "d", column(records, "d_accuracy"))],
            [HALF],
            limits=(0, 1),
        ),
        Chart(
            "gradients",
            "The gradient norms",
            "The norm of a player's gradient in the last iteration of Algorithm 1 in each epoch, on a logarithmic "
            "scale. A steady rise is a sign of divergence; if G's norm goes to 0, G has stopped learning.",
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
            "The factor of each update of Algorithm 1, at the end of the epoch.",
            x,
            _both_players(column(records, "discriminator_lr"), column(records, "generator_lr")),
            limits=(0, None),
        ),
        Chart(
            "momentum",
            "Momentum",
            "The share of the last update that is added to the next one, the rule in the caption of Algorithm 1.",
            x,
            [Line("momentum", "value", momentum)],
            limits=(0, 1),
        ),
    ]
    if not of_paper:  # V(D, G) is defined by cross-entropies, and 0 is no limit between data and samples for a critic
        charts = [c for c in charts if c.name != "value" and (c.name != "accuracy" or rules.threshold is not None)]
    if not rules.is_probability and not np.isfinite(column(records, "score_real")).any():
        charts = [c for c in charts if c.name != "answers"]  # an earlier version recorded sigmoids
    if not np.nan_to_num(momentum).any():
        charts.pop()
    by_layer = [_layer_chart(records, player, layers or {}) for player in ("discriminator", "generator")]
    charts[5:5] = [chart for chart in by_layer if chart.lines]
    return [*_classifier_chart(diagnoses, x), *charts, *_validation_chart(records)]


def _answers_chart(
    records: Sequence[Mapping[str, Any]], objective: str, rules: Objective, half: list[Reference]
) -> Chart:
    """Return the chart of D's mean answers: probabilities, or plain outputs and their difference."""
    x, title = column(records, "epoch"), "The output of D"
    half = [] if rules.undecided is None else half
    if rules.is_probability:
        what = "D's mean probability that its input is data" if half else "The sigmoid of D's output"
        reading = f"{what}, for data and for samples. The larger the difference, the better D separates them."
        reading += " If the samples follow the data, the best D has both at 1/2 (proposition 1)." * bool(half)
        answers = column(records, "d_real"), column(records, "d_fake")
        lines = [Line("D(x), data", "d", answers[0]), Line("D(G(z)), samples", "g", answers[1])]
        return Chart("answers", title, reading, x, lines, half, limits=(0, 1))
    reading = (
        "D's mean output for data and for samples, which is no probability with this objective. The larger the "
        "difference, the better D separates them; if the samples follow the data, it is 0."
    )
    if objective == "wasserstein":
        reading += (
            " The difference estimates the Wasserstein distance between data and samples, times the bound of D's "
            "slope. The outputs alone mean nothing: a constant that is added to both changes nothing."
        )
    data, samples = column(records, "score_real"), column(records, "score_fake")
    lines = [Line("data", "d", data), Line("samples", "g", samples), Line("difference", "value", data - samples)]
    return Chart("answers", title, reading, x, lines, half)


def _classifier_chart(diagnoses: Sequence[Mapping[str, Any]], x: NDArray[np.float64]) -> list[Chart]:
    """Return the chart of a fresh classifier, precision and recall; an empty list if none was trained."""
    accuracy = column([record["measures"] for record in diagnoses], "classifier_accuracy")
    trained = np.isfinite(accuracy)  # not every diagnosis trains a classifier
    if not trained.any():
        return []
    measures = [record["measures"] for record, chosen in zip(diagnoses, trained, strict=True) if chosen]
    epochs = column(diagnoses, "epoch")[trained]
    return [
        Chart(
            "classifier",
            "What a fresh classifier can tell",
            "The accuracy of a new classifier on data and samples that it was not trained on: 1/2 is chance, 1 is "
            "certainty. Precision: the share of samples that lie among the data. Recall: the share of data that lie "
            "among the samples; it falls when G repeats itself.",
            x,
            [
                Line("accuracy", "value", accuracy[trained], epochs),
                Line("precision", "g", column(measures, "precision"), epochs),
                Line("recall", "d", column(measures, "recall"), epochs),
            ],
            [Reference("half", "chance: 1/2", "value", 0.5)],
            limits=(0, 1),
        )
    ]


def _layer_chart(records: Sequence[Mapping[str, Any]], player: str, layers: Mapping[str, str]) -> Chart:
    """Return the chart of the gradient norm of each layer of a player; without lines if no record has them."""
    norms = [found if isinstance(found := record.get("gradient_norms"), Mapping) else {} for record in records]
    names = sorted({name for found in norms for name in found if name.startswith(f"{player}.")}, key=_natural)
    letter = player[0].upper()
    return Chart(
        f"{player}-layers",
        f"The gradient norms in {letter}, by layer",
        f"The norm of the gradient with respect to all parameters of each layer of {letter}, at the last iteration of "
        "an epoch, on a logarithmic scale. If it shrinks from the upper layers to layer 0, the gradient vanishes.",
        column(records, "epoch"),
        [
            Line(
                " ".join([name.removeprefix(f"{player}."), layers.get(name, "")]).strip(),
                LAYERS[number * len(LAYERS) // len(names)],
                column(norms, name),
            )
            for number, name in enumerate(names)
        ],
        logarithmic=True,
    )


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts layer 10 after layer 9."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _validation_chart(records: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return the chart of the validation log-likelihood; an empty list if it was never computed."""
    likelihood = column(records, "validation_log_likelihood")
    judged = np.isfinite(likelihood)
    if not judged.any():
        return []
    return [
        Chart(
            "validation",
            "The likelihood of validation images",
            "Their mean log-likelihood in nats under a Gaussian Parzen window on samples, the measure of table 1: "
            "higher is better, with a high variance. The best epoch's networks are in checkpoints/best.safetensors.",
            x := column(records, "epoch"),
            [Line("validation images", "value", likelihood[judged], x[judged])],
        )
    ]


def loss_levels(objective: str, label_smoothing: float = 0.0) -> list[Reference]:
    """Return the levels of the losses of D and of G at the equilibrium, as far as they are known."""
    found = []
    at_equilibrium = smoothed(objective, label_smoothing).at_equilibrium
    for level, name, colour in zip(at_equilibrium, ("log-4", "log-2"), "dg", strict=True):
        if level is not None:
            sign, size = "−" if level < 0 else "", f"{abs(level):.3f}"
            words = {LOG_4: "log 4", LOG_2: "log 2"}
            word = next((words[number] for number in words if math.isclose(abs(level), number)), "")
            found.append(Reference(name, f"{sign}{word} = {sign}{size}" if word else sign + size, colour, level))
    return found


def _both_players(d: NDArray[np.float64], g: NDArray[np.float64]) -> list[Line]:
    if np.array_equal(d, g, equal_nan=True):  # one of two equal lines would be hidden
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
