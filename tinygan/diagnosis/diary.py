"""The records of ``diagnosis.jsonl``: which verdicts hold after an epoch, and when that is written down.

The verdicts depend only on the records of the run and on its weights. So a run that is interrupted and resumed writes
the same records.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tinygan.diagnosis.measures import Measures, epoch_measures, is_number
from tinygan.diagnosis.rules import EPOCH_RULES, apply_rules, judge

Record = dict[str, Any]
# What a verdict on the whole game says no longer holds once an epoch has shown a fault.
_WITHOUT_FAULT = {"healthy", "log-4-equilibrium"}
_OF_AN_EPOCH = {"d-won", "saturated"}  # the verdicts of `EPOCH_RULES`


class Diary:
    """Diagnoses a game after each epoch.

    The measures of the whole game are made now and then; in between, its verdicts stay, and only the rules that need no
    more than the record of an epoch are applied.

    Parameters
    ----------
    objective : str
        The objective of G.
    metrics : sequence of mapping
        The records of the epochs so far, of ``metrics.jsonl``.
    records : sequence of mapping
        What the diary said so far, of ``diagnosis.jsonl``.

    Attributes
    ----------
    given : list of mapping
        The verdicts that hold.
    epoch : int
        The epoch of the last record; 0 before the first.

    Examples
    --------
    >>> diary = Diary("non-saturating")
    >>> diary.after({"epoch": 1, "discriminator_loss": 1.2, "d_accuracy": 0.7})
    >>> record = diary.after({"epoch": 2, "discriminator_loss": 0.01, "d_accuracy": 1.0})
    >>> record["epoch"], [verdict["name"] for verdict in record["verdicts"]]
    (2, ['d-won'])
    """

    def __init__(
        self, objective: str, metrics: Sequence[Mapping[str, Any]] = (), records: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.objective = objective
        norms: list[Any] = [record.get("generator_gradient_norm") for record in metrics]
        self.largest_norm = max((float(norm) for norm in norms if is_number(norm)), default=0.0)
        self.given: list[Record] = list(records[-1]["verdicts"]) if records else []
        self.epoch: int = records[-1]["epoch"] if records else 0
        measured = [record for record in records if "rows" in record["measures"]]
        self._of_game = self._kept(measured[-1]["verdicts"] if measured else [])

    def after(self, record: Mapping[str, Any], game: Measures | None = None) -> Record | None:
        """Diagnose the game after an epoch.

        Parameters
        ----------
        record : mapping
            Of the epoch, as in ``metrics.jsonl``.
        game : mapping of str to float, optional
            The measures of the whole game, if they were made.

        Returns
        -------
        dict or None
            The record to write, ``{"epoch", "verdicts", "measures"}``; None if the names of the verdicts have not
            changed and the whole game was not measured.
        """
        measures = epoch_measures(record, self.objective, self.largest_norm)
        self.largest_norm = max(self.largest_norm, measures.get("generator_gradient_norm", 0.0))
        names = names_of(self.given)
        if game is not None:
            measures = {**measures, **game}
            verdicts = [verdict.as_dict() for verdict in judge(measures, names)]
            self._of_game = self._kept(verdicts)
        else:
            verdicts = [verdict.as_dict() for verdict in apply_rules(EPOCH_RULES, measures, names)]
            lost = _WITHOUT_FAULT if verdicts else set()
            verdicts += [verdict for verdict in self._of_game if verdict["name"] not in lost]
        self.given = verdicts
        if game is None and names_of(verdicts) == names:
            return None
        self.epoch = record["epoch"]
        return {"epoch": self.epoch, "verdicts": verdicts, "measures": measures}

    @staticmethod
    def _kept(verdicts: Sequence[Record]) -> list[Record]:
        return [verdict for verdict in verdicts if verdict["name"] not in _OF_AN_EPOCH]


def names_of(verdicts: Collection[Mapping[str, Any]]) -> list[str]:
    """Return the names of verdicts, in their order."""
    return [verdict["name"] for verdict in verdicts]
