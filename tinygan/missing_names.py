"""Names that a module or an object does not have: the error says what to write, if `pytorch_names` has an answer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dis import get_instructions, opmap
from types import FrameType
from typing import Any

from tinygan.errors import MissingImportError, MissingNameError

# The arguments of methods of tensors, for the answer to a name such as `clip_`.
_ARGUMENTS = {"clip": "(0, 1)", "remainder": "(2)", "swapaxes": "(0, 1)", "transpose": "(1, 0)", "floor_divide": "(2)"}
_ARGUMENTS |= {"maximum": "(y)", "minimum": "(y)", "moveaxis": "(0, 1)", "reshape": "(2, -1)", "cumsum": "(0)"}
_ANSWERS: dict[str, Callable[[str], MissingNameError]] = {}  # by the name of a module


def missing(what: str, name: str, owner: Any, table: Mapping[str, str], **others: Any) -> MissingNameError:
    """Return the error for a name that `owner` does not have.

    Parameters
    ----------
    what : str
        The owner, for the message.
    name : str
    owner : object
        A misspelled name may mean one of its attributes.
    table : mapping
        The answers.
    **others : module
        Where else to look, such as ``F=tinygan.functional``.
    """
    answer, bare = table.get(name, ""), name.rstrip("_")
    if not answer and not name.startswith("_"):
        if bare == name:
            answer = next((f"{where}.{name}" for where, other in others.items() if name in other.__all__), "")
        elif what == "tinygan.nn.init":  # `normal_` of PyTorch changes the weight that it gets
            need = {"uniform": "0.05", "constant": "0.0", "sparse": "2"}.get(bare, "")
            own = f"nn.Linear(4, 4, weight_init=nn.init.{bare}({need}))" if hasattr(owner, bare) else ""
            answer = table.get(bare, own)
        else:
            where = next((f"{label}.{bare}(x)" for label, other in others.items() if bare in other.__all__), "")
            if not where and hasattr(owner, bare):
                where = f"x.{bare}{_ARGUMENTS.get(bare, '()')}" if what == "Tensor" else f"F.{bare}(x)"
            code = (table.get(bare) or where).partition("  #")[0]
            answer = code and f"x = {code}  # a new tensor: a tensor on the tape does not change"
    if "F." in answer and what != "tinygan.functional":
        answer += (";" if "#" in answer else "  #") + " F is tinygan.functional"
    message = f"{what} has no {name!r}" + (f": write {answer}" if answer else "")
    return MissingNameError(message, "" if answer else name, owner)


def answer_names(module: str, table: Mapping[str, str], **others: Any) -> Callable[[str], Any]:
    """Return the function ``__getattr__`` of a module: it answers names that the module does not have.

    ``from module import name`` replaces each AttributeError by an error of its own, so an ImportError answers there.
    """
    _ANSWERS[module] = lambda name: missing(module, name, sys.modules[module], table, **others)

    def answer(name: str) -> Any:
        caller = sys._getframe(1)
        if caller.f_code.co_code[caller.f_lasti] == opmap["IMPORT_FROM"]:
            raise MissingImportError(str(_ANSWERS[module](name))) from None
        after = _name_after(caller) if name in table else ""  # "spectral_norm" of `nn.utils.spectral_norm`
        if after in vars(sys.modules[module]).get("__all__", ()) and f"{name}.{after}" not in table:
            label = {"tinygan": "tg"}.get(module, module.rpartition(".")[2])
            raise MissingNameError(f"{module} has no '{name}.{after}': write {label}.{after}")
        raise _ANSWERS[module](next((key for key in (f"{name}.{after}", after) if key in table), name))

    return answer


def _name_after(frame: FrameType) -> str:
    """Return the name in the next instruction of a frame, if it reads an attribute."""
    rest = (one for one in get_instructions(frame.f_code) if one.offset > frame.f_lasti and one.opname != "CACHE")
    after = next(rest)
    return after.argval if after.opname in ("LOAD_ATTR", "LOAD_METHOD") else ""


def answer_attributes(owner: type, table: Mapping[str, str], what: str = "", **others: Any) -> None:
    """Let the objects of a class answer names that they do not have."""

    def answer(self: Any, name: str) -> Any:
        if hasattr(type(self), name):  # a property, which raised an AttributeError: this raises it again
            return object.__getattribute__(self, name)
        raise missing(what or type(self).__name__, name, self if not what else owner, table, **others)

    owner.__getattr__ = answer  # type: ignore[attr-defined]


class _Imports:
    """The last finder of modules: it answers ``import tinygan.nn.functional``, a module of PyTorch."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Find nothing; raise the answer, if there is one."""
        module, _, last = name.rpartition(".")
        if module in _ANSWERS and ": write " in (message := str(_ANSWERS[module](last))):
            raise MissingImportError(message)


sys.meta_path.append(_Imports)
