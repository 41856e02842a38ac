"""The trials of the power table, and the pool that runs them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.faults import FAULTS, power
from quantgate.formats import BUILTIN


def test_trials_are_every_combination() -> None:
    chosen = power.trials(optimizers=("sgd", "muon"), seeds=(1, 2), widths=(16,), corpora=("a", "b"))

    assert len(set(chosen)) == len(chosen) == 8 * (2 * len(FAULTS) + len(BUILTIN))
    assert {trial.role for trial in chosen} == {"broken", "twin", "healthy"}
    assert [trial.cause for trial in power.trials(only=("int8_in_place", "int8"), optimizers=("sgd",))] == [
        "update-swallowed", None, None,
    ]  # fmt: skip


@pytest.mark.slow
def test_a_pool_gives_what_this_process_gives() -> None:
    chosen = power.trials(only=("int8",), optimizers=("sgd",), widths=(16,), steps=2)
    pooled = {each.trial: each for each in power.run(chosen, 1)}

    assert set(pooled) == set(chosen)
    here, there = power.run_trial(chosen[0]), pooled[chosen[0]]
    assert replace(here, seconds=0) == replace(there, seconds=0)
