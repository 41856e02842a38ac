"""The shards of a matrix: what they hold, and how long they take."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.plan.costs import control_cost, cost, negative_cost
from quantgate.plan.matrix import config_of, plan
from quantgate.plan.settings import Settings
from quantgate.plan.shards import duration, makespan, split, take_shard
from quantgate.records.cell import Cell
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS
from tests.benchmarks.costs import Key, key_of, recorded, simulations, wanted
from tests.plan.test_matrix import CELLS

SECONDS = Path(__file__).with_name("seconds.csv")


@pytest.fixture(scope="module")
def seconds() -> dict[Key, float]:
    return recorded(SECONDS)


@given(st.lists(CELLS, unique=True, max_size=60), st.integers(1, 9))
def test_shards_are_a_partition(cells: list[Cell], parts: int) -> None:
    shards = [take_shard(cells, (k, parts)) for k in range(1, parts + 1)]

    assert Counter(cell for shard in shards for cell in shard) == Counter(cells)
    assert all(sorted(shard, key=cells.index) == list(shard) for shard in shards)


@given(st.lists(CELLS, unique=True, min_size=1, max_size=60), st.integers(1, 9))
def test_more_shards_take_no_longer(cells: list[Cell], parts: int) -> None:
    assert makespan(split(cells, parts + 1)) <= makespan(split(cells, parts)) * 1.0001 + max(
        negative_cost(cell.control) for cell in cells
    )


def test_without_a_shard_all_cells_run_in_their_order() -> None:
    cells = plan(Settings(), Registry())

    assert take_shard(cells, None) == take_shard(cells, (1, 1)) == cells


def test_the_long_matrix_is_cut_by_what_its_steps_cost() -> None:
    settings = Settings(matrix="long")
    cells, steps = plan(settings, Registry()), config_of(settings).steps
    halves = split(cells, 2, steps)

    assert sum(map(len, halves)) == len(cells)
    assert makespan(halves, steps) <= 1.1 * (duration(cells, steps) + duration(cells[:1], steps)) / 2
    assert 20 < cost(cells[0], steps) / 1000 < 60
    assert cost(cells[0], steps) > 15 * cost(cells[0])


def test_the_cells_of_a_shard_share_their_controls() -> None:
    cells = plan(Settings(matrix="nightly"), Registry())
    controls = [{cell.control for cell in shard} for shard in split(cells, 8)]

    assert sum(map(len, controls)) <= len({cell.control for cell in cells}) + 2 * 7


def test_a_shard_beyond_the_last_is_empty() -> None:
    cells = plan(Settings(formats=("int4",), optimizers=("sgd",)), Registry())

    assert take_shard(cells, (1, 3)) == cells
    assert take_shard(cells, (2, 3)) == take_shard(cells, (3, 3)) == ()


def test_a_shards_controls_count() -> None:
    adamw, muon = Cell("int8", "format", "adamw", 47), Cell("int8", "format", "muon", 47)
    each = cost(adamw) + control_cost(adamw.control) + negative_cost(adamw.control)

    assert duration([adamw]) == each
    assert duration([adamw, muon]) == each + cost(muon) + control_cost(muon.control)


def test_shards_are_the_same_in_every_process() -> None:
    code = (
        "from quantgate.plan.matrix import plan; from quantgate.plan.settings import Settings; "
        "from quantgate.plan.shards import split; from quantgate.subjects.registry import Registry; "
        "print([[cell.id for cell in part] for part in split(plan(Settings(matrix='nightly'), Registry()), 7)])"
    )
    said = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
        )
        said.add(done.stdout)

    assert len(said) == 1


# beside what was recorded


def test_every_cell_of_the_nightly_matrix_was_recorded(seconds: dict[Key, float]) -> None:
    assert seconds.keys() == {key_of(cell, steps) for cell, steps in wanted()}


def test_recorded_shards_take_at_most_a_tenth_longer_than_longest_first(seconds: dict[Key, float]) -> None:
    found = simulations(seconds)

    assert {name: [each.n for each in all] for name, all in found.items()} == {
        "pr": [2, 8, 64],
        "nightly": [2, 8, 64],
    }
    assert [each for all in found.values() for each in all if each.makespan > 1.1 * each.greedy] == []
    # Nor beside a bound that shares all controls but one a shard, where shards hold more than some thirty cells.
    assert [each for each in found["nightly"] if each.n < 64 and each.makespan > 1.1 * each.ideal] == []


def test_costs_are_what_was_recorded(seconds: dict[Key, float]) -> None:
    cells = [(cell, steps) for cell, steps in wanted() if cell.kind == "format"]
    off = sorted(seconds[key_of(cell, steps)] / (cost(cell, steps) / 1e3) for cell, steps in cells)

    assert 0.95 < off[len(off) // 2] < 1.05
    assert off[len(off) // 20] > 0.8
    assert off[-len(off) // 20] < 1.25


def test_wide_and_long_cells_and_muons_cost_more() -> None:
    narrow = Cell("int4", "format", "adamw", 47)

    assert (
        cost(narrow)
        < cost(Cell("int4", "format", "muon", 47))
        < cost(Cell("int4", "format", "adamw", 47, 128))
    )
    assert cost(narrow, 1000) > 8 * cost(narrow)
    assert cost(Cell("int4", "format", "adamw", 47, 32)) < cost(narrow)
    assert all(
        cost(Cell("int4", "format", name, 47, width)) > 0 for name in OPTIMIZERS for width in (16, 512)
    )


def test_what_was_not_measured_costs_what_is_usual() -> None:
    usual = cost(Cell("bf16", "format", "adamw", 47))

    assert cost(Cell("mine", "format", "sophia", 47)) == cost(Cell("theirs", "recipe", "adamw", 47)) == usual
    assert control_cost(Cell("fp32", "control", "sophia", 47)) < usual
