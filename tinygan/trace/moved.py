"""Which player moved in an update: proved by SHA-256 of the parameters before and after."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tinygan.engine import Tensor
from tinygan.gan.algorithm1 import Algorithm1
from tinygan.optim.gradients import array_norm

PLAYERS = ("generator", "discriminator")


def named_parameters(game: Algorithm1, *players: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the parameters of these players, by default of both, as ("discriminator.0.weight", parameter)."""
    for player in players or PLAYERS:
        yield from getattr(game, player).named_parameters(f"{player}.")


def hashes(game: Algorithm1) -> dict[str, str]:
    """Return the SHA-256 of all parameters of each player, one parameter after the other.

    Examples
    --------
    >>> from tinygan import gan, nn
    >>> before = hashes(gan.Algorithm1(nn.Linear(2, 3), nn.Linear(3, 1)))
    >>> list(before), len(before["generator"])
    (['generator', 'discriminator'], 64)
    """
    found = {}
    for player in PLAYERS:
        digest = hashlib.sha256()
        for _, parameter in named_parameters(game, player):
            digest.update(np.ascontiguousarray(parameter.numpy()).data)
        found[player] = digest.hexdigest()
    return found


def moved(before: dict[str, str], after: dict[str, str]) -> dict[str, Any]:
    """Return ``sha256``, the hashes of each player before and after, and ``moved``, the players that they tell apart.

    Examples
    --------
    >>> moved({"generator": "1a", "discriminator": "2b"}, {"generator": "1a", "discriminator": "3c"})["moved"]
    ['discriminator']
    """
    pairs = {player: [before[player], after[player]] for player in PLAYERS}
    return {"sha256": pairs, "moved": [player for player in PLAYERS if before[player] != after[player]]}


class Before:
    """The parameters of both players before an update.

    Parameters
    ----------
    game : Algorithm1
        Its parameters are copied.
    """

    def __init__(self, game: Algorithm1) -> None:
        self.game = game
        self.hashes = hashes(game)
        self.weights = {name: parameter.numpy().copy() for name, parameter in named_parameters(game)}

    def changes(self, *players: str) -> dict[str, Any]:
        """Return what has changed since: see `moved`; and the parameters of these players, one by one."""
        rows = []
        for name, parameter in named_parameters(self.game, *players):
            old, new = self.weights[name], parameter.numpy()
            with np.errstate(all="ignore"):  # an update beyond all bounds
                update, size = array_norm(new - old), array_norm(old)
            rows.append(
                {
                    "name": name,
                    "shape": list(new.shape),
                    "weight_norm": size,
                    "update_norm": update,
                    "ratio": update / size if size else None,
                    "moved": old.tobytes() != new.tobytes(),
                }
            )
        return {"parameters": rows} | moved(self.hashes, hashes(self.game))
