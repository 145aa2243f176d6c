"""The exported weights of a run."""

from __future__ import annotations

import numpy as np
import pytest

from tinygan.experiments.protocol import load_generator
from tinygan.experiments.weights import load_weights
from tinygan.runs.run_folder import RunFolder


@pytest.fixture
def trained(tinygan, small, tmp_path):
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small).status == 0
    return tmp_path / "run"


def test_averaged_weights_of_a_generator_are_exported(tinygan, small, tmp_path):
    average = ("--set", "generator.average_decay=0.9")
    assert tinygan("train", "digits", "--epochs", "1", "--out", "run", "--quiet", *small, *average).status == 0
    assert tinygan("export", "run", "--out", "both.npz", "--network", "both").status == 0
    weights, arrays = load_weights("both.npz"), RunFolder.open(tmp_path / "run").latest_checkpoint().arrays
    for name in weights:
        kept = arrays[name.replace("generator.", "average.")]
        assert np.array_equal(weights[name], kept)
    assert not np.array_equal(weights["generator.0.weight"], arrays["generator.0.weight"])
    assert len(weights) == sum(name.startswith(("generator.", "discriminator.")) for name in arrays)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["g.safetensors", "g.npz"])
def test_a_generator_is_exported_and_loaded_again(tinygan, trained, name):
    answer = tinygan("export", trained, "--out", name)
    assert (answer.status, answer.out, answer.err) == (0, f"{name}\n", "")
    weights = load_weights(name)
    generator, _, _ = load_generator(RunFolder.open(trained))
    expected = generator.state_dict()
    assert list(weights) == sorted(expected)
    assert all(np.array_equal(weights[key], expected[key]) for key in expected)
    generator.load_state_dict({key: np.zeros_like(array) for key, array in expected.items()})
    generator.load_state_dict(weights)
    assert all(np.array_equal(array, expected[key]) for key, array in generator.state_dict().items())


def test_each_network_or_both_under_prefixed_names(tinygan, trained):
    for network in ("generator", "discriminator", "both"):
        assert tinygan("export", trained, "--out", f"{network}.npz", "--network", network).status == 0
    generator, discriminator, both = (load_weights(f"{name}.npz") for name in ("generator", "discriminator", "both"))
    prefixed = [f"generator.{name}" for name in generator] + [f"discriminator.{name}" for name in discriminator]
    assert sorted(prefixed) == sorted(both)
    arrays = RunFolder.open(trained).latest_checkpoint().arrays
    assert all(np.array_equal(array, arrays[name]) for name, array in both.items())
    assert all(np.array_equal(array, both[f"discriminator.{name}"]) for name, array in discriminator.items())


def test_the_best_is_exported_by_default(tinygan, trained):
    run = RunFolder.open(trained)
    arrays = run.latest_checkpoint().arrays
    run.save_checkpoint(10_000, {name: array + 1 for name, array in arrays.items()}, {}, best=True)
    run.save_checkpoint(10_001, {name: array + 2 for name, array in arrays.items()}, {})
    for options, shift in (([], 1), (["--checkpoint", "best"], 1), (["--checkpoint", "last"], 2)):
        assert tinygan("export", trained, "--out", "w.npz", *options).status == 0
        assert all(
            np.array_equal(array, arrays[f"generator.{name}"] + shift) for name, array in load_weights("w.npz").items()
        )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["generator", "discriminator", "both"])
def test_the_pytorch_layout_transposes_matrices(tinygan, trained, network):
    for layout in ("tinygan", "pytorch"):
        words = ["--out", f"{layout}.npz", "--network", network, "--layout", layout]
        assert tinygan("export", trained, *words).status == 0
    with np.load("tinygan.npz") as ours, np.load("pytorch.npz") as theirs:
        assert sorted(ours) == sorted(theirs)
        for name in ours:
            assert np.array_equal(theirs[name], ours[name].T)
            assert theirs[name].ndim == (2 if name.endswith(".weight") else 1)
    ours, theirs = load_weights("tinygan.npz"), load_weights("pytorch.npz")
    assert all(np.array_equal(theirs[name], array) for name, array in ours.items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "x.pt"], "x.pt: expected a name that ends in .safetensors or .npz, found 'x.pt'"),
        (
            ["--out", "no/x.npz"],
            "no/x.npz: cannot be written: No such file or directory; free space, correct the permissions, or choose "
            "another name",
        ),
        (
            ["--out", "x.npz", "--checkpoint", "best"],
            "run: no checkpoint was chosen by validation; set output.validate_every in the experiment, or take the "
            "last one: --checkpoint last",
        ),
    ],
)
def test_refusals(tinygan, trained, tmp_path, words, message):
    before = sorted(tmp_path.rglob("*"))
    answer = tinygan("export", "run", *words)
    assert (answer.status, answer.out, answer.err) == (1, "", f"tinygan: error: {message}\n")
    assert sorted(tmp_path.rglob("*")) == before
