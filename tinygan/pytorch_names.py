"""Names of PyTorch and NumPy that tinygan does not have, and what to write instead.

Each table belongs to one owner, such as a tensor or the module `tinygan.nn`. An answer is one line of code that runs
as it stands: `x` and `y` are tensors (for a convolution or pooling, images and kernels), `net` is a module, `F` is
`tinygan.functional`. When tinygan gets a name, its row goes: it would never be read. If several names of an expression
have a row, the last one answers: "spectral_norm" and not "utils" in `nn.utils.spectral_norm`.
"""

from __future__ import annotations

_IMAGES = "nn.Conv2d(1, 8, 3)  # of images only"
_NO_RECURRENCE = "nn.Linear(4, 8)  # recurrent layers and attention are yours to write, as a Module of such layers"
_NEW_VALUES = "x.data[...] = 0.5 * np.ones(x.shape); x.mark_changed()  # in place, outside of any graph"
_NOTHING_TO_DO = "x  # nothing has to be done"
_RANDOM = "tg.tensor(np.random.default_rng(0).normal(size=(2, 3)), dtype='float32')"
_SCHEDULE = "optim.SGD(net.parameters(), lr=optim.{})  # a schedule takes the place of the number, and has no step()"
_LOSS = "F.{}  # a loss is a function, in tinygan.functional"
_GRAD = "tg.grad((y * y).sum(), y)  # one tensor for one tensor: no [0]"
_OWN = "tg.Operation  # this one is yours to write: derive from it, with forward and backward"
_VALUES = "np.{}  # of the values: no gradient"
_PAD = "F.pad(x, [(0, 0), (1, 1)]{})  # a pair (before, after) for each axis"
_SAVE = "tg.save('net.safetensors', net=net); tg.load('net.safetensors', net=net)"
_DTYPE = "tg.tensor([1, 2], dtype='{}')  # a dtype is text, or one of NumPy"

