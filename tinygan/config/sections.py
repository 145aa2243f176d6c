"""What an experiment consists of: one frozen dataclass for each table of the TOML file.

The annotations are the rules (see `tinygan.config.schema`); a field with a default is an optional key.
The ``check`` methods hold the rules that involve more than one key. The shipped files, ``mnist.toml`` first,
explain every key where it is used.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, get_args

from tinygan.config.convolutions import FlattenConfig, PixelsConfig
from tinygan.config.layer_config import LARGEST_WIDTH, WIDE, LayerConfig
from tinygan.config.layers import LAYERS, LinearConfig, SigmoidConfig
from tinygan.config.refusals import Place
from tinygan.config.schema import Choice, FolderPath, Integer, ListOf, Number, OneOrMore, Section, Tagged
from tinygan.data.own import MOST_CLASSES
from tinygan.gan.noise import KINDS
from tinygan.gan.objectives import OBJECTIVES
from tinygan.gan.options import contradiction
from tinygan.gan.penalties import PENALTIES, Penalty

LARGEST_SHEET = 10_000  # images on one picture: of MNIST, it has 30 million pixels
_SHEET = "a picture of more takes a gigabyte of memory to draw; for more samples: tinygan sample RUN --out FILE.npy"
_LABELS = "a label is one byte"
_VALIDATED = "more samples take gigabytes of memory, and each validation minutes"

# --- optimizers -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RuleConfig(Section):
    """What all update rules have: the learning rate, its schedule, and weight decay.

    Every schedule counts the updates of its own player. After t updates the learning rate is
    max(lr_min, lr / lr_decay**t). With ``lr_linear`` or ``lr_cosine`` instead, it goes from lr to lr_min in so many
    updates, in a straight line or along half a cosine. It is ``lr_gamma`` times that once ``lr_milestone`` updates are
    done, and (t + 1) / ``lr_warmup`` times that in the first ``lr_warmup`` updates. ``weight_decay`` d adds d w to the
    gradient of each weight w.
    """

    kind: str
    lr: Annotated[float, Number(above=0, single=True)]
    lr_decay: Annotated[float, Number(at_least=1)] = 1.0
    lr_min: Annotated[float, Number(at_least=0, single=True)] = 0.0
    lr_linear: Annotated[int | None, Integer(at_least=1)] = None
    lr_cosine: Annotated[int | None, Integer(at_least=1)] = None
    lr_milestone: Annotated[int | None, Integer(at_least=1)] = None
    lr_gamma: Annotated[float | None, Number(above=0, below=1)] = None
    lr_warmup: Annotated[int | None, Integer(at_least=1)] = None
    weight_decay: Annotated[float, Number(at_least=0, single=True)] = 0.0

    def check(self, place: Place) -> None:
        """Refuse two schedules, half a drop, and a floor above the starting learning rate or of no schedule."""
        schedules = {"lr_decay": self.lr_decay > 1, "lr_linear": self.lr_linear, "lr_cosine": self.lr_cosine}
        used = [name for name, value in schedules.items() if value]
        if len(used) > 1:
            raise place.at(used[1]).refuse(f"{used[0]} is another schedule of the learning rate: remove one of them")
        if self.lr_milestone is not None and self.lr_gamma is None:
            raise place.at("lr_gamma").refuse(
                "missing; it is what the learning rate is multiplied by after lr_milestone updates: expected a number "
                "above 0 and below 1"
            )
        if self.lr_gamma is not None and self.lr_milestone is None:
            raise place.at("lr_milestone").refuse(
                "missing; it says after how many updates the learning rate is multiplied by lr_gamma: add it, or "
                "remove lr_gamma"
            )
        if self.lr_min > self.lr:
            raise place.at("lr_min").refuse(f"expected at most lr, which is {self.lr!r}, got {self.lr_min!r}")


@dataclass(frozen=True, kw_only=True)
class SgdConfig(RuleConfig):
    """Gradient descent with momentum, as in the paper's code: v = m v - lr g, then w = w + v.

    In epoch e, counted from 1, the momentum is m + (momentum_final - m) min(1, (e - 1) / (momentum_epochs - 1)), where
    m is ``momentum``; it stays at m when ``momentum_final`` and ``momentum_epochs`` are None. ``max_col_norm`` bounds
    the norm of each unit's incoming weights.
    """

    kind: Literal["sgd"] = "sgd"
    momentum: Annotated[float, Number(at_least=0, below=1)] = 0.0
    momentum_final: Annotated[float | None, Number(at_least=0, below=1)] = None
    momentum_epochs: Annotated[int | None, Integer(at_least=2)] = None
    max_col_norm: Annotated[float | None, Number(above=0, single=True)] = None

    def check(self, place: Place) -> None:
        """As for every rule; and refuse half a momentum ramp."""
        super().check(place)
        if self.momentum_final is not None and self.momentum_epochs is None:
            raise place.at("momentum_epochs").refuse(
                "missing; it says in which epoch momentum_final is reached: expected an integer of at least 2"
            )
        if self.momentum_epochs is not None and self.momentum_final is None:
            raise place.at("momentum_final").refuse(
                "missing; momentum_epochs says when it is reached: add it, or remove momentum_epochs"
            )


@dataclass(frozen=True, kw_only=True)
class AdamConfig(RuleConfig):
    """Adam (Kingma and Ba, 2015), younger than the paper: for experiments of your own."""

    kind: Literal["adam"] = "adam"
    beta1: Annotated[float, Number(at_least=0, below=1)] = 0.9
    beta2: Annotated[float, Number(at_least=0, below=1)] = 0.999
    eps: Annotated[float, Number(above=0, single=True)] = 1e-8


@dataclass(frozen=True, kw_only=True)
class AdamWConfig(AdamConfig):
    """Adam whose weight decay is not part of the gradient: w = (1 - lr d) w first (Loshchilov and Hutter, 2019)."""

    kind: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    weight_decay: Annotated[float, Number(at_least=0, single=True)] = 0.01


@dataclass(frozen=True, kw_only=True)
class RmspropConfig(RuleConfig):
    """RMSprop (Tieleman and Hinton, 2012): the gradient divided by its root mean square."""

    kind: Literal["rmsprop"] = "rmsprop"
    alpha: Annotated[float, Number(at_least=0, below=1)] = 0.99
    eps: Annotated[float, Number(above=0, single=True)] = 1e-8


OptimizerConfig: TypeAlias = SgdConfig | AdamConfig | AdamWConfig | RmspropConfig
OPTIMIZERS = Tagged("kind", *get_args(OptimizerConfig))

# --- the two players ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(Section):
    """G: its layers from the noise up to the data, and how it is trained.

    With ``average_decay`` d, samples are drawn not with the weights but with their exponential moving average, in which
    those of t steps ago have a weight in proportion to d^t; the game goes on as without it. ``pretrained`` is the
    folder of an earlier run: the topmost layers start as the whole generator of that run ended, and those below them
    are new.
    """

    layers: Annotated[tuple[LayerConfig, ...], ListOf(LAYERS)]
    optimizer: Annotated[OptimizerConfig, OPTIMIZERS]
    average_decay: Annotated[float | None, Number(above=0, below=1)] = None
    pretrained: Annotated[str | None, FolderPath()] = None

    def check(self, place: Place) -> None:
        """Refuse a net with nothing to train, and a marginal bias that no sigmoid turns into the mean."""
        at_layers = place.at("layers")
        _last_trainable(self.layers, at_layers)
        for index, layer in enumerate(self.layers):
            above = [type(other) for other in self.layers[index + 1 :]]
            if isinstance(layer, LinearConfig) and layer.bias == "marginal" and above != [SigmoidConfig]:
                raise at_layers.at(index, "bias").refuse(
                    '"marginal" makes the sigmoid of the bias the mean training image, so it fits only the '
                    'last linear layer, with { type = "sigmoid" } after it and nothing else'
                )


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig(Section):
    """D: its layers from the data up to one logit, and how it is trained."""

    layers: Annotated[tuple[LayerConfig, ...], ListOf(LAYERS)]
    optimizer: Annotated[OptimizerConfig, OPTIMIZERS]

    def check(self, place: Place) -> None:
        """Refuse a net that does not end on one logit."""
        at_layers = place.at("layers")
        last = len(self.layers) - 1
        if isinstance(self.layers[last], SigmoidConfig):
            raise at_layers.at(last).refuse("losses are computed on logits: remove the last sigmoid")
        logit = _last_trainable(self.layers, at_layers)
        for index in range(last, logit, -1):
            if not isinstance(self.layers[index], FlattenConfig | PixelsConfig):
                raise at_layers.at(index).refuse(
                    f"the discriminator ends on its logit: remove the {self.layers[index].type} after it"
                )
        for index, layer in enumerate(self.layers):
            if isinstance(layer, LinearConfig) and layer.bias == "marginal":
                raise at_layers.at(index, "bias").refuse(
                    '"marginal" is for the output of the generator; expected a number'
                )
            units = getattr(layer, "units", 1)
            if index == logit and units != 1:
                raise at_layers.at(index, "units").refuse(
                    f"the discriminator ends on one logit: expected 1, got {units}"
                )


def _last_trainable(layers: tuple[LayerConfig, ...], place: Place) -> int:
    """Return the index of the last layer that owns parameters."""
    for index in reversed(range(len(layers))):
        if layers[index].affine:
            return index
    raise place.refuse(
        "expected at least one linear, maxout or convolutional layer: without one there is nothing to train"
    )


# --- everything else ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class NoiseConfig(Section):
    """The prior p_z at the bottom of G: its shape and its number of dimensions."""

    kind: Annotated[str, Choice(*KINDS)]
    size: Annotated[int, Integer(at_least=1, at_most=LARGEST_WIDTH, because=WIDE)]


@dataclass(frozen=True, kw_only=True)
class PenaltyConfig(Section):
    """A penalty on D: a section for each name of `tinygan.gan.PENALTIES`, with a key for each of its numbers."""

    kind: str

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of the penalty by their names."""
        return {key: value for key, value in vars(self).items() if key != "kind"}

    def build(self) -> Penalty:
        """Return the penalty."""
        return PENALTIES[self.kind](**self.numbers)


