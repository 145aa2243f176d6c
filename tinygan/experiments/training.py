"""`Training`: one experiment in memory, advanced step by step, with a state that can be saved and restored.

It uses no files, clocks or screens: see `tinygan.experiments.running` for those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tinygan import gan, optim
from tinygan.backend import Streams
from tinygan.config.decisive import changes, decisive_toml
from tinygan.config.experiment import ExperimentConfig, to_toml
from tinygan.data.dataset import Dataset
from tinygan.engine import Tensor
from tinygan.errors import AnomalyError, CheckpointError, ConfigError
from tinygan.experiments.build import build_game
from tinygan.experiments.captured import CapturedSteps
from tinygan.experiments.labels import all_in_turn
from tinygan.experiments.saved_state import check_state, collect_arrays, fingerprints_of, load_arrays, not_finite
from tinygan.gan.condition import one_hot_rows
from tinygan.nn import Module

if TYPE_CHECKING:
    from tinygan.parallel.world import World

LOOK_EVERY = 100  # steps between two checks of a device that runs ahead
SHEET_NOISE = "sheet"  # the stream of the fixed noise for every sample sheet


class Training:
    """Algorithm 1 on a data set: batches in a new order each epoch, schedules, monitors.

    An epoch is one pass over the training images. If their number is not a multiple of the rows of an iteration, the
    last images of the order are left out of that epoch.

    Parameters
    ----------
    config : ExperimentConfig
    dataset : Dataset
    device : {"cpu", "cuda"}

    Attributes
    ----------
    game : gan.Algorithm1
    epoch : int
        The epoch in progress, from 1.
    position : int
        Iterations done in this epoch.
    steps : int
        Iterations done in all.
    steps_per_epoch : int
    capture : bool
        Whether a GPU replays steps as a CUDA graph; it can be changed between two steps.
    replay : bool
        Whether the CPU replays steps by `gan.Replayed`, with the same bits; it can be changed between two steps.
    best_validation : float
        The highest log-likelihood of the validation images so far, minus infinity before the first.

    Examples
    --------
    >>> from tinygan.data import load
    >>> from tinygan.config.experiment import load_experiment
    >>> training = Training(load_experiment("digits"), load("digits"))
    >>> training.step()
    >>> training.steps
    1
    """

    capture = replay = True
    # Of `ParallelTraining`: its ranks, whether this or any was asked to stop, whether an `AnomalyError` came on all.
    world: World | None = None
    asked: Callable[[], bool]
    stopping, all_ranks_failed = False, True

    def __init__(self, config: ExperimentConfig, dataset: Dataset, device: str = "cpu") -> None:
        self.config = config
        self.dataset = dataset
        self.images = dataset.train.images
        self.image_shape = dataset.image_shape
        self.streams = Streams(config.seed)
        self.game = build_game(config, dataset, self.streams, device)
        self.backend = self.game.generator.parameters()[0].backend
        self.rows = config.training.batch * config.training.k
        self.steps_per_epoch = len(self.images) // self.rows
        if self.steps_per_epoch == 0:
            raise ConfigError(
                f"{config.name}: training.batch x training.k = {self.rows} rows an iteration, but "
                f"{config.data.set!r} has only {len(self.images)} training images; choose a smaller batch"
            )
        if config.output.validate_every is not None and len(dataset.validation) == 0:
            raise ConfigError(
                f"{config.name}: output.validate_every needs validation images, and {config.data.set!r} has none: "
                "remove it"
            )
        self.epoch = 1
        self.position = 0
        self.steps = 0
        self.best_validation = -math.inf
        self.restart_average()
        self.monitor = gan.Monitor(self.backend, self.game.losses)
        self._last: gan.Step | None = None  # of this epoch
        self._update_ratios: dict[str, float] = {}  # of the last step of this epoch
        self.watched = self._biases()
        self._tables = [self.backend.from_numpy(self.images)]  # a GPU gets the data set once
        if config.training.classes is not None:
            one_hot = one_hot_rows(dataset.train.labels, config.training.classes)
            self._tables.append(self.backend.from_numpy(one_hot))
        self.order = self.streams["order"].permutation(len(self.images))
        self._order_there = self.backend.array(self.order)
        self._captured = CapturedSteps(self)
        self._replayed = gan.Replayed(self.game)

    @property
    def epoch_is_over(self) -> bool:
        """Whether every batch of the epoch has been used; then `next_epoch` comes before another `step`."""
        return self.position == self.steps_per_epoch

    @property
    def players(self) -> dict[str, Module]:
        """Both networks by the first part of their layers' names."""
        return {"generator": self.game.generator, "discriminator": self.game.discriminator}

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """See `fingerprints_of`."""
        return fingerprints_of(self.config, self.dataset)

    def step(self) -> None:
        """Run one iteration of Algorithm 1 on the next rows of the epoch.

        Raises
        ------
        AnomalyError
            A loss or a gradient is nan or infinite. The update has been made, so this state must not be saved. A GPU
            is checked every 100 steps, at the end of an epoch and in `state`, because each check waits for it. There
            `steps` is set back to the step before the failure.
        """
        # Once an epoch, the weights are compared with those of a step before: the copy takes less than a step.
        before = self.weights() if self.position == self.steps_per_epoch - 1 else None
        self.game.before_step()
        self._last = self._captured.step() if self.backend.runs_ahead and self.capture else self.iterate()
        if not self.backend.runs_ahead:
            self._refuse_non_finite(self._last)
        self.position += 1
        self.steps += 1
        if self.backend.runs_ahead and (self.epoch_is_over or self.steps % LOOK_EVERY == 0):
            self._look_back()
        if before is not None:
            self._update_ratios = self.update_ratios(before)

    def synchronize(self) -> None:
        """Give every rank the state of rank 0; nothing in one process."""

    def close_capture(self) -> None:
        """Give back the memory of a GPU that only the captured step uses; a later step is captured again."""
        self._captured.close()

    def iterate(self) -> gan.Step:
        """Run the iteration of `step` without a CUDA graph; return its losses and logits."""
        place, replay = self.place_in_data, self.replay and not self.backend.runs_ahead
        game = self._replayed if replay else self.game
        step = game.step(*(Tensor(self.backend.rows(table, *place, self.rows)) for table in self._tables))
        self.monitor.add(step)
        if self.average is not None:
            self.average.update()
        return step

    def restart_average(self) -> None:
        """Start the average of the generator's weights, if the experiment has one; call it before the first step."""
        decay, weights = self.config.generator.average_decay, self.game.generator.parameters()
        self.average = None if decay is None else optim.ExponentialMovingAverage(weights, decay)

    @contextmanager
    def generator_to_sample(self) -> Iterator[Module]:
        """Yield the generator with the weights for samples: their average, if the experiment has one."""
        with nullcontext() if self.average is None else self.average.applied():
            yield self.game.generator

    @property
    def place_in_data(self) -> tuple[Any, int]:
        """The order of this epoch, on the device, and the position in it where the next iteration starts."""
        return self._order_there, self.position * self.rows

    def _look_back(self) -> None:
        """Check all steps of the epoch so far; this waits for the device."""
        first = self.monitor.first_non_finite()
        if first is not None:
            self.steps -= self.monitor.count - first + 1
            raise AnomalyError(f"step {self.steps + 1}, epoch {self.epoch}: a loss is nan or infinite")
        if self._last is not None:
            self.steps -= 1
            self._refuse_non_finite(self._last)
            self.steps += 1

    def _set_order(self, order: Any) -> None:
        self.order = order
        self._order_there[...] = self.backend.from_numpy(order)  # in place: a captured step reads it there

    def _refuse_non_finite(self, step: gan.Step) -> None:
        """Check both losses and the gradients of the biases, each a sum of the gradients that pass its layer."""
        suspects = [
            ("the discriminator's loss", step.discriminator_loss),
            *([] if step.penalty is None else [("the discriminator's penalty", step.penalty)]),
            ("the generator's loss", step.generator_loss),
        ]
        suspects += [(f"the gradient of {name}", bias.grad) for name, bias in self.watched if bias.grad is not None]
        for what, tensor in suspects:
            index = self.backend.first_non_finite(tensor.data)
            if index is not None:
                raise AnomalyError(f"step {self.steps + 1}, epoch {self.epoch}: {what} is {float(tensor.data[index])}")

    def weights(self) -> dict[str, dict[str, Any]]:
        """Return a copy of the parameters of both players, on their device, for `update_ratios`."""
        return {
            player: {name: parameter.data.copy() for name, parameter in network.named_parameters()}
            for player, network in self.players.items()
        }

    def update_ratios(self, before: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
        """Return log10 |update| / |weights| of each layer since `weights` returned `before`."""
        ratios = {player: gan.update_ratios(network, before[player]) for player, network in self.players.items()}
        return _by_player(ratios)

    def _biases(self) -> list[tuple[str, Tensor]]:
        """Return the parameters with one axis, and a name of each for a message."""
        return [
            (f"the {player}'s {name}", parameter)
            for player, network in self.players.items()
            for name, parameter in network.named_parameters()
            if parameter.ndim == 1
        ]

    def next_epoch(self) -> None:
        """Start the next epoch: a new permutation, and monitors at 0."""
        self.epoch += 1
        self.position = 0
        self.monitor.reset()
        self._last, self._update_ratios = None, {}
        self._set_order(self.streams["order"].permutation(len(self.images)))

    def metrics(self) -> dict[str, Any]:
        """Return the record of an epoch: means over its steps so far, norms of the last step, rates.

        ``gradient_norms`` has the norm of each layer, ``update_ratios`` log10 |update| / |weights| of each layer at the
        end of an epoch.
        """
        game, rule = self.game, self.game.generator_optimizer
        at_equilibrium = game.losses.at_equilibrium[0] or 0.0
        norms = {player: gan.gradient_norms(network) for player, network in self.players.items()}
        return {
            "epoch": self.epoch,
            "steps": self.steps,
            **self.monitor.means(),
            **({"value_at_equilibrium": -at_equilibrium} if game.losses.is_probability else {}),
            **{f"{player}_gradient_norm": math.hypot(*parts.values()) for player, parts in norms.items()},
            "generator_lr": rule.lr,
            "discriminator_lr": game.discriminator_optimizer.lr,
            "momentum": rule.param_groups[0].now(max(0, rule.updates - 1)).get("momentum"),  # of the last update
            "gradient_norms": _by_player(norms),
            "update_ratios": dict(self._update_ratios),
        }

    def sheet(self) -> Any:
        """Return the samples of the sample sheet, shape (count, pixels), always from the same noise.

        In a conditional game, all classes come in turn.
        """
        stream, count = Streams(self.config.seed)[SHEET_NOISE], self.config.output.samples
        with self.generator_to_sample() as generator:
            return gan.sample(generator, count, self.game.noise, stream, all_in_turn(self.config, count))

    # ------------------------------------------------------------------ state

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the whole state, as NumPy arrays by name and as plain values.

        Raises
        ------
        AnomalyError
            As in `step`: a state that is not finite is not saved.
        """
        if self.backend.runs_ahead:
            self._look_back()
        arrays, rules = collect_arrays(self)
        plain: dict[str, Any] = {
            "epoch": self.epoch,
            "position": self.position,
            "steps": self.steps,
            "image_shape": list(self.image_shape),
            "configuration": decisive_toml(self.config),
            "images_sha256": self.fingerprints,
            "streams": self.streams.state_dict(),
            "monitor": self.monitor.state_dict(),
            "best_validation": None if math.isinf(self.best_validation) else self.best_validation,
            **rules,
        }
        broken = not_finite(arrays)
        if broken is not None:
            raise AnomalyError(f"step {self.steps}, epoch {self.epoch}: a number in {broken} is nan or infinite")
        return arrays, plain

    def load_state(self, arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
        """Continue from a state of `state`.

        Raises
        ------
        CheckpointError
            The state belongs to another configuration, other images or another run (see
            `tinygan.experiments.saved_state`). Nothing has been changed.
        """
        if "configuration" in plain:
            self._refuse_other_settings(plain["configuration"])
        order = arrays.get("order")
        if order is None or order.shape != self.order.shape:
            found = "none" if order is None else order.size
            raise CheckpointError(
                f"the checkpoint holds an order of {found} training images, but {self.config.data.set!r} has "
                f"{len(self.images)}: give {self.config.data.option} the files the run began with"
            )
        if "images_sha256" in plain:
            self._refuse_other_images(plain["images_sha256"])
        check_state(self, arrays, plain)
        load_arrays(self, arrays, plain)
        self._set_order(order)
        self._last, self._update_ratios = None, {}
        self.close_capture()  # the state of the rules is in other memory now
        self._captured = CapturedSteps(self)
        self.epoch, self.position, self.steps = plain["epoch"], plain["position"], plain["steps"]
        self.streams.load_state_dict(plain["streams"])
        self.monitor.load_state_dict(plain["monitor"])
        best = plain["best_validation"]
        self.best_validation = -math.inf if best is None else float(best)

    def _refuse_other_settings(self, recorded: object) -> None:
        try:
            changed = changes(recorded, self.config) if isinstance(recorded, str) else [f"they were {recorded!r:.60}"]
        except ConfigError as error:
            raise CheckpointError(
                f"the checkpoint belongs to settings that this version of tinygan does not know: {error}"
            ) from error
        if changed:
            raise CheckpointError(
                f"the checkpoint belongs to other settings: {'; '.join(changed)}. Put them back to go on with this "
                "run, or train another one with them"
            )

    def _refuse_other_images(self, recorded: object) -> None:
        if not isinstance(recorded, Mapping) or recorded.keys() != self.fingerprints.keys():
            raise CheckpointError(f"the checkpoint says {recorded!r:.60} for images_sha256; expected one of each split")
        for split, found in self.fingerprints.items():
            if recorded[split] != found:
                what = "labels of the train images" if split == "train_labels" else f"{split} images"
                raise CheckpointError(
                    f"the checkpoint belongs to other {what} than those of {self.config.data.set!r} now: their "
                    f"SHA-256 was {recorded[split]!s:.16}..., and is {found:.16}...; give {self.config.data.option} "
                    "the files the run began with"
                )


def built(config: ExperimentConfig, dataset: Dataset, device: str, world: World | None = None) -> Training:
    """Return a new training; on rank 0 of several, while the others call `tinygan.parallel.following.join`.

    Raises
    ------
    ConfigError
        The experiment cannot be built, or does not fit into the memory.
    """
    try:
        if world is None:
            return Training(config, dataset, device)
        from tinygan.parallel.training import ParallelTraining

        training = ParallelTraining(config, dataset, device, world=world)
    except MemoryError as error:
        raise ConfigError(
            f"{config.name}: the networks and the data do not fit into the memory ({error}): choose fewer units, or "
            "end other programs"
        ) from error
    world.broadcast((to_toml(config), config.name))
    return training


def _by_player(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the numbers of each layer under names such as ``discriminator.0``."""
    return {f"{player}.{layer}".rstrip("."): n for player, parts in numbers.items() for layer, n in parts.items()}
