"""Find the operation that made a loss or a weight nan: train again up to the step that failed, and look closely."""

from __future__ import annotations

import time

from tinygan.errors import AnomalyError
from tinygan.experiments.pretrained import load_pretrained
from tinygan.experiments.training import Training, built
from tinygan.runs.run_folder import RunFolder
from tinygan.trace import detect_anomaly

SECONDS = 20  # of looking for the operation on several ranks; one process looks for as long as it takes


def explained(error: AnomalyError, folder: RunFolder, failed: Training) -> AnomalyError:
    """Return the error of a run with the operation at fault.

    It is found from the last checkpoint, with the same bits, under `detect_anomaly`. On several ranks, all train again,
    and the rank at fault raises the error; the others may wait for it.
    """
    checkpoint, world = folder.latest_checkpoint(), failed.world
    kept = "there is no checkpoint yet" if checkpoint is None else f"the last good checkpoint is {checkpoint.path}"
    before = f"{folder.path}: training stopped: {error}\n"
    after = f"{kept}; look at the data, or train with a smaller learning rate"
    if not failed.all_ranks_failed:
        return AnomalyError(before + after)
    again = built(failed.config, failed.dataset, failed.backend.device, world)
    if checkpoint is None:
        load_pretrained(again)
    else:
        again.load_state(checkpoint.arrays, checkpoint.state)
    again.synchronize()
    if world is not None:
        world.broadcast((before, after))  # to `follow`
        end = time.monotonic() + SECONDS
        again.asked = lambda: time.monotonic() > end
    return explain(again, failed.steps, before, after)


def explain(again: Training, steps: int, before: str, after: str) -> AnomalyError:
    """Train until so many steps are done, then make one under `detect_anomaly`; return an error with its message."""
    while again.steps < steps and not again.stopping:
        if again.epoch_is_over:
            again.next_epoch()
        again.step()
    if again.epoch_is_over:
        again.next_epoch()
    culprit = "no operation produced it: the update of the weights did"
    if again.steps < steps:
        late = f"the steps since the last checkpoint take more than {SECONDS} s: to find the operation at fault, resume"
        return AnomalyError(f"{before}{late} in one process\n{after}")
    try:
        with detect_anomaly():
            again.step()
    except AnomalyError as found:
        culprit = str(found)
    return AnomalyError(f"{before}{culprit}\n{after}")
