"""JAX as a contestant: one jitted function an iteration, which reuses the memory of the state it is given."""

from __future__ import annotations

import math
from functools import partial
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.clocks import queue_clock
from benchmarks.conv_games import sample
from benchmarks.errors import BenchmarkError
from benchmarks.peers.jax_layers import forward
from benchmarks.peers.rules import losses_of, prefix_of, refuse_unwritten
from benchmarks.task import AT_REST, PLAYERS, Task

Parameters = dict[str, Any]


class JaxStep:
    """One iteration of Algorithm 1 in JAX."""

    def __init__(self, task: Task) -> None:
        config = task.config
        refuse_unwritten("jax", config)
        if task.device == "cuda" and jax.default_backend() != "gpu":
            raise BenchmarkError("jax: this JAX finds no GPU; install jax[cuda13], or use --device cpu")
        # on a GPU JAX would round the factors of a product to TF32; the other contestants do not
        jax.config.update("jax_default_matmul_precision", "highest")
        self.task = task
        self.device = jax.devices("gpu" if task.device == "cuda" else "cpu")[0]
        there = partial(jax.device_put, device=self.device)
        trained = [name for name in task.weights if name.rpartition(".")[2] in ("weight", "bias")]
        weights = {name: there(task.weights[name]) for name in trained}
        slots = {name: (jnp.zeros_like(weights[name]),) * _slots(config, name) for name in trained}
        slots = jax.tree.map(jnp.copy, slots)  # donated memory must not be given twice
        self.state = (weights, slots, there(np.int32(0)), there(jax.random.key(config.seed)))
        self.batches = [
            (there(batch), None if labels is None else there(labels))
            for batch, labels in zip(task.batches(), task.conditions(), strict=True)
        ]
        self._next = cycle(self.batches)
        self._step = jax.jit(partial(_iteration, config, noise=None, pace=1.0, train=True), donate_argnums=0)

    def iterate(self) -> Any:
        """Start one iteration on the next minibatch and fresh noise; return what is there when it is over."""
        self.state, losses, _ = self._step(self.state, next(self._next))
        return self.state[0], losses

    def run(self, count: int) -> list[float]:
        """Time `count` iterations together, waiting for the last; return the milliseconds of one."""
        return queue_clock(self.iterate, count, jax.block_until_ready)

    def device_memory(self) -> int | None:
        """Return the most bytes of GPU memory that have been in use, or None on the CPU."""
        statistics = self.device.memory_stats() if self.task.device == "cuda" else None
        return statistics and int(statistics["peak_bytes_in_use"])

    def play(self, noise: Any) -> dict[str, Any]:
        """As `TinyganStep.play`."""
        config = self.task.config
        step = jax.jit(partial(_iteration, config, train=False), donate_argnums=0)
        losses: list[tuple[float, float]] = []
        gradients: dict[str, list[float]] = {}
        adam = any(getattr(config, player).optimizer.kind == "adam" for player in PLAYERS)
        for z, batch in zip(noise, self.batches, strict=False):
            pace = AT_REST if adam and not losses else 1.0
            self.state, (d_loss, g_loss), slopes = step(self.state, batch, noise=jnp.asarray(z), pace=pace)
            losses.append((float(d_loss), float(g_loss)))
            for name, slope in slopes.items():
                gradients.setdefault(name, sample(np.asarray(slope)))
        start = self.task.weights
        moved = {name: float(np.linalg.norm(np.asarray(w) - start[name])) for name, w in self.state[0].items()}
        return {"losses": losses, "gradients": gradients, "moved": moved}


def _slots(config: Any, name: str) -> int:
    """Return how many arrays the update rule keeps for a parameter."""
    rule = getattr(config, name.partition(".")[0]).optimizer
    return 2 if rule.kind == "adam" else int(rule.momentum > 0)


