"""What a user of PyTorch or NumPy types: it works, or the answer is a line that runs as printed."""

from __future__ import annotations

import copy
import doctest
import importlib.util
import os
import pickle
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest

import tinygan as tg
import tinygan.functional as F
from tinygan import nn, optim, pytorch_names
from tinygan.errors import CallError, DeviceError, MissingImportError, MissingNameError, ShapeError, TinyganError

WORKS = """
x + y; x - 1; 2 * x; x / y; x @ y; x ** 2; -x; abs(x); x % 2; x // 2; divmod(x, 2); divmod(5, x); round(x); round(x, 1)
x += 1; x *= 2; x == y; x[0]; x[:, None]; x[x > 0]; x[..., -1]; len(x); list(x); float(x.sum()); x.shape; x.ndim
x.dtype
x.sum(); x.sum(1); x.sum(-1, True); x.mean(0); x.max(); x.min(1); x.var(0); x.std(); x.norm(); x.prod(); x.cumsum(0)
x.argmax(1); x.argsort(); x.exp(); x.log(); x.sqrt(); x.sigmoid(); x.tanh(); x.relu(); x.softmax(-1); x.log_softmax(1)
x.reshape(2, 8); x.reshape(-1); x.flatten(); x.flatten(1); x.squeeze(); x.swapaxes(0, 1); x.T; x.transpose(1, 0)
x.transpose(-1, -2); x.moveaxis(0, 1); x.flip(0); x.clip(0, 1); x.clip(low=0); x.square(); x.sign(); x.floor()
x.round()
x.matmul(y); x[0].outer(y[0]); x.maximum(y); x.isnan(); x.detach(); x[0, 0].item()
x.numpy(); x.to("cpu"); x.requires_grad; x.grad; x.is_leaf; x.device; x.data; x.logsumexp(1); x.size; x.size + 1
F.relu(x); F.leaky_relu(x, 0.2); F.softmax(x, -1); F.one_hot([1, 0], 3); F.mse_loss(x, y); F.l1_loss(x, y); F.gelu(x)
F.elu(x); F.silu(x); F.softplus(x); F.dropout(x, 0.5); F.linear(x, y); F.embedding([1, 0], y); F.stack([x, y])
nn.Linear(4, 4, bias=False); nn.ReLU(); nn.LeakyReLU(0.2); nn.Sigmoid(); nn.Tanh(); nn.Dropout(0.5); nn.Identity()
nn.BatchNorm(4); nn.LayerNorm(4); nn.Embedding(10, 4); nn.Sequential(nn.Linear(4, 4), nn.ReLU()); nn.ModuleList([net])
F.max_pool2d(x, 2); F.max_pool2d(x, 3, 2, 1, ceil_mode=True); F.avg_pool2d(x, (2, 1)); nn.MaxPool2d(2, stride=2)
nn.AvgPool2d(3, 1, 1); nn.Upsample(2)
F.conv2d(x, y); F.conv2d(x, y, stride=2, padding=1); F.conv_transpose2d(x, y)
nn.Conv2d(1, 8, 3, 1, 1); nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1, output_padding=1, bias=False)
nn.Parameter(x); nn.Flatten(); net.named_modules(); net.parameters(); net.state_dict(); net.train(); net.eval()
net.load_state_dict(net.state_dict()); net.zero_grad(); net.apply(print); net.requires_grad_(False); net.children()
net.register_buffer("mean", x); net.modules(); net.named_parameters(); net.to("cpu"); net(x)
optim.SGD(net.parameters(), lr=0.1, momentum=0.9); optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999))
optim.AdamW(net.parameters()); optim.RMSprop(net.parameters()); opt.zero_grad(); opt.step(); opt.state_dict()
opt.param_groups[0]; tg.manual_seed(0); tg.tensor([1.0]); tg.Tensor; tg.is_grad_enabled(); tg.no_grad()(abs)(x)
tg.no_grad(abs)(x); np.exp(x); np.sum(x, axis=1); np.concatenate([x, y]); np.array_equal(x, y)
x.var(correction=0); x.std(0, correction=1); x.astype(float); y.sum().backward(retain_graph=True); np.linalg.norm(x)
import tinygan as torch; import tinygan.nn as nn; import tinygan.nn.init; from tinygan import nn, optim
from tinygan.nn.parameter import Parameter; from tinygan.optim.adam import Adam; from tinygan.functional import relu
seq[0] = net; seq[:1] = [net]; del seq[0]; seq[-1]; seq[:-1]; len(seq); seq.append(net); net.eval()(x)
opt.param_groups[0]["lr"] = 0.5; opt.lr = 0.1; optim.Adam(list(net.parameters()) + [y]); tg.tensor([1.0], dtype="float")
optim.Adam([{"params": net.parameters(), "lr": 0.1}], lr=0.2); x.data[...] = 0; x != 0; x[labels]; x[x > 0.5]
(x.argmax(1) == labels).mean().item(); F.batch_norm(x); F.softplus(-x).mean(); f"{x.sum():.3f}"; sum(x); max(y.sum(), 1)
tg.grad(y.sum(), y, create_graph=True); nn.Sequential(*[nn.Linear(4, 4), nn.ReLU()])(x); x @ net.weight + net.bias
"""
# Each has an answer, apart from those that the tables of names hold.
ANSWERED = """
x.view(2, 3); x.cuda(); x.size(0); x.size(); F.relu(x, inplace=True); x.add_(1); x.clone(); x.permute(1, 0)
x.unsqueeze(0)
x.sum(dim=1); x.sum(dim=1, keepdim=True); x.mean(dim=0); x.max(dim=1); x.var(dim=0); x.var(0, unbiased=False)
x.norm(dim=1)
F.sum(x, dim=1); F.softmax(x, dim=1); F.log_softmax(input=x, dim=-1); F.concatenate([x, y], dim=1)
F.stack([x, y], dim=0)
F.stack(tensors=[x, y]); x.argmax(dim=1); x.cumsum(dim=0); x.prod(dim=0); x.softmax(dim=1)
F.flip(x, dims=[0]); F.split(x, 2, dim=0); F.split(x, split_size_or_sections=2); F.repeat(x, 2, dim=0)
x.logsumexp(dim=1)
F.take_along_axis(x, x.argsort(), dim=1); F.norm(x, ord=1); F.clip(x, min=0); x.clip(min=0, max=1); x.clip(a_min=0)
F.var(x, 0, True); F.isnan(x, y); x.exp(out=y); x.sum(1, dtype="float64", keepdim=True); x.argsort(descending=True)
F.dropout(x); F.relu(); F.linear(x); F.mse_loss(x, target=y); F.l1_loss(x, y, size_average=True)
F.one_hot([1, 0], num_classes=3); F.pad(x, pad=[(1, 1), (0, 0)]); F.leaky_relu(x, 0.2, True); F.softplus(x, 1, 20)
F.gelu(x, approximate="tanh"); F.elu(x, 1.0, True); x.flatten(start_dim=1); F.softmax_cross_entropy(x, target=labels)
F.binary_cross_entropy_with_logits(x, y, pos_weight=y); x.transpose(dim0=0, dim1=1); F.matmul(input=x, other=y)
x.mean(dim=1, keepdims=True); x.mean(axes=1); x.sum(axs=1); x.round(decimal=1)
nn.ReLU(inplace=True); nn.ReLU(True); nn.LeakyReLU(0.2, inplace=True); nn.Dropout(0.5, inplace=True); nn.Flatten(1)
nn.Linear(4, 4, dtype="float32"); nn.Linear(4, 4, device="cpu"); nn.Linear(in_features=4); nn.BatchNorm(4, device="cpu")
F.max_pool2d(x, kernel_size=2); F.max_pool2d(x, 2, return_indices=True); F.avg_pool2d(x, 2, count_include_pad=False)
nn.MaxPool2d(kernel_size=2); nn.Upsample(scale_factor=2); F.interpolate(x, scale_factor=2)
F.conv2d(x, y, dilation=1); F.conv2d(input=x, weight=y, groups=1)
F.conv2d(x, y, None, 1, 0, 1, 1); nn.Conv2d(1, 8, 3, dilation=1, groups=1, padding_mode="zeros")
nn.Embedding(10, 4, padding_idx=0); nn.Softplus(1.0, 20); nn.Sequential(net, name="a")
nn.Parameter(x, requires_gradient=True)
optim.Adam(net.parameters(), amsgrad=True); optim.SGD(net.parameters()); optim.SGD(net.parameters(), 0.1, nesterov=True)
optim.AdamW(net.parameters(), fused=True); optim.Adam(net.parameters(), learning_rate=0.1)
optim.clip_grad_norm(net.parameters(), max_norm=1.0)
opt.zero_grad(set_to_none=True); opt.step(print); net.zero_grad(set_to_none=True); net.parameters(recurse=False)
net.state_dict(keep_vars=True); net.to("cpu", non_blocking=True)
x.numpy(force=True); x.detach(1); x.to("cpu", non_blocking=True)
tg.tensor([1.0], pin_memory=True); tg.manual_seed()
tg.sum(x); tg.relu(x); tg.Linear(4, 4); tg.Adam; tg.exp(x); nn.relu(x); nn.softmax(x); tg.optimizer; tg.float32; x.viwe
x.exp_(); x.clip_(0, 1); x.relu_(); x.clamp_(0, 1); x.mul_(2); x.sub_(1); x.div_(2); x.unsqueeze_(0); nn.init.normal_(x)
nn.init.xavier_uniform_(x); nn.init.uniform_(x); nn.init.constant_(x, 0); nn.init.orthogonal_(x)
nn.init.kaiming_normal_(x)
nn.init.zeros_(x); nn.init.sparse_(x, 0.1); nn.utils.spectral_norm(net); tg.autograd.grad(x, y); tg.cuda.is_available()
nn.utils.clip_grad_norm_(net.parameters(), 1); nn.utils.weight_norm(net); nn.utils.parameters_to_vector([x])
nn.utils.parametrizations.spectral_norm(net); nn.functional.relu(x); nn.modules.Linear; tg.nn.functional.cross_entropy
tg.cuda.manual_seed_all(0); tg.cuda.empty_cache(); tg.cuda.FloatTensor([1.0]); tg.backends.cudnn.benchmark = True
tg.autograd.Variable(x); tg.autograd.Function; tg.autograd.set_detect_anomaly(True); tg.cuda.amp.autocast()
tg.utils.data.DataLoader(x); tg.random.manual_seed(0); tg.linalg.inv(x); tg.linalg.det(x); tg.autograd.no_grad()
optim.lr_scheduler.StepLR(opt, 10, gamma=0.1); optim.lr_scheduler.CosineAnnealingLR(opt, 10); tg.optim.lr_scheduler
import tinygan.nn.functional as F; from tinygan.nn import functional as F; import tinygan.nn.parallel
from tinygan.optim.lr_scheduler import StepLR; from tinygan.utils.data import DataLoader; import tinygan.distributions
import tinygan.backends.cudnn as cudnn; from tinygan.autograd import Variable; from tinygan import autograd
from tinygan.nn.utils import spectral_norm; from tinygan.nn.modules import Module; from tinygan.cuda.amp import autocast
from tinygan.optim.optimizer import Optimizer; import tinygan.utils.data; from tinygan.datasets import MNIST
net(); net(x, x); net(x, y=y); net(input=x); seq(); net["a"]; net[0]; net[0] = net; del net[0]; seq["a"]
next(net.parameters()); nn.Linear(4, 4, device="cpu", dtype="float32"); nn.Sequential(nn.ReLU()).insert(0, net)
x ^ x; labels ^ 1; 1 ^ labels; labels << 1; labels >> 1; 1 << labels
scheduler.step(); scheduler.get_last_lr(); scheduler.state_dict(); scheduler.last_epoch; scheduler.load_state_dict({})
F.split(x, split_size=2); tg.split(x, 2); x.split(2); tg.chunk(x, 2); tg.max(x, 1); x.max(1).values; x.max(1).indices
x.std(0, True); x.var(0, False); x.var(dim=0, unbiased=True, keepdim=True); x.std(unbiased=False)
tg.grad(outputs=y.sum(), inputs=y, only_inputs=True); tg.grad(outputs=y, inputs=y, grad_outputs=x)
F.relu_(x); F.leaky_relu_(x, 0.2); tg.relu_(x); tg.clamp_(x, 0, 1); x.zero_(); x.fill_(0); net.weight.copy_(x)
x.argsort(descending=True); F.softmax_cross_entropy(x, labels, ignore_index=0); optim.Adam([y], beta1=0.5)
optim.Adam([y], maximize=True); optim.StepDecay(0.1, step_size=10, gamma=0.1); optim.CosineDecay(0.1, T_max=10)
F.dropout(x, 0.5, True, None, True); net.double(); net.float(); net.half(); net.cuda(); net.save("a"); net.fit(x)
tg.randn(64, 100, 1, 1, device="cpu"); tg.full((4,), 1.0, dtype=tg.float); tg.ones(4, 1); tg.zeros_like(x)
tg.device("cuda:0" if tg.cuda.is_available() else "cpu"); x.view(x.size(0), -1).norm(2, dim=1); D.view(-1)
"""
# Refused by other errors, whose messages say what to do.
TOLD = """
nn.Linear(4, 4, True, "cpu"); nn.Conv2d(1, 8, 3, 1, 1, 1, 1)
nn.Linear(4, 4, rng=np.random.default_rng(0)); F.dropout(x, 0.5, True, True); x.to(y)
x.to("cuda:0"); x.to("float64"); net.to(np.float64); tg.tensor(x, device="cuda:0"); tg.Tensor([1.0])
net.weight.data = x; nn.Sequential([net]); nn.Sequential({"a": net}); nn.Sequential(net, F.relu); seq[0] = 3
x[x > 0] = 0; x[0] += 1; y += 1; (y * 2).backward(); tg.save({"net": net}, "file"); optim.ExponentialDecay(opt, 0.9)
optim.Adam(net, lr=0.1); bool(x); F.norm(x, 1); x.norm(1); F.pad(x, (1, 1, 1, 1))
F.pad(x, [(1, 1), (1, 1)], mode="replicate"); x.squeeze(0); x.mean([2, 3]); tg.grad([y.sum()], [y]); net.weight = x
F.mse_loss(x, x[0]); float(y[0, 0]); np.array(y); optim.SGD(net.parameters(), "a")
"""
REFUSED = "x.transpose(0, 1); x.transpose(-2, -1); x.expand_dims(0).transpose(0, 1)"  # by other errors
OWNERS = {
    "x": (pytorch_names.TENSOR, tg.Tensor),
    "F": (pytorch_names.FUNCTIONAL, F),
    "nn": (pytorch_names.NN, nn),
    "nn.init": (pytorch_names.INIT, nn.init),
    "net": (pytorch_names.MODULE, nn.Module),
    "optim": (pytorch_names.OPTIM, optim),
    "scheduler": (pytorch_names.SCHEDULES, optim.StepDecay),
    "opt": (pytorch_names.OPTIMIZER, optim.Optimizer),
    "tg": (pytorch_names.TINYGAN, tg),
}
HERE = {f"{owner}.{name}" for owner, (table, where) in OWNERS.items() for name in table if name in dir(where)}
NAMES = [f"{owner}.{name}" for owner, (table, _) in OWNERS.items() for name in table if f"{owner}.{name}" not in HERE]


