"""Numbers that describe a game, for `tinygan.diagnosis.rules`: names and numbers only, no judgement.

`epoch_measures` takes what a training records in each epoch. `game_measures` draws samples and passes rows through both
networks, which takes longer. Neither changes the game, and neither draws from its random streams.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygan import evaluation, gan
from tinygan.backend import Streams
from tinygan.data.dataset import Dataset
from tinygan.diagnosis.units import watched
from tinygan.engine import Tensor
from tinygan.errors import ShapeError
from tinygan.gan.inputs import labels_moved, needs_labels, refuse_other_arguments, twice
from tinygan.gan.players import RANGES, last_activation
from tinygan.gan.sampling import evaluating
from tinygan.nn import Module

ROWS = 500  # of samples and of each set of data, so that the measures take a few per cent of an epoch
FEWEST = 20  # a share of fewer rows says nothing
STREAM = "diagnosis"  # of the noise: the same noise each time, so two diagnoses differ by the game only

Measures = dict[str, float]


def epoch_measures(record: Mapping[str, Any], objective: str = "", largest_norm: float = 0.0) -> Measures:
    """Return what the record of an epoch says about the game.

    Parameters
    ----------
    record : mapping
        A record of ``metrics.jsonl``. What it lacks, or what was not finite, is left out.
    objective : str
        The objective of G; see `gan.OBJECTIVES`.
    largest_norm : float
        The largest gradient norm of G in the epochs before.

    Returns
    -------
    dict of str to float
        ``discriminator_loss`` in nats, ``d_accuracy``, ``d_fake`` = mean D(G(z)), ``is_minimax`` (0 or 1),
        ``generator_gradient_norm`` and its share of the largest so far, ``generator_gradient_share``,
        ``jsd_bound_minibatch`` in nats, and ``update_ratio.LAYER`` = log10 |update| / |weights|.

    Examples
    --------
    >>> found = epoch_measures({"discriminator_loss": 0.02, "d_fake": 0.01}, "minimax")
    >>> {name: round(number, 3) for name, number in found.items()}
    {'discriminator_loss': 0.02, 'd_fake': 0.01, 'is_minimax': 1.0, 'jsd_bound_minibatch': 0.683}
    """
    found: Measures = {}
    of_d = ("discriminator_loss", "d_accuracy", "d_fake")  # the rules know these for the objectives of the paper
    of_paper = not objective or gan.OBJECTIVES[objective].is_probability
    for name in (*(of_d if of_paper else ()), "generator_gradient_norm"):
        if is_number(record.get(name)):
            found[name] = float(record[name])
    if objective:
        found["is_minimax"] = float(objective == "minimax")
    norm = found.get("generator_gradient_norm")
    if norm is not None and max(norm, largest_norm) > 0:
        found["generator_gradient_share"] = norm / max(norm, largest_norm)
    if "discriminator_loss" in found:
        found["jsd_bound_minibatch"] = jsd_bound(found["discriminator_loss"])
    ratios = record.get("update_ratios")
    for layer, ratio in ratios.items() if isinstance(ratios, Mapping) else ():
        if is_number(ratio):
            found[f"update_ratio.{layer}"] = float(ratio)
    return found


def is_number(value: object) -> bool:
    """Return whether a value of a record is a finite number: nan and infinity are recorded as None."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def jsd_bound(discriminator_loss: float) -> float:
    """Return log 2 - L_D / 2 in nats: at most the Jensen-Shannon divergence of p_data and p_g, for any D.

    By Theorem 1 of the paper the value of the game is -log 4 + 2 JSD at the best D, and less at any other. The loss of
    finitely many rows is noisy, so the bound can be negative. On rows that D was trained on it is biased upwards.

    Parameters
    ----------
    discriminator_loss : float
        -E log D(x) - E log(1 - D(G(z))) in nats.

    Examples
    --------
    >>> abs(jsd_bound(math.log(4))) < 1e-15, round(jsd_bound(0.0), 4)
    (True, 0.6931)
    """
    return math.log(2) - discriminator_loss / 2


