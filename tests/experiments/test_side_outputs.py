"""A failure of work beside the result is warned of once, and stops nothing."""

from __future__ import annotations

import warnings

import pytest

from tinygan.experiments.side_outputs import SideOutputs


@pytest.mark.parametrize("error", [OSError("full"), ImportError("no matplotlib"), MemoryError(), RecursionError()])
def test_each_kind_of_failure_is_warned_of_once(error):
    side_outputs = SideOutputs()
    with warnings.catch_warnings(record=True, action="always") as said:
        for _ in range(3):
            for what in ("the sheet", "the report"):
                with side_outputs.attempt(what):
                    raise error
    first, second = map(str, (warning.message for warning in said))
    assert first.startswith("the sheet could not be made: ")
    assert second.startswith("the report could not be made: ")
    assert (str(error) or type(error).__name__) in first


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_and_exit_are_not_caught(stop):
    with pytest.raises(stop), SideOutputs().attempt("the sheet"):
        raise stop