def several(text):
    return [expression.strip() for line in text.strip().splitlines() for expression in line.split(";")]


def namespace(expression=""):
    images = any(name in expression for name in ("F.conv", "_pool2d(", "F.upsample", "F.interpolate"))
    values = np.linspace(0.1, 0.9, 16, dtype="float32").reshape((1, 1, 4, 4) if images else (4, 4))
    x, y = tg.tensor(values), tg.tensor(1 - values, requires_grad=True)
    net = nn.Linear(4, 4)
    return {
        **{"tg": tg, "F": F, "nn": nn, "optim": optim, "np": np, "x": x, "y": y, "z": y, "net": net, "weight": y},
        **{"opt": optim.SGD(net.parameters(), lr=0.1), "labels": tg.tensor([0, 1, 2, 3]), "targets": y.detach()},
        **{"p": 0.5, "lr": 0.1, "out_features": 4, "seed": 0, "indices": x.argsort(), "sections": 2, "D": x},
        **{"seq": nn.Sequential(nn.Linear(4, 4), nn.ReLU()), "scheduler": optim.StepDecay(0.1, 100)},
    }


def replacement(message):
    """Return the line of code in an answer."""
    assert ": write " in message, message
    return message.partition(": write ")[2]


def failures(check, expressions):
    """Return a line for each expression that fails. One test for all is faster than a test for each."""
    found = ""
    for expression in expressions:
        try:
            check(expression)
        except (Exception, pytest.fail.Exception) as error:
            found += f"\n{expression}: {type(error).__name__}: {error}"
    return found


