"""A trained generator with its data: what a figure of samples needs, from a run folder or trained in memory."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygan import evaluation, gan, nn
from tinygan.backend import Stream, Streams, blas_threads, keep_freed_memory
from tinygan.config.experiment import ExperimentConfig
from tinygan.data.dataset import Dataset
from tinygan.errors import ArgumentError, CheckpointError
from tinygan.experiments.build import build_generator, set_marginal_bias
from tinygan.experiments.protocol import LAST, choose_checkpoint, generator_of
from tinygan.experiments.running import Watcher, at_start, is_done
from tinygan.experiments.saved_state import image_shape, moment
from tinygan.pictures.sheets import colours_of
from tinygan.runs.run_folder import RunFolder

COUNT = 1000  # samples that are measured, and at most as many test images


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained generator with its data.

    Attributes
    ----------
    name : str
        Of the run folder, or of the experiment.
    config : ExperimentConfig
    dataset : Dataset
        Of images.
    generator : nn.Module
        In evaluation mode, with the weights for samples.
    steps : int
        Iterations of Algorithm 1.
    seconds : float or None
        Of training, by the wall clock; None if they were not recorded.
    """

    name: str
    config: ExperimentConfig
    dataset: Dataset
    generator: nn.Module
    steps: int
    seconds: float | None

    @property
    def epochs(self) -> float:
        """Passes over the training images; a part of one counts as its part."""
        rows = self.config.training.batch * self.config.training.k
        return self.steps / (len(self.dataset.train) // rows)

    @property
    def title(self) -> str:
        """The name and the epochs, for a caption."""
        return f"{self.name}, {round(self.epochs, 2):,g} epochs"

    @cached_property
    def noise(self) -> gan.Noise:
        """The prior p_z."""
        return gan.Noise(self.config.noise.kind, self.config.noise.size)

    def untrained(self) -> nn.Module:
        """Return the generator as it was before training, with new random weights in the place of pretrained ones."""
        images = self.dataset.train.images
        generator = build_generator(self.config, images.shape[1], Streams(self.config.seed)["weights"])
        set_marginal_bias(self.config, generator, images)
        return generator

    def draw(self, count: int, stream: Stream) -> Any:
        """Draw samples, shape (count, d): fair draws from p_g."""
        return gan.sample(self.generator, count, self.noise, stream)

    def along(self, ends: Any, steps: int) -> Any:
        """Return samples along straight lines in z space; see `gan.Noise.line`.

        Parameters
        ----------
        ends : array of shape (n, 2, size)
            Where each line starts and ends.
        steps : int

        Returns
        -------
        array of shape (n, steps + 1, d)
        """
        z = np.concatenate([self.noise.line(start, end, steps) for start, end in ends])
        return gan.push(self.generator, z).reshape(len(ends), steps + 1, -1)

    def colours(self, images: Any) -> Any:
        """Return the colours of rows of pixels, shape (n, h, w, 3), from 0 to 255, in the range of the data."""
        low, high = self.dataset.shown
        return colours_of((images - low) / (high - low), self.dataset.image_shape)

    @cached_property
    def measured(self) -> Measured:
        """The numbers of `COUNT` samples, from a fixed seed; they take some seconds."""
        train, chosen = self.dataset.train, _some(self.dataset.test, "test")
        test = self.dataset.test.images[chosen]
        before, after = (
            gan.sample(generator, COUNT, self.noise, Stream(0, "measured"))
            for generator in (self.untrained(), self.generator)
        )
        distance = evaluation.training_distance(after, train.images, test)
        floor = evaluation.maximum_mean_discrepancy(train.images[_some(train, "train")], test)  # its bandwidth for all
        mmd = [evaluation.maximum_mean_discrepancy(rows, test, floor.bandwidth).squared for rows in (before, after)]
        found = within = None
        named, test_named = train.labels[distance.samples[0]], train.labels[distance.test[0]]
        if np.ptp(train.labels) > 0:
            classes, data_counts = np.unique(train.labels, return_counts=True)
            counts = np.array([np.count_nonzero(named == label) for label in classes], float)
            found = evaluation.ClassCoverage(classes, counts, data_counts)
            within = _within_classes(distance, named, test_named)
        right = np.mean(test_named == self.dataset.test.labels[chosen])
        return Measured(
            samples=COUNT,
            test_images=len(test),
            nearest_ratio=distance.ratio,
            nearest_ratio_error=distance.standard_error,
            nearest_ratio_within_classes=within,
            mmd2_before=mmd[0],
            mmd2_after=mmd[1],
            mmd2_train=floor.squared,
            mmd_bandwidth=float(floor.bandwidth or 0),
            classes=None if found is None else found.covered,
            classes_of_data=None if found is None else len(found.classes),
            class_total_variation=None if found is None else found.total_variation,
            classifier_accuracy=None if found is None else float(right),
            epochs=int(self.epochs) if self.epochs.is_integer() else self.epochs,
            steps=self.steps,
            seconds=self.seconds,
        )


@dataclass(frozen=True)
class Measured:
    """The numbers of a figure.

    Attributes
    ----------
    samples, test_images : int
        How many of each are compared.
    nearest_ratio, nearest_ratio_error : float
        See `evaluation.TrainingDistance`.
    nearest_ratio_within_classes : float or None
        The median over the samples of their distance, divided by the median distance of the test images of the same
        class: unlike `nearest_ratio`, it does not fall if G draws too many of a class whose images are alike.
    mmd2_before, mmd2_after, mmd2_train, mmd_bandwidth : float
        The squared maximum mean discrepancy from test images, of samples before and after training, and of as many
        training images; the Gaussian kernel has the same bandwidth for all three.
    classes, classes_of_data : int or None
        How many classes the nearest training images of the samples have, and how many there are; None if the data have
        one class only.
    class_total_variation : float or None
        Of the shares of the classes; see `evaluation.ClassCoverage`.
    classifier_accuracy : float or None
        The share of test images whose nearest training image has their class.
    epochs : float
    steps : int
    seconds : float or None
        See `Trained`.
    """

    samples: int
    test_images: int
    nearest_ratio: float
    nearest_ratio_error: float
    nearest_ratio_within_classes: float | None
    mmd2_before: float
    mmd2_after: float
    mmd2_train: float
    mmd_bandwidth: float
    classes: int | None
    classes_of_data: int | None
    class_total_variation: float | None
    classifier_accuracy: float | None
    epochs: float
    steps: int
    seconds: float | None

    def __str__(self) -> str:
        seconds = "" if self.seconds is None else f" in {self.seconds:,.0f} s"
        within = self.nearest_ratio_within_classes
        each = "" if within is None else f" (by class: {within:.2f})"
        lines = [
            f"G was trained for {round(self.epochs, 2):,g} epochs ({self.steps:,} steps){seconds}.",
            f"The median distance of {self.samples:,} samples to the nearest training image is {self.nearest_ratio:.2f}"
            f" ± {self.nearest_ratio_error:.2f} times that of {self.test_images:,} test images{each}. Below 1, samples "
            "are copies, smoother than data, or too often of a class whose images are alike.",
            f"The squared maximum mean discrepancy from the test images (kernel of width {self.mmd_bandwidth:.3g}) was "
            f"{self.mmd2_before:.3g} before training and is {self.mmd2_after:.3g} now. That of training images is "
            f"{self.mmd2_train:.1g}.",
        ]
        if self.classes is not None:
            lines.append(
                f"By the nearest training image, the samples have {self.classes} of {self.classes_of_data} classes. "
                f"Their shares differ from the data's by a total variation of {self.class_total_variation:.2f}. So "
                f"named, {100 * (self.classifier_accuracy or 0):.1f} % of the test images get their own class."
            )
        return "\n".join(lines)


def load_trained(folder: RunFolder, config: ExperimentConfig, dataset: Dataset) -> Trained:
    """Return the generator of the newest checkpoint of a run.

    Parameters
    ----------
    folder : RunFolder
    config, dataset
        Of this run.

    Raises
    ------
    ArgumentError
        The data are no images.
    CheckpointError
        There is no checkpoint yet, or it does not belong to the configuration or to these images.
    """
    _refuse_numbers(str(folder.path), dataset)
    _, checkpoint = choose_checkpoint(folder, LAST)
    generator = generator_of(checkpoint, config)
    recorded = checkpoint.state.get("images_sha256")
    same = isinstance(recorded, dict) and recorded.get("train") == dataset.train.sha256
    if image_shape(checkpoint) != dataset.image_shape or not same:
        raise CheckpointError(
            f"{checkpoint.path}: the run was trained on other images than those of {config.data.set!r} here, among "
            f"which its samples have no nearest neighbour: give {config.data.option} the files the run began with"
        )
    epoch, steps = moment(checkpoint)
    times: dict[Any, Any] = {record.get("epoch"): record.get("seconds") for record in folder.timing()}
    known = [times[number] for number in range(1, epoch + 1) if isinstance(times.get(number), int | float)]
    per_epoch = len(dataset.train) // (config.training.batch * config.training.k)
    seconds = math.fsum(known) if len(known) == epoch and steps == epoch * per_epoch else None
    return Trained(folder.path.resolve().name, config, dataset, generator, steps, seconds)


def train_in_memory(
    config: ExperimentConfig,
    dataset: Dataset,
    steps: int | None = None,
    watcher: Watcher | None = None,
    device: str = "cpu",
) -> Trained:
    """Train an experiment, and write nothing.

    Parameters
    ----------
    config, dataset, device
        See `experiments.training.Training`.
    steps : int, optional
        Stop after this many iterations.
    watcher : Watcher, optional
        Its `begin` and `step` are called.

    Raises
    ------
    ArgumentError
        The data are no images.
    ConfigError, DeviceError, AnomalyError
        As in `experiments.running`.
    """
    _refuse_numbers(config.name, dataset)
    watcher = watcher or Watcher()
    keep_freed_memory()
    with blas_threads(config.training.threads):
        training = at_start(config, dataset, device)
        watcher.begin(training)
        began = time.perf_counter()
        while not is_done(training) and (steps is None or training.steps < steps):
            if training.epoch_is_over:
                training.next_epoch()
            training.step()
            watcher.step(training)
        training.state()  # waits for a device that runs ahead, and refuses what is not finite
        seconds = time.perf_counter() - began
        with training.generator_to_sample() as weighted:
            generator = copy.deepcopy(weighted)
    assert isinstance(generator, nn.Module)
    generator.to("cpu")
    generator.eval()
    return Trained(config.name, config, dataset, generator, training.steps, seconds)


def _within_classes(distance: evaluation.TrainingDistance, named: Any, test_named: Any) -> float | None:
    """Return `Measured.nearest_ratio_within_classes`; samples of a class without test images are left out."""
    ratios = []
    for label in np.unique(test_named):
        reference = np.median(distance.test[1][test_named == label])
        if reference > 0:
            ratios.append(distance.samples[1][named == label] / reference)
    together = np.concatenate(ratios)
    return float(np.median(together)) if len(together) else None


def share(flags: Any) -> tuple[float, float]:
    """Return the share of True among independent trials, and its standard error.

    The error is sqrt(p (1 - p) / n) of the binomial distribution, with p = (successes + 1) / (n + 2): it is not 0 if
    all trials have the same result.

    Examples
    --------
    >>> [round(number, 3) for number in share([True] * 98)]
    [1.0, 0.01]
    """
    n = len(flags)
    p = (np.sum(flags) + 1) / (n + 2)
    return float(np.mean(flags)), float(np.sqrt(p * (1 - p) / n))


def _some(split: Any, name: str) -> Any:
    """Return the rows of at most `COUNT` images of a split, drawn fairly from a fixed seed."""
    return Stream(0, name).permutation(len(split))[:COUNT]


def _refuse_numbers(name: str, dataset: Dataset) -> None:
    if dataset.image_shape == (1,):
        raise ArgumentError(
            f"{name}: its samples are single numbers, which have no picture; expected an experiment on images: for "
            "numbers see examples/figure_1.py"
        )