def _penalty_section(name: str, penalty: type[Penalty]) -> type[Section]:
    numbers: list[Any] = [
        (field.name, Annotated[float, Number(above=0, single=True)], field.default)
        for field in dataclasses.fields(penalty)
    ]
    return dataclasses.make_dataclass(
        f"{penalty.__name__}Config",
        [("kind", Annotated[str, Choice(name)], name), *numbers],
        bases=(PenaltyConfig,),
        namespace={"__module__": __name__, "__doc__": f"{penalty.__name__}: see `tinygan.gan`."},
        frozen=True,
        kw_only=True,
    )


PENALTY = Tagged("kind", *(_penalty_section(name, penalty) for name, penalty in PENALTIES.items()))


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Section):
    """The game: Algorithm 1 as printed is what the defaults say; for the other options see `tinygan.gan.Algorithm1`.

    ``instance_noise`` falls linearly to 0 in ``instance_noise_steps`` iterations; without these it stays. With
    ``packing`` m, D judges m samples at once. With ``classes`` the game is conditional: G(z, y) and D(x, y) read the
    label y of each image, one-hot, after the numbers of z and of x. ``threads`` limits the threads of the matrix
    products; without it there is one for each processor.
    """

    epochs: Annotated[int, Integer(at_least=1)]
    batch: Annotated[int, Integer(at_least=1)]
    k: Annotated[int, Integer(at_least=1)] = 1
    schedule: Literal["alternating", "simultaneous"] = "alternating"
    shared_noise: bool = False
    objective: Annotated[str, Choice(*OBJECTIVES)] = "non-saturating"
    discriminator_loss_scale: Annotated[float, Number(above=0, single=True)] = 1.0
    penalty: Annotated[tuple[PenaltyConfig, ...] | None, OneOrMore(PENALTY)] = None
    label_smoothing: Annotated[float, Number(at_least=0, below=1, single=True)] = 0.0
    instance_noise: Annotated[float, Number(at_least=0, single=True)] = 0.0
    instance_noise_steps: Annotated[int | None, Integer(at_least=1)] = None
    separate_passes: bool = False
    packing: Annotated[int, Integer(at_least=1)] = 1
    classes: Annotated[int | None, Integer(at_least=2, at_most=MOST_CLASSES, because=_LABELS)] = None
    threads: Annotated[int | None, Integer(at_least=1, at_most=1024)] = None

    def check(self, place: Place) -> None:
        """Refuse shared noise where each player moves at its own time, half a schedule, and packs that do not fit."""
        if self.instance_noise_steps is not None and not self.instance_noise:
            raise place.at("instance_noise_steps").refuse("there is no instance_noise: add it, or remove this")
        if self.batch % self.packing:
            raise place.at("packing").refuse(
                f"expected a divisor of batch, which is {self.batch}, got {self.packing}: a pack holds only data or "
                "only samples"
            )
        if self.shared_noise and self.schedule == "alternating":
            raise place.at("shared_noise").refuse(
                "the alternating schedule draws fresh noise for every step: "
                'set shared_noise = false, or schedule = "simultaneous"'
            )

    def check_with(self, discriminator: DiscriminatorConfig, place: Place) -> None:
        """Refuse options that contradict each other, or the layers of D."""
        layers = ["BatchNorm" for layer in discriminator.layers if layer.type == "batch_norm"]
        layers += ["SpectralNorm" for layer in discriminator.layers if getattr(layer, "spectral_norm", False)]
        penalties = [penalty.build() for penalty in self.penalty or ()]
        wrong = contradiction(self.objective, penalties, self.label_smoothing, layers)
        if wrong is not None:
            raise place.at(wrong[0]).refuse(wrong[1])
        if not any(layer.type == "maps" for layer in discriminator.layers):
            return
        if self.packing > 1:
            raise place.at("packing").refuse(
                "a pack is one row with the numbers of several images, which are not the pixels of maps: use layers "
                "without maps in D, or remove it"
            )
        if self.classes is not None:
            raise place.at("classes").refuse(
                "D reads a row with the pixels and the class, which are not the pixels of maps: use layers without "
                "maps in D, or remove it"
            )


@dataclass(frozen=True, kw_only=True)
class OutputConfig(Section):
    """What a run leaves behind: images on each sample sheet, and epochs between sheets and checkpoints.

    With ``validate_every``, every so many epochs the log-likelihood of the validation images is estimated from
    ``validation_samples`` samples, and the checkpoint of the best such epoch is kept.
    """

    samples: Annotated[int, Integer(at_least=1, at_most=LARGEST_SHEET, because=_SHEET)] = 100
    samples_every: Annotated[int, Integer(at_least=1)] = 1
    checkpoint_every: Annotated[int, Integer(at_least=1)] = 1
    validate_every: Annotated[int | None, Integer(at_least=1)] = None
    validation_samples: Annotated[int, Integer(at_least=1, at_most=100_000, because=_VALIDATED)] = 10_000