def test_names_of_pytorch_that_work():
    found = failures(lambda expression: exec(expression, namespace(expression)), several(WORKS))
    assert not found, found


def answered(expression):
    """Check that an expression is answered, and that the answer runs as printed."""
    with pytest.raises((MissingNameError, MissingImportError, CallError)) as raised:
        exec(expression, namespace(expression))
    message = str(raised.value)
    if expression in ("tg.optimizer", "x.viwe"):
        assert "did you mean" in message
        return
    names = namespace(message)
    if "requires_grad = True" in message:
        names["x"] = tg.tensor(names["x"].data, requires_grad=True)
    elif "tg.grad(output=" in message:
        names["x"] = names["y"] * 1 if "grad_output=" in message else names["y"].sum()
    try:
        exec(replacement(message), names)
    except DeviceError:  # without a GPU
        assert "cuda" in message


@pytest.mark.parametrize("owner", [*OWNERS, "expressions"])
def test_every_answer_runs_as_printed(owner, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "OPENBLAS_NUM_THREADS", "1")
    of_owner = [name for name in NAMES if name.rpartition(".")[0] == owner]
    with np.printoptions():  # an answer sets them
        found = failures(answered, several(ANSWERED) if owner == "expressions" else of_owner)
    assert not found, found


def told(expression):
    with pytest.raises(TinyganError) as raised:
        exec(expression, namespace())
    assert len(str(raised.value)) > 40


