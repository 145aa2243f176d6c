"""Selection of the best checkpoint, by the Parzen log-likelihood of validation images.

The losses of the game do not show when to stop: at the equilibrium they are constant, and before it they rise and fall
together. The paper does not treat the question; its successor on conditional nets (Mirza and Osindero, 2014) stops at
the best validation log-likelihood, and so ``checkpoints/best.safetensors`` keeps that epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygan import evaluation, gan
from tinygan.backend import Streams
from tinygan.nn import Module

STREAM = "validation"  # of the noise for the samples: the same noise at every validation of a run
SAMPLES = 10_000  # as in the released protocol
IMAGES = 1_000


@dataclass(frozen=True)
class ValidationScore:
    """The log-likelihood of validation images under the best Parzen window.

    Attributes
    ----------
    log_likelihood, standard_error : float
        Mean over the validation images, in nats.
    sigma : float
        The width of the window, the best of `evaluation.SIGMAS`.
    """

    log_likelihood: float
    standard_error: float
    sigma: float

    def metrics(self) -> dict[str, float]:
        """Return the numbers under their names in ``metrics.jsonl``."""
        return {
            "validation_log_likelihood": self.log_likelihood,
            "validation_standard_error": self.standard_error,
            "validation_sigma": self.sigma,
        }


def score_generator(
    generator: Module, noise: gan.Noise, images: Any, seed: int, samples: int = SAMPLES, labels: Any = None
) -> ValidationScore:
    """Score a generator by the first 1,000 validation images.

    Parameters
    ----------
    generator : Module
        It keeps its mode.
    noise : gan.Noise
    images : array of shape (n, d)
        The validation images, n at least 1.
    seed : int
        The seed of the run. Equal seeds draw equal noise, so two scores of a run differ by the generator only.
    samples : int
    labels : array of integers, shape (samples,), optional
        For a conditional generator.

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import nn
    >>> found = score_generator(nn.Linear(2, 3), gan.Noise("gaussian", 2), np.zeros((5, 3)), seed=0, samples=100)
    >>> sorted(found.metrics())
    ['validation_log_likelihood', 'validation_sigma', 'validation_standard_error']
    """
    return score_samples(gan.sample(generator, samples, noise, Streams(seed)[STREAM], labels), images)


def score_samples(samples: Any, images: Any, progress: Any = None) -> ValidationScore:
    """Choose sigma by the first 1,000 validation images; return their log-likelihood under it."""
    table = evaluation.parzen_log_likelihoods(samples, images[:IMAGES], evaluation.SIGMAS, progress=progress)
    best = int(table.mean(axis=1).argmax())
    return ValidationScore(float(table[best].mean()), evaluation.standard_error(table[best]), evaluation.SIGMAS[best])
