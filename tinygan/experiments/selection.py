"""Validation: an epoch judged by images that it was not trained on, and so which checkpoint is the best.

The losses of the game do not say when to stop: at the equilibrium they stand still, and long before it they go up and
down together. The paper is silent on the matter; its successor on conditional nets (Mirza and Osindero, 2014) stopped
at the best validation log-likelihood, which is what ``checkpoints/best.safetensors`` keeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygan import evaluation, gan
from tinygan.backend import Streams
from tinygan.nn import Module

STREAM = "validation"  # the noise behind the samples, the same at every validation of a run
SAMPLES = 10_000  # the released protocol's
IMAGES = 1_000


@dataclass(frozen=True)
class Validation:
    """What one validation found.

    Attributes
    ----------
    log_likelihood, standard_error : float
        Mean over the validation images, in nats, under the Parzen window of that sigma.
    sigma : float
        The best of `evaluation.SIGMAS`.
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


def validate(generator: Module, noise: gan.Noise, images: Any, seed: int, samples: int = SAMPLES) -> Validation:
    """Judge a generator by the first 1,000 of the validation images.

    Parameters
    ----------
    generator : Module
        Its mode is left as it was.
    noise : gan.Noise
    images : array of shape (n, d)
        The validation images, n at least 1.
    seed : int
        The run's seed. Equal seeds draw equal noise, so that two validations of a run differ by the generator only.
    samples : int

    Examples
    --------
    >>> import numpy as np
    >>> from tinygan import nn
    >>> found = validate(nn.Linear(2, 3), gan.Noise("gaussian", 2), np.zeros((5, 3)), seed=0, samples=100)
    >>> sorted(found.metrics())
    ['validation_log_likelihood', 'validation_sigma', 'validation_standard_error']
    """
    drawn = gan.sample(generator, samples, noise, Streams(seed)[STREAM])
    return parzen(drawn, images)


def parzen(samples: Any, images: Any, progress: Any = None) -> Validation:
    """Choose sigma by the first 1,000 of the validation images, and say what they get under it."""
    table = evaluation.parzen_log_likelihoods(samples, images[:IMAGES], evaluation.SIGMAS, progress=progress)
    best = int(table.mean(axis=1).argmax())
    return Validation(float(table[best].mean()), evaluation.standard_error(table[best]), evaluation.SIGMAS[best])