def test_other_habits_are_refused_with_advice():
    found = failures(told, several(TOLD))
    assert not found, found


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("nn.utils.spectral_norm(net)", "nn.SpectralNorm(net)"),
        ("optim.lr_scheduler.CosineAnnealingLR(opt, 10)", "CosineDecay"),
        ("tg.autograd.Variable(x)", "requires_grad=True"),
        ("tg.autograd.grad(y.sum(), y)[0]", "no [0]"),
        ("tg.autograd.no_grad()", "tg.no_grad"),
        ("x.var(0, False)", "x.var(0, correction=0)"),
        ("x.var(unbiased=True)", "x.var(correction=1)"),
        ("F.relu_(x)", "x = F.relu(x)"),
        ("net(input=x)", "net(x=x)"),
        ("seq()", "net(x)"),
        ("F.split(x, split_size=2)", "range(2, len(x), 2)"),
        ("import tinygan.nn.functional as F", "import tinygan.functional as F"),
        ("from tinygan.optim.lr_scheduler import StepLR", "StepDecay"),
    ],
)
def test_what_an_answer_says(expression, code):
    with pytest.raises((MissingNameError, MissingImportError, CallError)) as raised:
        exec(expression, namespace())
    assert code in str(raised.value)


def test_the_finder_of_modules_answers_only_known_names():
    assert importlib.util.find_spec("tinygan.nonsense") is None
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'tinygan\.nonsense'$"):
        import tinygan.nonsense  # noqa: F401