def _iteration(config: Any, state: Any, batch: Any, noise: Any, pace: Any, train: bool) -> Any:
    """Return the state after one iteration, both losses and, if it does not train, the gradients.

    Parameters
    ----------
    state : (weights, slots of the update rules, iterations made, key)
    batch : (images, one-hot labels or None)
    noise : array, optional
        By default it is drawn.
    pace : float
        Factor on the learning rates of Adam.
    train : bool
        Whether there is dropout.
    """
    weights, slots, made, key = state
    weights, slots = dict(weights), dict(slots)
    training = config.training
    m, k = training.batch, training.k
    alternating = training.schedule == "alternating"
    key, noise_key, *keys = jax.random.split(key, k + 4)
    if noise is None:
        shape = (k + alternating, m, config.noise.size)
        limit = math.sqrt(3)
        if config.noise.kind == "gaussian":
            noise = jax.random.normal(noise_key, shape)
        else:
            noise = jax.random.uniform(noise_key, shape, minval=-limit, maxval=limit)
    images, labels = batch
    minibatches = images.reshape(k, m, -1)
    conditions = [None] * k if labels is None else labels.reshape(k, m, -1)
    loss_of_d, loss_of_g = losses_of(
        training.objective, lambda a, label: jax.nn.softplus(-a if label else a).mean(), jax.nn.relu
    )
    gradients_seen: Parameters = {}

    def play(player: str, weights: Parameters, x: Any, y: Any, key: Any) -> Any:
        x = x if y is None else jnp.concatenate([x, y], axis=1)
        return forward(getattr(config, player).layers, weights, prefix_of(config, player), x, key, train)

    logits, samples = partial(play, "discriminator"), partial(play, "generator")

    def penalised(loss: Any, d: Parameters, real: Any, y: Any, key: Any) -> Any:
        total = training.discriminator_loss_scale * loss
        for penalty in training.penalty or ():
            slope = jax.grad(lambda x: logits(d, x, y, key).sum())(real)
            total += 0.5 * penalty.numbers["weight"] * jnp.square(slope).sum(1).mean()
        return total, loss

    def d_loss(d: Parameters, g: Parameters, real: Any, z: Any, y: Any, key: Any) -> Any:
        g_key, d_key, other_key = jax.random.split(key, 3)
        fake = samples(g, z, y, g_key)
        if training.separate_passes:
            loss = loss_of_d(logits(d, real, y, d_key), logits(d, fake, y, other_key))
        else:
            both = logits(d, jnp.concatenate([real, fake]), None if y is None else jnp.concatenate([y, y]), d_key)
            loss = loss_of_d(both[:m], both[m:])
        return penalised(loss, d, real, y, other_key)

    def g_loss(g: Parameters, d: Parameters, z: Any, y: Any, key: Any) -> Any:
        g_key, d_key = jax.random.split(key)
        return loss_of_g(logits(d, samples(g, z, y, g_key), y, d_key))

    def part(player: str) -> Parameters:
        return {name: array for name, array in weights.items() if name.startswith(player)}

    def descend(player: str, gradients: Parameters, updates: Any) -> None:
        gradients_seen.update(gradients)
        rule = getattr(config, player).optimizer
        for name, gradient in gradients.items():
            weights[name], slots[name] = _descended(rule, weights[name], gradient, slots[name], updates, pace)

    for i in range(k if alternating else k - 1):
        d, g = part("discriminator"), part("generator")
        slope = jax.value_and_grad(d_loss, has_aux=True)
        (_, loss_d), gradients = slope(d, g, minibatches[i], noise[i], conditions[i], keys[i])
        descend("discriminator", gradients, k * made + i)
    y = conditions[-1]
    if alternating:
        loss_g, gradients = jax.value_and_grad(g_loss)(part("generator"), part("discriminator"), noise[k], y, keys[k])
        descend("generator", gradients, made)
    else:
        g, d, z, real = part("generator"), part("discriminator"), noise[k - 1], minibatches[k - 1]
        g_key, d_key = jax.random.split(keys[k])

        # the compiler finds that both losses share one pass through the networks
        def shared(d: Parameters, g: Parameters) -> Any:
            fake_logits = logits(d, samples(g, z, y, g_key), y, d_key)
            loss = loss_of_d(logits(d, real, y, keys[k + 1]), fake_logits)
            return penalised(loss, d, real, y, g_key), loss_of_g(fake_logits)

        (_, loss_d), d_gradients = jax.value_and_grad(lambda d: shared(d, g)[0], has_aux=True)(d)
        loss_g, g_gradients = jax.value_and_grad(lambda g: shared(d, g)[1])(g)
        descend("discriminator", d_gradients, k * made + k - 1)
        descend("generator", g_gradients, made)
    return (weights, slots, made + 1, key), (loss_d, loss_g), {} if train else gradients_seen


def _descended(rule: Any, w: Any, g: Any, slots: Any, updates: Any, pace: Any) -> Any:
    """Return a parameter and the slots of its update rule after one more update."""
    lr = rule.lr if rule.lr_decay == 1 else jnp.maximum(rule.lr / rule.lr_decay**updates, rule.lr_min)
    g = g + rule.weight_decay * w if rule.weight_decay else g
    if rule.kind == "adam":
        mean, square = slots
        mean = rule.beta1 * mean + (1 - rule.beta1) * g
        square = rule.beta2 * square + (1 - rule.beta2) * jnp.square(g)
        unbiased = (1 - beta ** (updates + 1.0) for beta in (rule.beta1, rule.beta2))
        m, v = (x / factor for x, factor in zip((mean, square), unbiased, strict=True))
        return w - lr * pace * m / (jnp.sqrt(v) + rule.eps), (mean, square)
    if slots:
        velocity = rule.momentum * slots[0] - lr * g
        w, slots = w + velocity, (velocity,)
    else:
        w = w - lr * g
    if rule.max_col_norm is not None and w.ndim == 2:
        w = w * jnp.minimum(1, rule.max_col_norm / jnp.linalg.norm(w, axis=0))
    return w, slots
