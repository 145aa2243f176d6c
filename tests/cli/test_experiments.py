from __future__ import annotations

from tinygan.config.experiment import shipped_experiments


def test_each_shipped_experiment_has_a_line(tinygan):
    answer = tinygan("experiments")
    assert answer.status == 0
    lines = answer.out.splitlines()
    assert len(lines) == len(shipped_experiments())
    for line, config in zip(lines, shipped_experiments(), strict=True):
        name, description = line.split(maxsplit=1)
        assert (name, description) == (config.name, config.description)
    starts = {line.index(config.description) for line, config in zip(lines, shipped_experiments(), strict=True)}
    assert len(starts) == 1  # in columns
    assert answer.err == ""
