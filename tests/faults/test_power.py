"""The trials of the power table, and the pool that runs them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quantgate.faults import FAULTS, Setup, power, tally
from quantgate.formats import BUILTIN


def test_trials_are_every_combination() -> None:
    chosen = power.trials(optimizers=("sgd", "muon"), seeds=(1, 2), widths=(16,), corpora=("a", "b"))

    assert len(set(chosen)) == len(chosen) == 8 * (2 * len(FAULTS) + len(BUILTIN))
    assert {trial.role for trial in chosen} == {"broken", "twin", "healthy"}
    assert [trial.cause for trial in power.trials(only=("int8_in_place", "int8"), optimizers=("sgd",))] == [
        "update-swallowed", None, None,
    ]  # fmt: skip


def test_a_subject_is_tried_with_the_optimizers_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Setup(BUILTIN["int8"], takes=frozenset({"sgd"}))
    monkeypatch.setattr(power, "load_library", lambda path: {"added": added})
    chosen = power.trials(libraries=("any:thing",), optimizers=("adamw", "sgd", "lion"))

    assert [trial.optimizer for trial in chosen] == ["sgd"]


def test_what_is_too_coarse_to_learn_is_no_false_alarm() -> None:
    trial = power.Trial("int4", "healthy", "sgd", 47, 64, "builtin", power.LIBRARIES[1])
    coarse = power.Outcome(trial, "dead", "resolution", None, (), (), 6.95, 1.8, 1.0)
    (row,) = tally.tabulate([coarse, replace(coarse, cause="sign-lost")]).healthy

    assert (row.cells, row.flagged, row.coarse, row.wrong) == (2, 1, 1, 1)


@pytest.mark.slow
def test_a_pool_gives_what_this_process_gives() -> None:
    chosen = power.trials(only=("int8",), optimizers=("sgd",), widths=(16,), steps=2)
    pooled = {each.trial: each for each in power.run(chosen, 1)}

    assert set(pooled) == set(chosen)
    here, there = power.run_trial(chosen[0]), pooled[chosen[0]]
    assert replace(here, seconds=0) == replace(there, seconds=0)