# For tensors, `tinygan` and `functional`.
OPERATIONS = {
    **{"add": "x + y", "sub": "x - y", "mul": "x * y", "div": "x / y", "true_divide": "x / y", "pow": "x ** 2"},
    **{"subtract": "x - y", "multiply": "x * y", "divide": "x / y", "power": "x ** 2", "negative": "-x", "neg": "-x"},
    **{"mm": "x @ y", "bmm": "x @ y", "mv": "x @ y", "dot": "x @ y", "addmm": "x + x @ y", "inner": "x @ y.T"},
    **{"reciprocal": "1 / x", "rsqrt": "1 / x.sqrt()", "exp2": "2 ** x", "lerp": "x + 0.5 * (y - x)"},
    **{"log2": "x.log() / np.log(2)", "log10": "x.log() / np.log(10)", "tan": "x.sin() / x.cos()"},
    **{"sinh": "(x.exp() - (-x).exp()) / 2", "cosh": "(x.exp() + (-x).exp()) / 2", "logit": "x.log() - (-x).log1p()"},
    **{"ceil": "-(-x).floor()", "trunc": "x.sign() * abs(x).floor()", "frac": "x - x.sign() * abs(x).floor()"},
    **{"absolute": "abs(x)", "fmod": "x.sign() * (abs(x) % abs(y))", "clamp": "x.clip(0, 1)"},
    **{"eq": "x == y", "ne": "x != y", "lt": "x < y", "le": "x <= y", "gt": "x > y", "ge": "x >= y"},
    **{"logical_and": "(x != 0) & (y != 0)", "logical_or": "(x != 0) | (y != 0)", "logical_not": "x == 0"},
    **{"all": "np.all(x)", "any": "np.any(x)", "nonzero": "np.nonzero(x)", "count_nonzero": "np.count_nonzero(x)"},
    **{"allclose": "np.allclose(x, y)", "isclose": "np.isclose(x, y)", "equal": "np.array_equal(x, y)"},
    **{"argmin": "(-x).argmax()", "amax": "x.max(axis=-1)", "amin": "x.min(axis=-1)"},
    **{"max": "F.max(x, 1)  # only the values; x.argmax(1) has the places", "min": "F.min(x, 1)  # only the values"},
    **{"split": "F.split(x, 2)  # into 2 pieces, as in NumPy; range(2, len(x), 2) in place of 2: pieces of 2 rows"},
    **{"tensor_split": "F.split(x, 2)", "swapdims": "x.swapaxes(0, 1)", "rot90": "x.T.flip(0)"},
    **{"addcmul": "x + 0.5 * y * y", "addcdiv": "x + 0.5 * y / y", "baddbmm": "x + x @ y", "addmv": "x[0] + x @ y[0]"},
    **{"dist": "F.norm(x - y)", "cdist": "F.norm(x[:, None] - y, axis=-1)", "tensordot": "F.einsum('ij,jk->ik', x, y)"},
    **{"clamp_min": "x.maximum(0)", "clamp_max": "x.minimum(1)", "hypot": "(x ** 2 + y ** 2).sqrt()"},
    **{"xlogy": "x * y.log()", "float_power": "x ** 2.0", "sgn": "x.sign()", "ger": "F.outer(x[0], y[0])"},
    **{"vdot": "(x * y).sum()", "heaviside": "(x > 0) * 1.0", "unflatten": "x.reshape(4, 2, 2)"},
    **{"deg2rad": "x * (np.pi / 180)", "nan_to_num": "F.where(x.isnan(), 0.0, x)"},
    **{"nansum": "F.where(x.isnan(), 0.0, x).sum()"},
    **{"nanmean": "F.where(x.isnan(), 0.0, x).sum() / (~x.isnan()).sum()", "aminmax": "(x.min(), x.max())"},
    **{"logical_xor": "(x != 0) != (y != 0)", "bitwise_xor": "(x > 0) != (y > 0)", "bitwise_not": "~(x > 0)"},
    "erf": "2 * F.gelu(x * 2 ** 0.5) / (x * 2 ** 0.5) - 1  # x other than 0",
    **dict.fromkeys(("asin", "acos", "atan", "atan2", "arctan", "erfinv", "lgamma", "digamma", "cummax", "mode"), _OWN),
    **{"unique": _VALUES.format("unique(x.data)"), "bincount": _VALUES.format("bincount(labels.data)")},
    **{"histc": _VALUES.format("histogram(x.data, 10)"), "cov": _VALUES.format("cov(x.data)")},
    **{name: _VALUES.format(f"linalg.{name}(x.data)") for name in ("det", "svd", "qr", "pinv", "eigh", "matrix_rank")},
    **dict.fromkeys(("inverse", "inv", "solve", "pinverse"), _VALUES.format("linalg.pinv(x.data)")),
    **{"median": "np.median(x.detach())", "quantile": "np.quantile(x.detach(), 0.5)"},
    "sort": "F.take_along_axis(x, x.argsort(-1), -1)",
    "topk": "F.take_along_axis(x, x.argsort(-1)[..., -2:], -1)  # the two largest, in ascending order",
    **{"gather": "F.take_along_axis(x, x.argsort(-1), -1)", "index_select": "x[[0, 1]]", "take": "x.flatten()[[0, 1]]"},
    **{"masked_fill": "F.where(x > 0, 0.0, x)", "masked_select": "x[x > 0]", "select": "x[:, 0]", "narrow": "x[0:2]"},
    **dict.fromkeys(
        ("scatter", "scatter_add", "index_add"), "F.one_hot([1, 0], 4).T @ x[:2]  # row 0 to 1, row 1 to 0"
    ),
    **{"cat": "F.concatenate([x, y])", "concat": "F.concatenate([x, y])", "vstack": "F.concatenate([x, y])"},
    **{"hstack": "F.concatenate([x, y], axis=1)", "chunk": "F.split(x, 2)", "unbind": "list(x)"},
    "repeat_interleave": "F.repeat(x, 2, axis=0)",
    **dict.fromkeys(("tile", "kron"), "F.concatenate([x, x], axis=0)"),
    **{"roll": "F.concatenate([x[-1:], x[:-1]])", "unsqueeze": "x.expand_dims(0)", "permute": "x.transpose(1, 0)"},
    **{
        "view": "x.reshape(2, -1)",
        "ravel": "x.flatten()",
        "movedim": "x.moveaxis(0, -1)",
        "t": "x.T",
        "fliplr": "x.flip(1)",
    },
    **{"expand": "x.broadcast_to((3, *x.shape))", "diag": "F.einsum('ii->i', x)", "diagonal": "F.einsum('ii->i', x)"},
    **{"trace": "F.einsum('ii', x)", "tril": "x * np.tril(np.ones(x.shape))", "triu": "x * np.triu(np.ones(x.shape))"},
    "cumprod": "abs(x).log().cumsum(axis=0).exp()  # for positive elements",
    **{"clone": "x * 1  # a copy on the tape; tg.tensor(x) is one off the tape", "numel": "x.size"},
}
TENSOR = {
    **OPERATIONS,
    **{"cuda": "x.to('cuda')", "cpu": "x.to('cpu')", "is_cuda": "x.device == 'cuda'", "get_device": "x.device"},
    **{"float": "x.astype('float32')", "double": "x.astype('float64')", "half": "x.astype('float16')"},
    **{"long": "x.astype('int64')", "int": "x.astype('int32')", "bool": "x != 0", "byte": "x.astype('uint8')"},
    **{"type": "x.astype('float32')", "is_floating_point": "x.dtype.kind == 'f'", "element_size": "x.data.itemsize"},
    **{"dim": "x.ndim", "nelement": "x.size", "ndimension": "x.ndim", "nbytes": "x.data.nbytes"},
    **{"stride": "x.data.strides", "strides": "x.data.strides", "data_ptr": "x.data.ctypes.data"},
    **{"tolist": "x.numpy().tolist()", "copy": "tg.tensor(x)  # off the tape; x * 1 is on it"},
    **{"H": "x.T", "mT": "x.swapaxes(-1, -2)", "mH": "x.swapaxes(-1, -2)", "adjoint": "x.swapaxes(-1, -2)"},
    **{"view_as": "x.reshape(y.shape)", "reshape_as": "x.reshape(y.shape)", "expand_as": "x.broadcast_to(y.shape)"},
    **{"type_as": "x.astype(y.dtype)", "new_tensor": "tg.tensor([1.0, 2.0])"},
    **{
        "new_zeros": "tg.tensor(np.zeros((2, 3)), dtype='float32')",
        "new_ones": "tg.tensor(np.ones((2, 3)), dtype='float32')",
    },
    **dict.fromkeys(("contiguous", "is_contiguous", "pin_memory", "share_memory_", "to_dense"), _NOTHING_TO_DO),
    **dict.fromkeys(("fill", "fill_", "copy_", "normal_", "uniform_", "bernoulli_", "random_", "set_"), _NEW_VALUES),
    **dict.fromkeys(("exponential_", "apply_", "map_", "put", "put_", "index_fill_", "index_copy_"), _NEW_VALUES),
    **dict.fromkeys(("clamp_", "clip_"), "x.data.clip(0, 1, out=x.data); x.mark_changed()  # x.clip(0, 1) on the tape"),
    "zero_": "x.data[...] = 0; x.mark_changed()  # outside of any graph; for a gradient: x.grad = None",
    **{"requires_grad_": "x.requires_grad = True", "detach_": "x = x.detach()", "grad_fn": "x.operation"},
    **dict.fromkeys(
        ("retain_grad", "register_hook", "retains_grad"), "tg.grad((y * y).sum(), y)  # y may be an intermediate result"
    ),
    "repeat": "F.repeat(x, 2, axis=0)  # each row twice in a row, as in NumPy; PyTorch's is F.concatenate([x, x])",
    **{"values": "x.max(1)  # a reduction returns its values", "indices": "x.argmax(1)", "flat": "x.flatten()"},
    **{"itemsize": "x.data.itemsize", "tobytes": "x.numpy().tobytes()", "ptp": "x.max() - x.min()", "real": "x"},
    **{"resize": "x.reshape(2, -1)", "resize_": "x.reshape(2, -1)", "is_cpu": "x.device == 'cpu'", "conj": "x"},
    **{"new": "tg.tensor([1.0, 2.0])", "new_full": "tg.tensor(np.full((2, 3), 0.5), dtype='float32')"},
    **{"bfloat16": "x.astype('float16')", "short": "x.astype('int16')", "char": "x.astype('int8')"},
    **{"where": "F.where(x > 0, x, y)", "is_same_size": "x.shape == y.shape", "sum_to_size": "x.sum(axis=0)"},
    **{"is_complex": "x.dtype.kind == 'c'", "is_signed": "x.dtype.kind in 'fi'", "is_sparse": "False", "imag": "x * 0"},
}
LOSSES = {  # PyTorch has a function and a class of each
    "margin_ranking_loss": "F.relu(y - x + 0.5).mean()  # x is to be larger than y, by a margin",
    "hinge_embedding_loss": "F.where(y > 0, x, F.relu(1 - x)).mean()",
    "soft_margin_loss": "F.softplus(-x * y).mean()",
    "cosine_embedding_loss": "1 - (x * y).sum(1) / (F.norm(x, axis=1) * F.norm(y, axis=1))",
    "poisson_nll_loss": "(x.exp() - y * x).mean()",
    "gaussian_nll_loss": "((x - y) ** 2 / 0.5 + np.log(0.5)).mean() / 2  # of the variance 0.5",
    "multi_margin_loss": "F.softmax_cross_entropy(x, labels)  # another loss of the same labels",
}
FUNCTIONAL = {
    **OPERATIONS,
    **LOSSES,
    **{"pairwise_distance": "F.norm(x - y, axis=1)", "pdist": "F.norm(x[:, None] - x, axis=-1)"},
    **{"tanhshrink": "x - x.tanh()", "hardshrink": "F.where(abs(x) > 0.5, x, 0.0)"},
    **{"hardswish": "x * (x / 6 + 0.5).clip(0, 1)", "rrelu": "F.leaky_relu(x, 0.2)  # with one slope"},
    **dict.fromkeys(("instance_norm", "group_norm"), "F.layer_norm(x, 4)  # nearest: it normalizes each example"),
    **dict.fromkeys(("grid_sample", "affine_grid", "unfold", "fold", "local_response_norm", "ctc_loss"), _OWN),
    "cross_entropy": "F.softmax_cross_entropy(x, labels)",
    "nll_loss": "F.softmax_cross_entropy(x, labels)  # of logits, without log_softmax before it",
    "binary_cross_entropy": "F.binary_cross_entropy_with_logits(x, targets)  # of logits, without a sigmoid before it",
    "kl_div": "(y * (F.log(y) - x)).sum()  # x: logarithms of probabilities; y: probabilities",
    **dict.fromkeys(
        ("smooth_l1_loss", "huber_loss"), "F.where(abs(x) < 1, x * x / 2, abs(x) - 0.5).mean()  # x: the difference"
    ),
    "triplet_margin_loss": "F.relu(F.norm(x, axis=1) - F.norm(y, axis=1) + 1).mean()  # x, y: the two differences",
    **{
        "logsigmoid": "F.log_sigmoid(x)",
        "softmin": "F.softmax(-x)",
        "swish": "F.silu(x)",
        "mish": "x * F.tanh(F.softplus(x))",
    },
    **{"relu6": "x.clip(0, 6)", "hardtanh": "x.clip(-1, 1)", "hardsigmoid": "(x / 6 + 0.5).clip(0, 1)"},
    **{"prelu": "F.where(x > 0, x, 0.25 * x)", "selu": "1.0507 * F.elu(x, 1.67326)", "softsign": "x / (1 + abs(x))"},
    **{"celu": "F.elu(x)", "glu": "x[..., :2] * F.sigmoid(x[..., 2:])", "threshold": "F.where(x > 0.5, x, 0.0)"},
    "normalize": "x / F.norm(x, axis=1, keepdims=True)",
    "cosine_similarity": "(x * y).sum(1) / (F.norm(x, axis=1) * F.norm(y, axis=1))",
    **{
        "bilinear": "F.einsum('bi,ij,bj->b', x, x, y)",
    },
    **dict.fromkeys(("dropout1d", "dropout2d", "alpha_dropout", "feature_dropout"), "F.dropout(x, 0.5)"),
    **dict.fromkeys(
        ("conv1d", "conv3d", "conv_transpose1d", "conv_transpose3d"),
        "F.conv2d(x, y)  # of images only: a signal is an image of one row",
    ),
    "adaptive_avg_pool2d": "x.mean(axis=(-2, -1), keepdims=True)  # one number for each channel",
    "adaptive_max_pool2d": "x.max(axis=(-2, -1), keepdims=True)  # one number for each channel",
    **dict.fromkeys(
        ("interpolate", "upsample_nearest"), "F.upsample(x, 2)  # the nearest pixel; of images only"
    ),
    **dict.fromkeys(("max_pool1d", "max_pool3d"), "F.max_pool2d(x, 2)  # of images only"),
    **dict.fromkeys(("avg_pool1d", "avg_pool3d"), "F.avg_pool2d(x, 2)  # of images only"),
    "pixel_shuffle": "x.reshape(1, 1, 2, 2, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(1, 1, 4, 4)  # of (1, 4, 2, 2)",
    "gumbel_softmax": "F.softmax((x - np.log(np.random.default_rng(0).exponential(size=x.shape))) / 0.5)",
    "scaled_dot_product_attention": "F.softmax(x @ y.T / x.shape[-1] ** 0.5) @ x",
}
NN = {
    **dict.fromkeys(("Conv1d", "Conv3d", "ConvTranspose1d", "ConvTranspose3d", "Unfold"), _IMAGES),
    "AdaptiveAvgPool2d": FUNCTIONAL["adaptive_avg_pool2d"],
    "AdaptiveMaxPool2d": FUNCTIONAL["adaptive_max_pool2d"],
    **dict.fromkeys(("MaxPool1d", "MaxPool3d"), "nn.MaxPool2d(2)  # of images only"),
    **dict.fromkeys(("AvgPool1d", "AvgPool3d"), "nn.AvgPool2d(2)  # of images only"),
    **dict.fromkeys(("UpsamplingNearest2d", "UpsamplingBilinear2d"), "nn.Upsample(2)  # the nearest pixel"),
    "PixelShuffle": FUNCTIONAL["pixel_shuffle"],
    **dict.fromkeys(("RNN", "LSTM", "GRU", "Transformer", "MultiheadAttention", "LSTMCell", "GRUCell"), _NO_RECURRENCE),
    **dict.fromkeys(
        ("BCEWithLogitsLoss", "BCELoss", "MultiLabelSoftMarginLoss"),
        _LOSS.format("binary_cross_entropy_with_logits(x, targets)"),
    ),
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss"), _LOSS.format("softmax_cross_entropy(x, labels)")),
    **{name.title().replace("_", "").replace("Nll", "NLL"): LOSSES[name] for name in LOSSES},
    **dict.fromkeys(("CTCLoss", "LocalResponseNorm", "Fold", "ChannelShuffle"), _OWN),
    **{name: FUNCTIONAL[name.lower()] for name in ("Hardswish", "Hardsigmoid", "CELU", "GLU", "Softsign", "Softmin")},
    **{name: FUNCTIONAL[name.lower()] for name in ("Threshold", "Tanhshrink", "Hardshrink", "RReLU", "Bilinear")},
    **{"PairwiseDistance": FUNCTIONAL["pairwise_distance"], "Softmax2d": "F.softmax(x, 1)", "modules": "nn.Module()"},
    **dict.fromkeys(("LazyLinear", "Dense"), "nn.Linear(4, 8)"),
    **dict.fromkeys(("ReflectionPad1d", "ReflectionPad2d"), _PAD.format(", mode='reflect'")),
    **dict.fromkeys(("ReplicationPad1d", "ReplicationPad2d"), _PAD.format(", mode='edge'")),
    **dict.fromkeys(("ZeroPad1d", "ZeroPad2d", "ConstantPad1d", "ConstantPad2d"), _PAD.format("")),
    **dict.fromkeys(("TransformerEncoder", "TransformerEncoderLayer", "TransformerDecoder"), _NO_RECURRENCE),
    "EmbeddingBag": "nn.Embedding(10, 4)  # and a sum over an axis",
    **{"MSELoss": _LOSS.format("mse_loss(x, y)"), "L1Loss": _LOSS.format("l1_loss(x, y)")},
    **dict.fromkeys(("SmoothL1Loss", "HuberLoss"), FUNCTIONAL["huber_loss"]),
    **{"KLDivLoss": FUNCTIONAL["kl_div"], "TripletMarginLoss": FUNCTIONAL["triplet_margin_loss"]},
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "SyncBatchNorm"), "nn.BatchNorm(4)"),
    **dict.fromkeys(
        ("InstanceNorm1d", "InstanceNorm2d", "GroupNorm", "RMSNorm"),
        "nn.LayerNorm(4)  # nearest: it normalizes each example"
    ),
    **dict.fromkeys(("Dropout1d", "Dropout2d", "AlphaDropout"), "nn.Dropout(0.5)"),
    **{
        "SiLU": "F.silu(x)",
        "GELU": "F.gelu(x)",
        "ELU": "F.elu(x)",
        "Softmax": "F.softmax(x)",
        "Mish": FUNCTIONAL["mish"],
    },
    **{"LogSoftmax": "F.log_softmax(x)", "LogSigmoid": "F.log_sigmoid(x)", "Hardtanh": "F.clip(x, -1, 1)"},
    **{
        "ReLU6": "F.clip(x, 0, 6)",
        "SELU": FUNCTIONAL["selu"],
        "PReLU": "nn.LeakyReLU(0.25)  # the slope is not trained",
    },
    "Unflatten": "nn.Reshape(2, 2)  # nn.Maps(28, 28) for rows of pixels, colours last",
    "CosineSimilarity": FUNCTIONAL["cosine_similarity"],
    "ModuleDict": "net.parts = {'a': nn.Linear(4, 4)}  # a module finds the layers in a dict that it holds",
    **dict.fromkeys(
        ("ParameterList", "ParameterDict"), "net.extra = [nn.Parameter(x)]  # a module finds them in a list or dict"
    ),
    **dict.fromkeys(("DataParallel", "parallel"), "net  # one process has one device"),
    "utils": "optim.clip_grad_norm(net.parameters(), 1.0)  # and nn.SpectralNorm, nn.WeightNorm",
    **dict.fromkeys(("spectral_norm", "parametrizations"), "nn.SpectralNorm(net)  # it takes the layer's place"),
    **{"weight_norm": "nn.WeightNorm(net)", "parameters_to_vector": "optim.get_gradients(net.parameters())"},
    **{"clip_grad_norm_": "optim.clip_grad_norm(net.parameters(), 1.0)", "vector_to_parameters": _NEW_VALUES},
    "clip_grad_value_": "optim.clip_grad_norm(net.parameters(), 1.0)  # by the norm of all gradients together",
    "functional": "import tinygan.functional as F",
}
INIT = {
    "zeros": "nn.Linear(4, 4, weight_init=nn.init.constant(0))",
    "ones": "nn.Linear(4, 4, weight_init=nn.init.constant(1))",
    "eye": "net.weight.data[...] = np.eye(4); net.weight.mark_changed()",
    "trunc_normal": "nn.Linear(4, 4, weight_init=nn.init.normal(0, 0.02))  # it is not cut off",
    "calculate_gain": "2 ** 0.5  # of relu; 1 for linear and sigmoid, 5 / 3 for tanh",
}
OPTIM = {
    "lr_scheduler": _SCHEDULE.format("StepDecay(0.1, 1000)"),
    **dict.fromkeys(("StepLR", "MultiStepLR"), _SCHEDULE.format("StepDecay(0.1, 1000)")),
    "ExponentialLR": _SCHEDULE.format("ExponentialDecay(0.1)"),
    **dict.fromkeys(("LinearLR", "PolynomialLR"), _SCHEDULE.format("LinearDecay(0.1, 1000)")),
    "CosineAnnealingLR": _SCHEDULE.format("CosineDecay(0.1, 1000)"),
    "CosineAnnealingWarmRestarts": _SCHEDULE.format("CosineDecay(0.1, 1000)"),
    **dict.fromkeys(("SequentialLR", "ChainedScheduler"), _SCHEDULE.format("WarmUp(optim.LinearDecay(0.1, 1000), 10)")),
    **{"ConstantLR": "optim.SGD(net.parameters(), lr=0.1)", "optimizer": "optim.Optimizer"},
    **dict.fromkeys(
        ("LambdaLR", "OneCycleLR", "CyclicLR", "MultiplicativeLR"),
        "optim.SGD(net.parameters(), lr=lambda updates: 0.1 / (1 + updates))"),
    "ReduceLROnPlateau": "optim.SGD(net.parameters(), lr=0.1).param_groups[0]['lr'] = 0.01",
    **dict.fromkeys(("Adagrad", "Adadelta", "Rprop", "ASGD"), "optim.RMSprop(net.parameters())"),
    **dict.fromkeys(("NAdam", "RAdam", "Adamax", "LBFGS", "SparseAdam"), "optim.Adam(net.parameters())"),
    **dict.fromkeys(("Adafactor", "Lion", "Muon"), "optim.Adam(net.parameters())"),
    **dict.fromkeys(("clip_grad_norm_", "clip_grad_value_"), "optim.clip_grad_norm(net.parameters(), 1.0)"),
    **dict.fromkeys(
        ("swa_utils", "EMA", "AveragedModel"), "optim.ExponentialMovingAverage(net.parameters(), decay=0.999)"
    ),
    "parameters_to_vector": "optim.get_gradients(net.parameters())",
}
MODULE = {
    **{
        "cuda": "net.to('cuda')",
        "cpu": "net.to('cpu')",
        "compile": "net  # it runs as it is",
        "device": "net.parameters()[0].device",
    },
    **dict.fromkeys(("float", "half", "double", "bfloat16"), "net  # parameters are float32"),
    **dict.fromkeys(("share_memory", "type", "xpu", "to_empty"), "net  # nothing has to be done"),
    **dict.fromkeys(("get_buffer", "_buffers"), "net.state_dict()"),
    **{"save": _SAVE, "load": _SAVE, "predict": "net.eval()(x)"},
    "fit": "opt.step()  # the loop is yours, or that of gan.Algorithm1",
    **{"insert": "nn.Sequential(nn.ReLU(), net)", "pop": "nn.Sequential(net, nn.ReLU())[:-1]"},
    "register_parameter": "net.extra = nn.Parameter(x)",
    **dict.fromkeys(("add_module", "register_module"), "net.extra = nn.Linear(4, 4)"),
    **dict.fromkeys(("buffers", "named_buffers"), "net.state_dict()  # parameters and buffers"),
    "get_parameter": "dict(net.named_parameters())['weight']",
    **dict.fromkeys(("get_submodule", "_modules"), "dict(net.named_modules())['']"),
    "_parameters": "dict(net.named_parameters())",
    **dict.fromkeys(
        ("register_forward_hook", "register_full_backward_hook", "register_backward_hook", "register_forward_pre_hook"),
        "with tg.trace() as t: net(x).sum().backward()  # print(t) shows every result and gradient",
    ),
}
OPTIMIZER = {
    **{"add_param_group": "opt = optim.SGD([{'params': net.parameters()}, {'params': [y]}], lr=0.1)"},
    **dict.fromkeys(("minimize", "backward", "apply_gradients"), "net(x).sum().backward(); opt.step()"),
    **dict.fromkeys(("learning_rate", "get_lr"), "opt.param_groups[0]['lr']"),
    **{"set_lr": "opt.param_groups[0]['lr'] = 0.01", "parameters": "opt.params"},
    **dict.fromkeys(("cuda", "to"), "net.to('cpu'); opt = optim.SGD(net.parameters(), lr=0.1)"),
    **{"state": "opt.state_dict()", "defaults": "opt.param_groups[0]"},
}
SCHEDULES = {
    "step": "opt.step()  # a schedule counts the updates of its optimiser by itself",
    **dict.fromkeys(("get_last_lr", "get_lr"), "opt.param_groups[0]['lr']"),
    **dict.fromkeys(("state_dict", "load_state_dict"), "opt.state_dict()  # it holds the count of updates"),
    **{"last_epoch": "opt.state_dict()['updates']", "optimizer": _SCHEDULE.format("StepDecay(0.1, 1000)")},
}
TINYGAN = {
    **OPERATIONS,
    **{"zeros": "tg.tensor(np.zeros((2, 3)), dtype='float32')", "ones": "tg.tensor(np.ones((2, 3)), dtype='float32')"},
    **{"zeros_like": "x * 0", "ones_like": "x * 0 + 1", "full": "tg.tensor(np.full((2, 3), 0.5), dtype='float32')"},
    **{"full_like": "x * 0 + 0.5", "empty": "tg.tensor(np.empty((2, 3)), dtype='float32')", "empty_like": "x * 0"},
    **{
        "arange": "tg.tensor(np.arange(10))",
        "range": "tg.tensor(np.arange(10))",
        "eye": "tg.tensor(np.eye(3), dtype='float32')",
    },
    **{
        "linspace": "tg.tensor(np.linspace(0, 1, 5), dtype='float32')",
        "meshgrid": "np.meshgrid(np.arange(3), np.arange(2))",
    },
    **{"randn": _RANDOM, "normal": _RANDOM, "randn_like": _RANDOM},
    **dict.fromkeys(
        ("rand", "rand_like", "bernoulli"), "tg.tensor(np.random.default_rng(0).random((2, 3)), dtype='float32')"
    ),
    **dict.fromkeys(("randint", "multinomial"), "tg.tensor(np.random.default_rng(0).integers(0, 10, (2, 3)))"),
    "randperm": "tg.tensor(np.random.default_rng(0).permutation(10))",
    **dict.fromkeys(("from_numpy", "as_tensor", "asarray", "array"), "tg.tensor(np.ones(3, 'float32'))  # a copy"),
    **{"FloatTensor": "tg.tensor([1.0])", "LongTensor": "tg.tensor([1])", "Size": "tuple(x.shape)"},
    **{name: _DTYPE.format(name) for name in ("float16", "float32", "float64", "int32", "int64", "uint8", "bool")},
    **{"float": _DTYPE.format("float32"), "double": _DTYPE.format("float64"), "long": _DTYPE.format("int64")},
    **{"half": _DTYPE.format("float16"), "int": _DTYPE.format("int32"), "bfloat16": _DTYPE.format("float32")},
    **{"dtype": "np.dtype('float32')", "set_default_dtype": "x.astype('float64')  # a Linear keeps float32"},
    **{"cuda": "x.to('cuda')", "device": "tg.tensor([1.0], device='cpu')  # a device is text", "backends": "x.backend"},
    **{"is_tensor": "isinstance(x, tg.Tensor)", "seed": "tg.manual_seed(0)", "Generator": "tg.manual_seed(0)"},
    **{"inference_mode": "with tg.no_grad(): x + y", "set_grad_enabled": "with tg.no_grad(): x + y"},
    **dict.fromkeys(("set_default_tensor_type", "get_default_dtype"), _DTYPE.format("float32")),
    **dict.fromkeys(("set_default_device", "mps"), "net.to('cpu')  # a module and its inputs are on one device"),
    **dict.fromkeys(("is_available", "device_count"), "x.to('cuda')  # a DeviceError says what a GPU lacks"),
    **{"manual_seed_all": "tg.manual_seed(0)", "version": "tg.__version__", "amp": "x  # all of it is float32"},
    **dict.fromkeys(("synchronize", "empty_cache", "cudnn", "autocast"), _NOTHING_TO_DO),
    "use_deterministic_algorithms": "tg.manual_seed(0)",
    **{"distributed": "net  # mpiexec -n 2 tinygan train digits: see docs/parallel.md"},
    **dict.fromkeys(("multiprocessing", "hub", "onnx"), "net  # one process has one device"),
    **dict.fromkeys(("set_num_threads", "get_num_threads"), "import os; os.environ['OPENBLAS_NUM_THREADS'] = '1'"),
    **{"set_printoptions": "np.set_printoptions(precision=3)", "finfo": "np.finfo('float32')", "pi": "np.pi"},
    **{"inf": "np.inf", "nan": "np.nan", "e": "np.e", "newaxis": "x[:, None]", "iinfo": "np.iinfo('int64')"},
    **{"logspace": "tg.tensor(np.logspace(0, 1, 5))", "Variable": "tg.tensor([1.0], requires_grad=True)"},
    **dict.fromkeys(("data", "datasets", "transforms"), "from tinygan import data  # and data.batches"),
    **dict.fromkeys(("backward", "gradient", "GradientTape"), "(y * y).sum().backward(); y.grad"),
    **{"set_detect_anomaly": "with tg.detect_anomaly(): x + y", "func": "nn.functional_call(net, {}, x)", "vmap": _OWN},
    **{"distributions": "np.random.default_rng(0).normal(size=(2, 3))  # and tinygan.theory", "fft": _OWN},
    **{"broadcast_tensors": "x.broadcast_to(y.shape)", "cross": _VALUES.format("cross(x.data[:, :3], y.data[:, :3])")},
    **{"losses": "F.mse_loss(x, y)", "layers": "nn.Linear(4, 4)", "activations": "F.relu(x)"},
    **{"optimizers": "optim.Adam(net.parameters())", "atleast_1d": "x.reshape(-1)"},
    **{"autograd": _GRAD, "autograd.grad": _GRAD, "models": "nn.Sequential(net, nn.ReLU())"},
    **{"Function": "tg.Operation  # derive from it: forward and backward"},
    **dict.fromkeys(("jit", "compile"), "net  # it runs as it is"),
    **dict.fromkeys(
        ("utils", "DataLoader"), "x[[0, 1, 2]]  # a minibatch is an index: see tinygan.data.batches"
    ),
    **{"linalg": "F.norm(x)", "special": "F.sigmoid(x)", "random": "tg.manual_seed(0)", "Module": "nn.Module()"},
    **dict.fromkeys(("optimize", "lr_scheduler"), OPTIM["lr_scheduler"]),
}