def test_pieces_of_a_size_as_the_answer_says():
    x = namespace()["x"]
    assert [piece.shape for piece in F.split(x[:3], range(2, 3, 2))] == [(2, 4), (1, 4)]


def test_a_tensor_is_no_function():
    assert not callable(namespace()["x"])  # so that an argument may be numbers or a function


def test_a_type_error_inside_of_forward_stays():
    class Net(nn.Module):
        def forward(self, x):
            return x.sum() + len(3)

    with pytest.raises(TypeError, match=r"has no len\(\)") as raised:
        Net()(namespace()["x"])
    assert not isinstance(raised.value, TinyganError)


def test_there_are_some_200_expressions_and_100_names():
    assert len(several(WORKS)) + len(several(ANSWERED)) > 197
    assert len(NAMES) > 100


def test_no_answer_is_for_a_name_that_is_here():
    shared = {f"{owner}.{name}" for owner in ("x", "F", "tg") for name in pytorch_names.OPERATIONS}
    assert shared | {"tg.data"} >= HERE  # a package that tinygan itself does not import
    assert [
        name for name in pytorch_names.OPERATIONS if {f"{owner}.{name}" for owner in ("x", "F", "tg")} <= HERE
    ] == []


@pytest.mark.parametrize("expression", several(REFUSED))
def test_an_exchange_of_axes_is_not_silently_another(expression):
    with pytest.raises(ShapeError, match=r"write x\.swapaxes"):
        exec(expression, namespace(expression))


