"""The protocol of Table 1 for a run: from a checkpoint to the log-likelihood of test images, its error and warnings."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from tinygan import evaluation, gan
from tinygan.backend import Stream
from tinygan.config.experiment import ExperimentConfig, load_experiment
from tinygan.data.dataset import Dataset
from tinygan.errors import CheckpointError, ConfigError
from tinygan.experiments.build import build_generator
from tinygan.experiments.labels import in_proportion
from tinygan.experiments.saved_state import fingerprints_of, image_shape, moment, weights_of
from tinygan.experiments.selection import IMAGES, SAMPLES, score_samples
from tinygan.nn import Module
from tinygan.runs.checkpoint import Checkpoint, read_checkpoint
from tinygan.runs.run_folder import RunFolder

BEST, LAST = "best", "last"


@dataclass(frozen=True)
class TrainingScore:
    """The log-likelihood of test images when training images replace the samples: a reference for the number of a run.

    A run with a higher number copies training images, or draws samples that are smoother than the data. A Parzen window
    cannot distinguish these two from samples of the data distribution.

    Attributes
    ----------
    images : int
        How many training images, the first of the split.
    sigma : float
        Chosen for them on the validation images.
    test_mean, test_standard_error : float
        In nats.
    """

    images: int
    sigma: float
    test_mean: float
    test_standard_error: float


@dataclass(frozen=True, eq=False)
class OtherMeasures:
    """Measures that are not in Table 1, each with weaknesses other than those of the log-likelihood.

    Attributes
    ----------
    coverage : evaluation.ClassCoverage or None
        Of the samples, by the training images; None if the training images have only one class.
    regions : evaluation.PrecisionRecall
    density : evaluation.DensityCoverage
    discrepancy : evaluation.MeanDiscrepancy
        With the Gaussian kernel.
    polynomial : evaluation.MeanDiscrepancy
        With the kernel of KID, on pixels.
    test : evaluation.TwoSampleTest
        These five compare the samples with an equal number of test images.
    training_images : TrainingScore
        For as many training images as samples.
    """

    coverage: evaluation.ClassCoverage | None
    regions: evaluation.PrecisionRecall
    density: evaluation.DensityCoverage
    discrepancy: evaluation.MeanDiscrepancy
    polynomial: evaluation.MeanDiscrepancy
    test: evaluation.TwoSampleTest
    training_images: TrainingScore

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers under their names, for JSON."""
        coverage = self.coverage
        classes: dict[str, Any] = {} if coverage is None else {
            "classes_covered": coverage.covered,
            "class_counts": [int(count) if count == int(count) else float(count) for count in coverage.counts],
            "class_total_variation": coverage.total_variation,
            **({} if coverage.agreement is None else {
                "class_agreement": coverage.agreement, "class_agreement_error": coverage.agreement_error
            }),
        }
        return {
            **classes,
            "precision": self.regions.precision,
            "recall": self.regions.recall,
            "density": self.density.density,
            "coverage": self.density.coverage,
            "mmd_squared": self.discrepancy.squared,
            "mmd_bandwidth": self.discrepancy.bandwidth,
            "polynomial_mmd_squared": self.polynomial.squared,
            "two_sample_accuracy": self.test.accuracy,
            "two_sample_p_value": self.test.p_value,
            "training_images": asdict(self.training_images),
        }


