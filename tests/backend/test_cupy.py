"""The choice of a device: the errors if it is unknown, or if CuPy, the driver, the GPU or a library is missing.

Each broken machine is simulated by a module named ``cupy``; the real one is tested where there is a GPU.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygan as tg
from tinygan.backend import backend_of, get_backend, registry
from tinygan.backend.cupy import missing
from tinygan.errors import DeviceError

INSTALL = "pip install 'cupy-cuda13x[ctk]' (or 'cupy-cuda12x[ctk]' for a driver of CUDA 12)"


class FakeArray:
    """An array of the fake CuPy: a NumPy array in a wrapper that is not a `numpy.ndarray`."""

    base = None

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.shape, self.ndim, self.size, self.dtype = array.shape, array.ndim, array.size, array.dtype

    def __matmul__(self, other: FakeArray) -> FakeArray:
        return FakeArray(self.array @ other.array)

    def sum(self) -> float:
        return float(self.array.sum())

    def astype(self, dtype: Any) -> FakeArray:
        return FakeArray(self.array.astype(dtype))


FakeArray.__module__ = "cupy"


class FakeCupy(types.ModuleType):
    """The parts of CuPy that `missing` uses, with one fault."""

    def __init__(self, driver: str | None = None, count: int = 1, libraries: str | None = None) -> None:
        super().__init__("cupy")
        self.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
        self.__version__ = "14.0.1"
        self.float32 = np.float32
        self.ndarray = FakeArray

        def count_devices() -> int:
            if driver is not None:
                raise RuntimeError(driver)
            return count

        def ones(shape: Any, dtype: Any) -> FakeArray:
            if libraries is not None:
                raise RuntimeError(libraries)
            return FakeArray(np.ones(shape, dtype))

        self.ones = ones
        self.asarray = lambda data: data if isinstance(data, FakeArray) else FakeArray(np.asarray(data))
        self.array = lambda data, dtype=None, order="C": FakeArray(np.array(data, dtype, order=order))
        self.asnumpy = lambda fake: fake.array.copy()
        self.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count_devices))


@pytest.fixture(autouse=True)
def _fresh_backends() -> Iterator[None]:
    registry._cupy.cache_clear()
    yield
    registry._cupy.cache_clear()


def install(monkeypatch: pytest.MonkeyPatch, module: types.ModuleType | None) -> None:
    monkeypatch.setitem(sys.modules, "cupy", module)


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "CPU", "", None, 0])
def test_an_unknown_device_is_named(device: Any) -> None:
    with pytest.raises(DeviceError) as caught:
        get_backend(device)
    assert str(caught.value) == f"unknown device {device!r}: expected 'cpu' or 'cuda'"


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    here = tg.tensor([1.0])
    for ask in (lambda: get_backend("cuda"), lambda: tg.tensor([1.0], device="cuda"), lambda: here.to("cuda")):
        with pytest.raises(DeviceError) as caught:
            ask()
        assert str(caught.value) == (
            f"device 'cuda' is not available: CuPy is not installed; install it with {INSTALL}"
        )


def test_with_a_cupy_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcudart.so.13: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert missing() == (
        "CuPy is installed but cannot be imported (libcudart.so.13: cannot open shared object file); "
        f"reinstall it with {INSTALL}"
    )


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            {"driver": "cudaErrorInsufficientDriver: CUDA driver version is insufficient"},
            "CuPy 14.0.1 is installed but finds no usable GPU driver "
            "(cudaErrorInsufficientDriver: CUDA driver version is insufficient); "
            "install the NVIDIA driver, or use device='cpu'",
        ),
        ({"count": 0}, "the NVIDIA driver reports no GPU on this machine; use device='cpu'"),
        (
            {"libraries": "CuPy failed to load libcublas.so.13"},
            "CuPy 14.0.1 sees a GPU but cannot compute on it (CuPy failed to load libcublas.so.13); "
            f"its CUDA libraries are missing: {INSTALL}",
        ),
    ],
    ids=["driver", "device", "libraries"],
)
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, broken: dict[str, Any], message: str) -> None:
    install(monkeypatch, FakeCupy(**broken))
    with pytest.raises(DeviceError) as caught:
        get_backend("cuda")
    assert str(caught.value) == f"device 'cuda' is not available: {message}"


def test_a_failure_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCupy(count=0))
    with pytest.raises(DeviceError, match="no GPU"):
        get_backend("cuda")
    install(monkeypatch, FakeCupy())
    assert get_backend("cuda").device == "cuda"
    assert get_backend("cuda") is get_backend("cuda")


# ---------------------------------------------------------------------- two devices at once


def test_each_array_has_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCupy())
    cuda = get_backend("cuda")
    assert backend_of(FakeArray(np.ones(2))) is cuda
    assert backend_of(np.ones(2)) is get_backend("cpu")
    for other in (1.0, None, "a", [1.0], np.float32(1), object()):
        assert backend_of(other) is None
    np.testing.assert_array_equal(cuda.to_numpy(cuda.from_numpy(np.arange(3))), np.arange(3))


def test_tensors_and_arrays_of_two_devices_do_not_mix(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCupy())
    here = tg.tensor([1.0, 2.0], requires_grad=True)
    there = tg.tensor([1.0, 2.0], device="cuda")
    assert (here.device, there.device) == ("cpu", "cuda")
    for mix in (lambda: here * there, lambda: there * here):
        with pytest.raises(DeviceError) as caught:
            mix()
        assert str(caught.value) == (
            "multiply: inputs are on different devices (cpu and cuda); move them with .to(device)"
        )
    with pytest.raises(DeviceError) as caught:
        here * there.data
    assert str(caught.value) == (
        "multiply: an array of device 'cuda' met tensors on 'cpu'; move it with tg.tensor(array, device='cpu')"
    )
    with pytest.raises(DeviceError, match="multiply: an array of device 'cpu' met tensors on 'cuda'"):
        there * here.data
    with pytest.raises(DeviceError, match="lt: an array of device 'cuda' met tensors on 'cpu'"):
        _ = here < there.data


def test_a_tensor_moves_and_its_gradient_moves_back(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakeCupy())
    here = tg.tensor([1.0, 2.0], requires_grad=True)
    there = here.to("cuda")
    assert there.device == "cuda"
    assert there.to("cuda") is there
    np.testing.assert_array_equal(there.numpy(), [1, 2])
    there.to("cpu").backward(np.array([3.0, 4.0]))
    assert here.grad is not None
    assert here.grad.device == "cpu"
    np.testing.assert_array_equal(here.grad.data, [3, 4])
    assert repr(tg.tensor([1.0, 2.0], device="cuda")) == "tensor([1., 2.], dtype=float32, device='cuda')"