def test_axes_given_as_one_tuple_are_those_of_numpy():
    x = namespace()["x"]
    assert np.array_equal(x.transpose((0, 1)).data, x.data)
    assert np.array_equal(np.transpose(x, (0, 1)).data, x.data)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var", "std", "norm", "logsumexp", "argmax"])
def test_dim_and_keepdim_are_answered(name):
    x = namespace()["x"]
    for call, label in ((getattr(F, name), "F"), (getattr(tg.Tensor, name), "x")):
        with pytest.raises(CallError) as raised:
            call(x, dim=1, keepdim=True)
        code = replacement(str(raised.value))
        assert code.startswith(f"{label}.{name}(")
        assert np.array_equal(eval(code, {"F": F, "x": x}).data, call(x, axis=1, keepdims=True).data)


# ---------------------------------------------------------------------- a missing name is an AttributeError


@pytest.mark.parametrize(
    "owner", [tg, F, nn, optim, tg.tensor([1.0]), nn.Linear(2, 2), optim.SGD(nn.Linear(2, 2).parameters(), lr=1)]
)
def test_a_missing_name_is_an_attribute_error(owner):
    for name in ("view", "Conv1d", "cuda", "nonsense", "_private", "__dunder__"):
        assert not hasattr(owner, name)
        assert getattr(owner, name, 3) == 3
        with pytest.raises(AttributeError):
            getattr(owner, name)


def test_import_from_answers_too():
    with pytest.raises(MissingImportError, match=r"write nn\.BatchNorm\("):
        from tinygan.nn import BatchNorm2d  # noqa: F401
    with pytest.raises(ImportError, match=r"write F\.relu"):
        from tinygan import relu  # noqa: F401
    from tinygan import data  # noqa: F401  # a package that tinygan itself does not import


def test_copies_and_pickles_of_what_answers():
    names = namespace()
    for value in (names["x"], nn.Parameter(names["x"]), names["net"], names["opt"]):
        for twin in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert type(twin) is type(value)
    for value in (F.relu, F.sum, optim.clip_grad_norm, tg.tensor, tg.save, nn.functional_call):
        assert pickle.loads(pickle.dumps(value)) is value
    with pytest.raises(MissingNameError) as raised:
        names["x"].view  # noqa: B018
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
    assert pickle.loads(pickle.dumps(names["x"].size)) == 16


def test_protocols_find_no_name_that_is_not_here():
    x = namespace()["x"]
    assert np.asarray(x).shape == (4, 4)
    assert not hasattr(x, "__cuda_array_interface__")
    assert not hasattr(x, "_repr_html_")
    assert not hasattr(x, "_ipython_canary_method_should_not_exist_")
    assert mock.Mock(spec=x).shape is not None
    with mock.patch.object(F, "relu", return_value=3):
        assert F.relu(x) == 3
    assert F.relu(x).shape == (4, 4)
    with mock.patch.object(F, "nonsense", 1, create=True):
        assert F.nonsense == 1
    assert not hasattr(F, "nonsense")
    assert doctest.DocTestFinder().find(F.sum)


def test_a_property_keeps_its_own_error():
    class Net(nn.Module):
        @property
        def width(self):
            raise AttributeError("no layer yet")

    with pytest.raises(AttributeError, match="no layer yet"):
        Net().width  # noqa: B018


def test_a_misspelled_name_of_ones_own_module():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(2, 2)

    with pytest.raises(MissingNameError, match=r"Net has no 'hiden'; did you mean \"hidden\"\?"):
        Net().hiden  # noqa: B018


@pytest.mark.slow
def test_an_uncaught_answer_is_the_last_line():
    code = "import tinygan as tg; tg.tensor([1.0]).view(1)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.rstrip().endswith("write x.reshape(2, -1)")


def test_a_type_error_inside_of_a_function_stays():
    def inner():
        raise TypeError("inner")

    with pytest.raises(TypeError, match=r"^inner$"):
        nn.Linear(2, 2).apply(lambda module: inner())


def test_blocks_without_a_call():
    with pytest.raises(CallError, match=r"write with tg\.no_grad\(\):"), tg.no_grad:
        pass
    y = namespace()["y"]
    assert not tg.no_grad(lambda: y * 2)().requires_grad
    with tg.no_grad(), tg.enable_grad():
        assert (y * 2).requires_grad