@dataclass(frozen=True, eq=False)
class ProtocolResult:
    """The result of `run_protocol`; log-likelihoods are means in nats, errors are std / sqrt(n).

    Attributes
    ----------
    experiment, run, data : str
    fold : int or None
        The fold of the validation and test images, for a data set that has folds.
    checkpoint : {"best", "last"}
        The best on validation, or the newest.
    epoch, steps : int
        When it was saved.
    averaged : bool
        Whether the samples were drawn with a running mean of the generator's weights.
    samples, seed : int
        How many samples were drawn, and the seed of their noise.
    sigma : float
        Chosen on the validation images from `evaluation.SIGMAS`.
    valid_mean, valid_standard_error, test_mean, test_standard_error : float
    valid_images, test_images : int
        How many images each mean is over.
    warnings : list of str
        Each reason why the number is not comparable to those of Table 1.
    measures : OtherMeasures, optional
        Only with ``more=True``.
    """

    experiment: str
    run: str
    data: str
    fold: int | None
    checkpoint: str
    epoch: int
    steps: int
    averaged: bool
    samples: int
    seed: int
    sigma: float
    valid_mean: float
    valid_standard_error: float
    valid_images: int
    test_mean: float
    test_standard_error: float
    test_images: int
    warnings: list[str]
    measures: OtherMeasures | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return everything under its name, for JSON."""
        plain = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "measures"}
        return plain if self.measures is None else {**plain, "measures": self.measures.as_dict()}


def run_protocol(
    folder: RunFolder,
    dataset: Dataset,
    which: str | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
    more: bool = False,
    averaged: bool = True,
) -> ProtocolResult:
    """Apply the released protocol to a checkpoint of a run.

    Draw samples; choose sigma by the mean log-likelihood of the first 1,000 validation images; return the mean over all
    test images.

    Parameters
    ----------
    folder : RunFolder
    dataset : Dataset
        The data set of the run; if it has folds, any fold.
    which : {"best", "last"}, optional
        By default the best on validation, if the run has one, otherwise the last.
    samples, seed : int
        The number of samples, and the seed of their noise.
    progress : callable, optional
        Called with the number of images done since the last call; `image_count` in all.
    more : bool
        Compute the other measures, too. On MNIST they take a minute or two, the log-likelihood seconds.
    averaged : bool
        Draw with the running mean of the generator's weights, if the experiment has one. With False, draw with the
        weights themselves, which are those of the same experiment without the mean.

    Raises
    ------
    CheckpointError
        There is no such checkpoint, or it does not belong to the configuration or the data set.
    """
    config = load_experiment(folder.config_path)
    which, checkpoint = choose_checkpoint(folder, which)
    averaged = averaged and config.generator.average_decay is not None
    generator = generator_of(checkpoint, config, averaged)
    shape = image_shape(checkpoint)
    epoch, steps = moment(checkpoint)
    if shape != dataset.image_shape:
        raise CheckpointError(
            f"{checkpoint.path}: its generator makes samples of shape {shape}, but {config.data.set!r} has images of "
            f"shape {dataset.image_shape}: give {config.data.option} the files the run began with"
        )
    if config.data.path is not None and checkpoint.state.get("images_sha256") != fingerprints_of(config, dataset):
        raise CheckpointError(
            f"{checkpoint.path}: the images or their labels are others than those the run began with, and the test "
            f"images may be among those it was trained on: give {config.data.option} the files the run began with"
        )
    noise = gan.Noise(config.noise.kind, config.noise.size)
    labels = in_proportion(config, dataset.train.labels, samples, seed)
    drawn = gan.sample(generator, samples, noise, Stream(seed, "samples"), labels)
    valid = score_samples(drawn, dataset.validation.images, progress)
    test = evaluation.parzen_log_likelihood(drawn, dataset.test.images, valid.sigma, progress=progress)
    measures = other_measures(drawn, dataset, labels) if more else None
    warnings = departures(valid.sigma, which, drawn, dataset, averaged)
    if measures is not None and test.mean() > measures.training_images.test_mean:
        warnings.append(
            f"the number is above the {measures.training_images.test_mean:.1f} of training images in the place of "
            "samples: these are smoother than the data, or copies of them, but not better"
        )
    return ProtocolResult(
        experiment=config.name,
        run=str(folder.path),
        data=config.data.set,
        fold=dataset.fold,
        checkpoint=which,
        epoch=epoch,
        steps=steps,
        averaged=averaged,
        samples=samples,
        seed=seed,
        sigma=valid.sigma,
        valid_mean=valid.log_likelihood,
        valid_standard_error=valid.standard_error,
        valid_images=min(IMAGES, len(dataset.validation)),
        test_mean=float(test.mean()),
        test_standard_error=evaluation.standard_error(test),
        test_images=len(dataset.test),
        warnings=warnings,
        measures=measures,
    )


def other_measures(samples: Any, dataset: Dataset, labels: Any = None) -> OtherMeasures:
    """Compute every other measure; those that compare use equal numbers of samples and test images.

    `labels` are those that the samples were drawn with, if they were.
    """
    count = min(len(samples), len(dataset.test))
    ours, theirs = samples[:count], dataset.test.images[:count]
    train = dataset.train
    several = np.ptp(train.labels) > 0
    return OtherMeasures(
        evaluation.class_coverage(samples, train.images, train.labels, labels) if several else None,
        evaluation.precision_recall(ours, theirs),
        evaluation.density_coverage(ours, theirs),
        evaluation.maximum_mean_discrepancy(ours, theirs),
        evaluation.maximum_mean_discrepancy(ours, theirs, kernel="polynomial"),
        evaluation.two_sample_test(ours, theirs),
        score_training_images(dataset, len(samples)),
    )


def score_training_images(dataset: Dataset, count: int = SAMPLES) -> TrainingScore:
    """Apply the protocol to the first training images instead of samples."""
    images = dataset.train.images[:count]
    chosen = score_samples(images, dataset.validation.images)
    values = evaluation.parzen_log_likelihood(images, dataset.test.images, chosen.sigma)
    return TrainingScore(len(images), chosen.sigma, float(values.mean()), evaluation.standard_error(values))


def image_count(dataset: Dataset) -> int:
    """Return how many images the protocol processes, for a progress bar."""
    return min(IMAGES, len(dataset.validation)) + len(dataset.test)


def departures(sigma: float, which: str, samples: Any, dataset: Dataset, averaged: bool = False) -> list[str]:
    """Return each known difference between this evaluation and that of Table 1."""
    found = []
    if sigma in (evaluation.SIGMAS[0], evaluation.SIGMAS[-1]):
        found.append(f"sigma = {sigma:g} is the end of the grid: the optimum may lie outside")
    if len(samples) < SAMPLES:
        found.append(f"{len(samples):,} samples, not {SAMPLES:,}: fewer samples give a lower number")
    # With folds, the protocol is that of TFD: all validation images, and a fixed number of epochs.
    if len(dataset.validation) < IMAGES and dataset.fold is None:
        found.append(f"sigma was chosen on {len(dataset.validation):,} validation images, not {IMAGES:,}")
    if which == LAST and dataset.fold is None:
        found.append("the checkpoint is the last one; no validation has chosen it")
    if averaged:
        found.append("the samples were drawn with a running mean of the generator's weights; the paper's were not")
    for what, values in (("the data", dataset.test.images), ("the samples", samples)):
        low, high = float(np.min(values)), float(np.max(values))
        if low < 0 or high > 1:
            found.append(
                f"{what} lie in [{low:.3g}, {high:.3g}], not in [0, 1]: nats depend on the units, so the number is "
                "comparable only to others in the same units"
            )
    return found


def generator_of(checkpoint: Checkpoint, config: ExperimentConfig, averaged: bool = True) -> Module:
    """Rebuild the generator of a checkpoint, in evaluation mode.

    Its weights are the running mean, if the experiment has one; with ``averaged=False``, the weights themselves.

    Raises
    ------
    CheckpointError
        The checkpoint does not belong to the configuration.
    """
    pixels = math.prod(image_shape(checkpoint))
    averaged = averaged and config.generator.average_decay is not None
    try:
        generator = build_generator(config, pixels, Stream(config.seed, "weights"))
        generator.load_state_dict(weights_of("generator", checkpoint.arrays, averaged))
    except (ConfigError, CheckpointError) as error:
        raise CheckpointError(
            f"{checkpoint.path}: does not belong to the config.toml of its run: {error}; put that back from a copy"
        ) from error
    generator.eval()
    return generator


def load_generator(
    folder: RunFolder, averaged: bool = True, which: str | int = LAST
) -> tuple[Module, ExperimentConfig, tuple[int, ...]]:
    """Return the generator of a checkpoint of a run; the data of the run are not needed.

    Parameters
    ----------
    folder : RunFolder
    averaged : bool
        As in `generator_of`.
    which : {"last", "best"} or int
        See `choose_checkpoint`.

    Returns
    -------
    generator : Module
        In evaluation mode.
    config : ExperimentConfig
    image_shape : tuple of int

    Raises
    ------
    CheckpointError
        The run has no such checkpoint, or it does not belong to the configuration.
    """
    config = load_experiment(folder.config_path)
    _, checkpoint = choose_checkpoint(folder, which)
    return generator_of(checkpoint, config, averaged), config, image_shape(checkpoint)


def choose_checkpoint(folder: RunFolder, which: str | int | None) -> tuple[str, Checkpoint]:
    """Return "best", "last" or a number of steps as a text, and that checkpoint; by default the best, if there is one.

    Raises
    ------
    CheckpointError
        The run has no such checkpoint, or it is damaged.
    """
    if isinstance(which, int):
        return str(which), _checkpoint_of_step(folder, which)
    best = None if which == LAST else folder.best_checkpoint()
    if best is not None:
        return BEST, best
    if which == BEST:
        raise CheckpointError(
            f"{folder.path}: no checkpoint was chosen by validation; set output.validate_every in the experiment, or "
            "take the last one: --checkpoint last"
        )
    last = folder.latest_checkpoint()
    if last is None:
        raise CheckpointError(
            f"{folder.path}: there is no checkpoint yet; let the run reach one: {folder.resume_command()}"
        )
    return LAST, last


def _checkpoint_of_step(folder: RunFolder, step: int) -> Checkpoint:
    path = folder.checkpoints_path / f"step-{step:09d}.safetensors"
    if not path.exists():
        there = sorted(int(name.stem[5:]) for name in folder.checkpoints_path.glob("step-*[0-9].safetensors"))
        have = f"has those after {' and '.join(map(str, there))} steps" if there else "has none yet"
        raise CheckpointError(f"{folder.path}: has no checkpoint after {step} steps; it {have}")
    return read_checkpoint(path)
