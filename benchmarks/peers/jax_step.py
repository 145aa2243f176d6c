"""JAX as a contestant: one jitted function an iteration, which reuses the memory of the state it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.clocks import host_clock
from benchmarks.errors import BenchmarkError
from benchmarks.task import Task
from tinygan.config.layers import (
    DropoutConfig,
    LayerConfig,
    LeakyReluConfig,
    LinearConfig,
    MaxoutConfig,
    ReluConfig,
    SigmoidConfig,
)
from tinygan.config.sections import SgdConfig

Parameters = dict[str, Any]


class JaxStep:
    """One iteration of Algorithm 1 in JAX."""

    def __init__(self, task: Task) -> None:
        config = task.config
        rules = config.generator.optimizer, config.discriminator.optimizer
        if any(not isinstance(rule, SgdConfig) or rule.weight_decay for rule in rules):
            raise BenchmarkError("jax: only SGD with momentum is written for the peers; choose such an experiment")
        if config.training.objective != "non-saturating" or config.noise.kind != "uniform":
            raise BenchmarkError("jax: only the non-saturating objective with uniform noise is written for the peers")
        if task.device == "cuda" and jax.default_backend() != "gpu":
            raise BenchmarkError("jax: this JAX finds no GPU; install jax[cuda13], or use --device cpu")
        # on a GPU JAX would round the factors of a product to TF32; the other contestants do not
        jax.config.update("jax_default_matmul_precision", "highest")
        self.task = task
        self.device = jax.devices("gpu" if task.device == "cuda" else "cpu")[0]
        weights = {name: jax.device_put(array, self.device) for name, array in task.weights.items()}
        velocities = {name: jnp.zeros_like(array) for name, array in weights.items()}
        self.state = (weights, velocities, jax.random.key(config.seed))
        self.batches = [jax.device_put(batch, self.device) for batch in task.batches()]
        self._next = cycle(self.batches)
        self._step = jax.jit(partial(_iteration, config, train=True), donate_argnums=0)

    def iterate(self) -> None:
        """Run one iteration on the next minibatch and fresh noise."""
        self.state, losses = self._step(self.state, next(self._next), None)
        jax.block_until_ready((self.state[0], losses))

    def run(self, count: int) -> list[float]:
        """Time `count` iterations by the host's clock; in milliseconds."""
        return host_clock(self.iterate, count)

    def play(self, noise: Any) -> dict[str, Any]:
        """As `TinyganStep.play`."""
        step = jax.jit(partial(_iteration, self.task.config, train=False), donate_argnums=0)
        losses = []
        for z, batch in zip(noise, self.batches, strict=False):
            self.state, (d_loss, g_loss) = step(self.state, batch, jnp.asarray(z))
            losses.append((float(d_loss), float(g_loss)))
        velocities = {name: float(jnp.linalg.norm(array)) for name, array in self.state[1].items()}
        return {"losses": losses, "velocities": velocities}


def _iteration(config: Any, state: Any, batch: Any, noise: Any, train: bool) -> Any:
    """Return the state after one iteration, and both losses; draw the noise if none is given."""
    weights, velocities, key = state
    training = config.training
    m, k = training.batch, training.k
    key, noise_key, *keys = jax.random.split(key, k + 4)
    if noise is None:
        limit = math.sqrt(3)
        noise = jax.random.uniform(noise_key, (k + 1, m, config.noise.size), minval=-limit, maxval=limit)
    minibatches = batch.reshape(k, m, -1)

    def logits(weights: Parameters, x: Any, key: Any) -> Any:
        return _forward("discriminator", config.discriminator.layers, weights, x, key, train)

    def samples(weights: Parameters, z: Any, key: Any) -> Any:
        return _forward("generator", config.generator.layers, weights, z, key, train)

    def d_loss_of(real_logits: Any, fake_logits: Any) -> Any:
        return jax.nn.softplus(-real_logits).mean() + jax.nn.softplus(fake_logits).mean()

    def d_loss(d: Parameters, g: Parameters, real: Any, z: Any, key: Any) -> Any:
        g_key, d_key = jax.random.split(key)
        both = logits(d, jnp.concatenate([real, samples(g, z, g_key)]), d_key)
        return d_loss_of(both[:m], both[m:])

    def g_loss(g: Parameters, d: Parameters, z: Any, key: Any) -> Any:
        g_key, d_key = jax.random.split(key)
        return jax.nn.softplus(-logits(d, samples(g, z, g_key), d_key)).mean()

    def part(player: str) -> Parameters:
        return {name: array for name, array in weights.items() if name.startswith(player)}

    def descend(player: str, gradients: Parameters, scale: float) -> None:
        rule = getattr(config, player).optimizer
        for name, gradient in gradients.items():
            velocities[name] = rule.momentum * velocities[name] - rule.lr * scale * gradient
            weights[name] = weights[name] + velocities[name]

    weights, velocities = dict(weights), dict(velocities)
    scale = training.discriminator_loss_scale
    alternating = training.schedule == "alternating"
    for i in range(k if alternating else k - 1):
        d, g = part("discriminator"), part("generator")
        loss_d, gradients = jax.value_and_grad(d_loss)(d, g, minibatches[i], noise[i], keys[i])
        descend("discriminator", gradients, scale)
    if alternating:
        loss_g, gradients = jax.value_and_grad(g_loss)(part("generator"), part("discriminator"), noise[k], keys[k])
        descend("generator", gradients, 1.0)
    else:
        g, d, z, real = part("generator"), part("discriminator"), noise[k - 1], minibatches[k - 1]
        g_key, d_key = jax.random.split(keys[k])

        # the compiler finds that both losses share one pass through the networks
        def shared(d: Parameters, g: Parameters) -> Any:
            fake_logits = logits(d, samples(g, z, g_key), d_key)
            return d_loss_of(logits(d, real, keys[k + 1]), fake_logits), jax.nn.softplus(-fake_logits).mean()

        loss_d, d_gradients = jax.value_and_grad(lambda d: shared(d, g)[0])(d)
        loss_g, g_gradients = jax.value_and_grad(lambda g: shared(d, g)[1])(g)
        descend("discriminator", d_gradients, scale)
        descend("generator", g_gradients, 1.0)
    return (weights, velocities, key), (loss_d, loss_g)


def _forward(player: str, layers: Sequence[LayerConfig], weights: Parameters, x: Any, key: Any, train: bool) -> Any:
    keys = jax.random.split(key, len(layers))
    for index, layer in enumerate(layers):
        if isinstance(layer, LinearConfig | MaxoutConfig):
            x = x @ weights[f"{player}.{index}.weight"] + weights[f"{player}.{index}.bias"]
            if isinstance(layer, MaxoutConfig):
                # on a CPU a tenth faster than the maximum over an axis, whose gradient counts the winners
                x = reduce(jnp.maximum, jnp.split(x, layer.pieces, axis=1))
        elif isinstance(layer, DropoutConfig):
            if train:
                keep = 1 - layer.p
                x = jnp.where(jax.random.bernoulli(keys[index], keep, x.shape), x / keep, 0)
        elif isinstance(layer, ReluConfig):
            x = jax.nn.relu(x)
        elif isinstance(layer, LeakyReluConfig):
            x = jax.nn.leaky_relu(x, layer.slope)
        elif isinstance(layer, SigmoidConfig):
            x = jax.nn.sigmoid(x)
        else:
            x = jnp.tanh(x)
    return x