def game_measures(
    game: gan.Algorithm1,
    train: Any,
    held_out: Any,
    *,
    train_labels: Any = None,
    train_y: Any = None,
    held_out_y: Any = None,
    generator: Module | None = None,
    modes: Any = None,
    std: float | None = None,
    rows: int = ROWS,
    seed: int = 0,
) -> Measures:
    """Measure samples, both networks, and D's loss on data that it was not trained on.

    Parameters
    ----------
    game : gan.Algorithm1
    train, held_out : array of shape (n, ...) and (m, ...)
        Data that the game is trained on, and other data from the same distribution; the first rows are used.
    train_labels : integer array of shape (n,), optional
        For ``classes_covered``.
    train_y, held_out_y : array of shape (n, ...) and (m, ...), optional
        Of a conditional game: the labels, or any other condition, of all rows. The samples have those of `held_out`.
    generator : Module, optional
        Draws the samples whose quality is measured; by default that of the game.
    modes : array of shape (K, d), optional
        The centres of the data's modes, with their standard deviation `std`, for ``modes_recovered``.
    rows : int
        At most this many samples and rows of each kind.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to float
        - ``rows``: samples, and rows of held-out data.
        - ``classifier_accuracy`` of the better of two fresh classifiers, a vote of nearest neighbours
          (``vote_accuracy``, ``vote_neighbours``) and the single nearest (``nearest_accuracy``), with
          ``classifier_standard_error`` and ``classifier_rows``, the number of rows that it classified.
        - ``precision``, ``recall``, ``nearest_ratio``: see `evaluation`.
        - ``spread``: the total variance of the samples over that of the data.
        - ``classes_covered``, ``classes``; ``modes_recovered``, ``modes``.
        - ``jsd_bound_held_out``, ``jsd_bound_train`` and ``d_accuracy_held_out`` of D without dropout, with
          ``jsd_bound_error``, the standard error of the difference of the two bounds.
        - ``data_low``, ``data_high``, ``sample_low``, ``sample_high``, and the root mean squares ``data_rms`` (of the
          first rows) and ``sample_rms``; ``output_low`` and ``output_high`` if G ends in a bounded activation.
        - ``dead_units.LAYER`` and ``idle_pieces.LAYER``: see `units`.

        A measure that does not apply is left out: on fewer than 20 rows most are.

    Raises
    ------
    ShapeError
        The data are not rows, there is no row, samples and data differ in shape, or not each row has a label.
    ArgumentError
        The game is conditional and there are no labels, or it takes none and there are.

    Examples
    --------
    >>> from tinygan import nn
    >>> rng = np.random.default_rng(0)
    >>> game = gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1), noise=gan.Noise("gaussian", 2))
    >>> train, held_out = rng.normal(size=(2, 100, 3)).astype(np.float32)
    >>> found = game_measures(game, train, held_out)
    >>> found["rows"], found["classifier_rows"], found["classifier_accuracy"] > 0.4
    (100.0, 100.0, True)
    """
    train, held_out = (np.asarray(data) for data in (train, held_out))
    for name, data in (("train", train), ("held_out", held_out)):
        if data.ndim < 2 or data.size == 0:
            raise ShapeError(f"game_measures: {name} has shape {data.shape}; expected (n, ...), one example a row")
    held_out, train_rows = held_out[:rows], train[:rows]
    count, conditional = len(held_out), train_y is not None or held_out_y is not None
    for player in ("generator", "discriminator"):
        refuse_other_arguments("game_measures", player, getattr(game, player), conditional)
    y, seen_y = (_labels(game, name, given, data, conditional) for name, given, data in (
        ("held_out_y", held_out_y, held_out), ("train_y", train_y, train_rows)
    ))
    noise = game.noise.draw(count, Streams(seed)[STREAM]).astype(game.generator.parameters()[0].dtype, copy=False)
    fake, units = watched(game.generator, noise, "generator", *y)
    if fake.shape != held_out.shape:
        raise ShapeError(
            f"game_measures: an example has the shape {held_out.shape[1:]}, and a sample {fake.shape[1:]}; expected one"
        )
    found: Measures = {"rows": float(count), **units}
    samples = fake
    if generator is not None and generator is not game.generator:
        with evaluating(generator):
            samples = gan.push(generator, noise, *y)
    return {
        **found,
        **_of_discriminator(game, held_out, fake, train_rows, y, seen_y),
        **_of_ranges(game.generator, train, samples),
        **_of_samples(samples, held_out, train_rows, None if train_labels is None else train_labels[:rows]),
        **_of_modes(samples, modes, std),
    }


def dataset_measures(
    game: gan.Algorithm1, dataset: Dataset, generator: Module | None = None, seed: int = 0
) -> Measures:
    """Measure a game on a data set: `game_measures` with its validation images as held-out data.

    Where those are fewer than 100 and the test images are more, it takes the test images.

    Parameters
    ----------
    game, generator, seed
        See `game_measures`.
    dataset : Dataset
    """
    train, validation, test = dataset.train, dataset.validation, dataset.test
    held_out = test if len(validation) < min(100, len(test)) else validation
    labels = train.labels if np.ptp(train.labels) > 0 else None
    y: Any = {"train_y": train.labels, "held_out_y": held_out.labels} if needs_labels(game.generator) else {}
    return game_measures(
        game, train.images, held_out.images, train_labels=labels, generator=generator, seed=seed, **y
    )


def _labels(game: gan.Algorithm1, name: str, given: Any, rows: Any, conditional: bool) -> list[Tensor]:
    """Return the labels of rows as a list of one tensor; an empty list if the game has none."""
    if not conditional:
        return []
    given = given if given is None else given[: len(rows)]
    return [labels_moved(given, len(rows), f"game_measures: {name}", game.generator.parameters()[0])]


