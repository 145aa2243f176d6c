"""An experiment with convolutions from the first command to the last, small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from tinygan import data, gan
from tinygan.backend import Stream
from tinygan.config.experiment import load_experiment
from tinygan.errors import ConfigError
from tinygan.experiments.build import build_discriminator, build_generator
from tinygan.experiments.protocol import load_generator
from tinygan.experiments.running import start
from tinygan.experiments.weights import load_weights
from tinygan.runs.run_folder import RunFolder

pytestmark = pytest.mark.slow

ROOT = Path(gan.__file__).parents[2]
SMALL = (
    "--set", "generator.layers.4.channels=4", "--set", "discriminator.layers.1.channels=4",
    "--set", "discriminator.layers.3.channels=8", "--set", "output.samples=4", "--set", "output.checkpoint_every=1",
)  # fmt: skip


@pytest.fixture
def trained(tinygan, tmp_path):
    words = ("--epochs", "2", "--out", "run", "--quiet")
    assert tinygan("train", "dcgan-digits", *words, *SMALL).status == 0
    return tmp_path / "run"


def test_a_killed_run_ends_in_the_same_bytes(tinygan, trained, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = ["train", "dcgan-digits", "--epochs", "2", "--out", "killed", "--quiet", *SMALL]
    process = subprocess.Popen([sys.executable, "-m", "tinygan", *words], cwd=tmp_path, env=environment)
    end = time.monotonic() + 60
    while not (tmp_path / "killed" / "metrics.jsonl").exists() and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = tinygan("resume", "killed", "--quiet")
    assert resumed.status == 0, resumed.err
    for name in ("metrics.jsonl", "samples"):
        one, other = trained / name, tmp_path / "killed" / name
        files = sorted(one.iterdir()) if one.is_dir() else [one]
        for file in files:
            assert file.read_bytes() == (other / file.name if one.is_dir() else other).read_bytes()
    one, other = (RunFolder.open(path).latest_checkpoint().arrays for path in (trained, tmp_path / "killed"))
    assert list(one) == list(other)
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_sample_does_not_depend_on_its_neighbours(tinygan, trained):
    """G has batch normalization: samples are drawn with its running statistics."""
    for count in (1, 5, 300):
        assert tinygan("sample", trained, "--count", str(count), "--out", f"{count}.npy").status == 0
    one, five, many = (np.load(f"{count}.npy") for count in (1, 5, 300))
    assert many.shape == (300, 8, 8)
    np.testing.assert_allclose(five, many[:5], atol=1e-6)
    np.testing.assert_allclose(one, many[:1], atol=1e-6)
    generator, config, _ = load_generator(RunFolder.open(trained))
    generator.train()
    statistics = {name: array.copy() for name, array in generator.state_dict().items()}
    noise = gan.Noise(config.noise.kind, config.noise.size)
    together, fewer = (gan.sample(generator, count, noise, Stream(0, "samples")) for count in (20, 7))
    np.testing.assert_allclose(together[:7], fewer, atol=1e-6)
    assert all(np.array_equal(array, statistics[name]) for name, array in generator.state_dict().items())
    assert generator.training


def test_the_other_commands_take_the_run(tinygan, trained):
    assert tinygan("sample", trained, "--count", "9", "--out", "sheet.png").status == 0
    diagnosis = json.loads(tinygan("diagnose", trained, "--json").out)
    assert diagnosis["measures"]["data_rms"] > 0.5
    answer = tinygan("evaluate", trained, "--json")
    assert np.isfinite(json.loads(answer.out)["test_mean"])
    assert tinygan("report", trained).status == 0
    assert "(m, 4, 4, 4)" in (trained / "report.html").read_text("utf-8")
    answer = tinygan("trace", trained, "--check", "--replay")
    assert answer.status == 0
    assert "all bits are equal" in answer.out + answer.err
    assert "none is wrong" in answer.out + answer.err
    answer = tinygan("trace", trained, "--why", "generator.4.weight")
    assert "gw = conv_weight(x, gy)" in answer.out


def test_a_generator_starts_from_one_with_maps(trained, tmp_path):
    """Also the running statistics of batch normalization are copied."""
    document = tomllib.loads((trained / "config.toml").read_text("utf-8"))
    document["generator"]["layers"][:0] = [{"type": "linear", "units": 32}, {"type": "relu"}]
    document["generator"]["pretrained"] = str(trained)
    for layer in document["generator"]["layers"]:  # that would have no effect, and is refused
        layer.pop("weight_std", None)
        layer.pop("scale_std", None)
    (tmp_path / "second.toml").write_text(tomli_w.dumps(document), "utf-8")
    _, training = start(load_experiment("second.toml"), data.load("digits"), tmp_path / "second")
    earlier = RunFolder.open(trained).latest_checkpoint().arrays
    copied = 0
    for name, array in training.game.generator.state_dict().items():
        layer, _, rest = name.partition(".")
        if int(layer) >= 2:
            assert np.array_equal(array, earlier[f"generator.{int(layer) - 2}.{rest}"]), name
            copied += 1
    assert copied == 14  # 2 norms with 5 arrays, a layer with a bias, and 2 without
    document["generator"]["layers"][6].pop("bias")  # then there is one
    (tmp_path / "third.toml").write_text(tomli_w.dumps(document), "utf-8")
    with pytest.raises(ConfigError, match=r"bias = none.* in the place of generator\.layers\[6\]"):
        start(load_experiment("third.toml"), data.load("digits"), tmp_path / "third")


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_exported_kernels_have_pytorchs_shapes(tinygan, trained, network):
    """PyTorch's layers, in this order, take these arrays: linear weights transposed, kernels as they are."""
    for layout in ("tinygan", "pytorch"):
        words = ["--out", f"{layout}.npz", "--network", network, "--layout", layout]
        assert tinygan("export", trained, *words).status == 0
    with np.load("tinygan.npz") as ours, np.load("pytorch.npz") as theirs:
        found = {name: array.shape for name, array in theirs.items()}
        for name, array in ours.items():
            assert np.array_equal(theirs[name], array.T if array.ndim == 2 else array)
    statistics = {"weight": 1, "bias": 1, "running_mean": 1, "running_var": 1, "num_batches_tracked": 0}
    if network == "generator":
        linear = {"0.weight": (256, 32), "7.bias": (1,)}
        kernels = {"4.weight": (64, 4, 4, 4), "7.weight": (4, 1, 4, 4)}
        of_norms = {1: 256, 5: 4}
    else:
        linear = {"7.weight": (1, 32), "7.bias": (1,)}
        kernels = {"1.weight": (4, 1, 4, 4), "3.weight": (8, 4, 4, 4)}
        of_norms = {4: 8}
    norms = {f"{layer}.{name}": (size,) * axes for layer, size in of_norms.items() for name, axes in statistics.items()}
    assert found == linear | kernels | norms
    config = load_experiment("dcgan-digits", [word for word in SMALL if "=" in word])
    build = build_generator if network == "generator" else build_discriminator
    twin = build(config, 64, Stream(1, "weights"))
    twin.load_state_dict(load_weights("pytorch.npz"))
    arrays = RunFolder.open(trained).latest_checkpoint().arrays
    for name, array in twin.state_dict().items():
        assert np.array_equal(array, arrays[f"{network}.{name}"])