def _of_discriminator(
    game: gan.Algorithm1, held_out: Any, fake: Any, train: Any, y: list[Tensor], seen_y: list[Tensor]
) -> Measures:
    """Measure the layers of D, and its logits for new data, for samples, and for data that it was trained on."""
    dtype, m = game.discriminator.parameters()[0].dtype, game.rows_a_logit
    held_out, fake, train = (rows[: len(rows) - len(rows) % m].astype(dtype) for rows in (held_out, fake, train))
    y, seen_y = [label[: len(held_out)] for label in y], [label[: len(train)] for label in seen_y]
    if not len(held_out) or not len(train):  # fewer rows than a pack has
        return {}
    logits, units = watched(game.discriminator, np.concatenate([held_out, fake]), "discriminator", *map(twice, y))
    if not game.losses.is_probability:
        return units
    with evaluating(game.discriminator):
        seen = gan.push(game.discriminator, train, *seen_y)
    half = len(logits) // 2
    parts = (part.astype(np.float64).ravel() for part in (logits[:half], logits[half:], seen))
    return {**units, **_of_logits(*parts)}


def _of_logits(held_out: Any, fake: Any, seen: Any) -> Measures:
    """Compare the logits of D for data that it has not seen, for samples, and for data that it was trained on."""
    on_fake = np.logaddexp(0, fake).mean()
    losses = {"held_out": np.logaddexp(0, -held_out), "train": np.logaddexp(0, -seen)}
    found = {f"jsd_bound_{name}": jsd_bound(float(loss.mean() + on_fake)) for name, loss in losses.items()}
    if min(len(held_out), len(seen)) >= FEWEST:
        found["jsd_bound_error"] = math.sqrt(sum(loss.var() / len(loss) for loss in losses.values())) / 2
    right = (held_out > 0).mean() + (held_out == 0).mean() / 2 + (fake < 0).mean() + (fake == 0).mean() / 2
    return {**found, "d_accuracy_held_out": float(right) / 2}


def _of_ranges(generator: Module, data: Any, samples: Any) -> Measures:
    found: Measures = {}
    for name, values in (("data", data), ("sample", samples)):
        found |= {f"{name}_low": float(values.min()), f"{name}_high": float(values.max())}
        first = values[: len(samples)].astype(np.float64)
        found[f"{name}_rms"] = math.sqrt(float(np.mean(first * first)))
    lowest, highest = RANGES.get(last_activation(generator), (-math.inf, math.inf))
    ends = {"output_low": lowest, "output_high": highest}
    return found | {name: end for name, end in ends.items() if math.isfinite(end)}


def _of_samples(samples: Any, held_out: Any, train: Any, labels: Any) -> Measures:
    count = len(samples)
    if count < FEWEST:
        return {}
    samples, held_out, train = (rows.reshape(len(rows), -1) for rows in (samples, held_out, train))
    tests = {name: evaluation.two_sample_test(samples, held_out, k) for name, k in (("vote", None), ("nearest", 1))}
    best = max(tests.values(), key=lambda test: test.accuracy)
    regions = evaluation.precision_recall(samples, held_out)
    variance = float(held_out.var(axis=0, dtype=np.float64).sum())
    found = {
        "classifier_accuracy": best.accuracy,
        "classifier_standard_error": _standard_error(best.correct, best.held_out),
        "classifier_rows": best.held_out,
        "vote_accuracy": tests["vote"].accuracy,
        "vote_neighbours": math.isqrt(2 * (count // 2)),
        "nearest_accuracy": tests["nearest"].accuracy,
        "precision": regions.precision,
        "recall": regions.recall,
    }
    if variance > 0:
        found["spread"] = float(samples.var(axis=0, dtype=np.float64).sum()) / variance
    if evaluation.nearest_neighbour_distances(held_out).any():
        found["nearest_ratio"] = evaluation.nearest_neighbour_ratio(samples, held_out)
    if labels is not None and np.ptp(labels) > 0:
        coverage = evaluation.class_coverage(samples, train, labels)
        found |= {"classes_covered": coverage.covered, "classes": len(coverage.classes)}
    return {name: float(number) for name, number in found.items()}


def _standard_error(right: float, rows: int) -> float:
    """Return the standard error of a share, after Agresti and Coull (1998): not 0 where all rows are right."""
    share = (right + 2) / (rows + 4)
    return math.sqrt(share * (1 - share) / (rows + 4))


def _of_modes(samples: Any, modes: Any, std: float | None) -> Measures:
    if modes is None or std is None:
        return {}
    count = evaluation.count_modes(samples, modes, std)
    return {"modes_recovered": float(count.recovered), "modes": float(count.modes)}
