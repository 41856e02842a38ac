"""Which cells a run holds, their ids and their order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.formats import BUILTIN
from quantgate.plan.costs import cost
from quantgate.plan.matrices import LONG, PR_FORMATS, PR_OPTIMIZERS
from quantgate.plan.matrix import IN_PLACE_BITS, PlanError, config_of, parse_id, plan, shared_settings
from quantgate.plan.order import deal
from quantgate.plan.settings import Settings
from quantgate.records.cell import DEFAULT_WIDTH, SEEDS, Cell
from quantgate.records.schedule import Schedule
from quantgate.records.verdict import Limits
from quantgate.subjects.names import UnknownNameError
from quantgate.subjects.registry import Registry
from quantgate.training.optimizers import OPTIMIZERS

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:@+]{0,11}", fullmatch=True)
CELLS = st.builds(
    Cell,
    subject=st.one_of(st.sampled_from(sorted(BUILTIN)), NAMES),
    kind=st.just("format"),
    optimizer=st.one_of(st.sampled_from(sorted(OPTIMIZERS)), NAMES),
    seed=st.integers(0, 10**9),
    width=st.sampled_from([16, 32, 64, 128, 256]),
    storage=st.sampled_from(["master", "inplace"]),
    scope=st.sampled_from(["weights", "weights+activations"]),
    lane=st.sampled_from([None, "long"]),
)


def same(x: object) -> object:
    return x


# the matrices


def test_the_pr_matrix_is_18_formats_by_3_optimizers() -> None:
    cells = plan(Settings(), Registry())

    assert len(cells) == len(set(cells)) == 54
    assert tuple(dict.fromkeys(cell.subject for cell in cells)) == PR_FORMATS
    assert len(PR_FORMATS) == 18
    assert tuple(dict.fromkeys(cell.optimizer for cell in cells)) == PR_OPTIMIZERS == ("adamw", "muon", "sgd")
    assert {(c.kind, c.seed, c.width, c.storage, c.scope) for c in cells} == {
        ("format", 47, 64, "master", "weights")
    }


def test_the_pr_matrix_holds_the_incidents_formats() -> None:
    incident = {
        "int4",
        "int8",
        "uint8",
        "posit8",
        "nf4",
        "mxfp8",
        "gf4",
        "gf8",
        "gf32",
        "fp16",
        "posit16",
        "gf256",
    }

    assert incident <= set(PR_FORMATS)


def test_the_nightly_matrix_is_every_format_optimizer_seed_and_width() -> None:
    cells = plan(Settings(matrix="nightly"), Registry())
    in_place = [cell for cell in cells if cell.storage == "inplace"]
    wide = [name for name, each in BUILTIN.items() if (each.bits or 0) >= IN_PLACE_BITS and name != "bf16"]

    assert len(cells) == len(set(cells)) == (len(BUILTIN) + len(wide)) * len(OPTIMIZERS) * 3 * 2
    assert {cell.subject for cell in cells} == set(BUILTIN)
    assert {cell.optimizer for cell in cells} == set(OPTIMIZERS)
    assert {cell.seed for cell in cells} == {47, 89, 123}
    assert {cell.width for cell in cells} == {64, 128}
    assert {cell.subject for cell in in_place} == set(wide)


def test_the_long_matrix_is_every_format_of_8_bits_and_less() -> None:
    settings = Settings(matrix="long")
    cells = plan(settings, Registry())
    few = [name for name, each in BUILTIN.items() if each.bits is not None and each.bits <= 8]

    assert len(cells) == len(set(cells)) == 20 * 2
    assert list(dict.fromkeys(cell.subject for cell in cells)) == few
    assert {cell.optimizer for cell in cells} == {"adamw", "muon"}
    assert {(c.seed, c.width, c.storage, c.scope, c.lane) for c in cells} == {
        (47, 128, "master", "weights", "long")
    }
    assert cells[0].id == "int4-adamw-s47-w128-long"
    assert str(cells[0]) == "int4 x adamw, width 128, long lane"
    assert cells[0].control.id == "fp32-adamw-s47-w128-long"
    assert config_of(settings) == LONG
    assert (LONG.steps, LONG.corpus, LONG.limits) == (2000, "tinyshakespeare", Limits(3.0, 6.9))
    assert LONG.schedule == Schedule(warmup=50, floor=0.05)


def test_the_long_matrix_takes_what_is_registered() -> None:
    registry = Registry()
    registry.register_format("mine", same, bits=4)  # type: ignore[arg-type]
    registry.register_optimizer("sophia", lambda model, lr: [], lr=1e-3)

    assert [c.id for c in plan(Settings(matrix="long"), registry)] == ["mine-sophia-s47-w128-long"]


def test_an_optimizer_without_a_rate_in_the_long_lane_is_refused_unless_one_is_given() -> None:
    settings = Settings(matrix="long", optimizers=("lion",), formats=("int8",))
    with pytest.raises(PlanError, match=r"^optimizer 'lion' with the matrix long: its rate is for 100 steps"):
        plan(settings, Registry())

    assert len(plan(replace(settings, lr=0.1), Registry())) == 1


def test_a_trainer_in_the_long_matrix_needs_a_line_of_its_own() -> None:
    registry = Registry()
    registry.register_trainer(
        "mine", ["train", "{format}"], formats=["int8"], optimizers=["lion"], control="fp32"
    )
    settings = Settings(matrix="long", optimizers=("lion",))
    with pytest.raises(
        PlanError, match=r"^trainer 'mine' with the matrix long: its line is for quantgate's own model"
    ):
        plan(settings, registry)

    (cell,) = plan(replace(settings, fail_bpb=4.0), registry)
    assert (cell.id, cell.control.id) == ("mine:int8-lion-s47-long", "mine:fp32-lion-s47-long")


def test_what_the_cells_of_a_run_share_is_said_whoever_chose_it() -> None:
    assert shared_settings(Settings()) == {
        "steps": 100, "lr": None, "corpus": "builtin", "device": "cpu", "fail_bpb": 6.5, "dead_bpb": 6.9,
    }  # fmt: skip
    assert shared_settings(Settings(matrix="long", lr=0.1)) == {
        "steps": 2000, "lr": 0.1, "corpus": "tinyshakespeare", "device": "cpu", "fail_bpb": 3.0, "dead_bpb": 6.9,
    }  # fmt: skip


def test_no_seed_is_one_that_the_fleet_forbids() -> None:
    assert SEEDS[0] == 47
    assert not {42, 43, 44, 45} & set(SEEDS)


def test_options_choose_the_cells() -> None:
    settings = Settings(
        formats=("int8", "mxfp8_e4m3"),
        optimizers=("lion",),
        seeds=(5, 6),
        widths=(32,),
        storage="inplace",
        scope="weights+activations",
    )

    assert [cell.id for cell in plan(settings, Registry())] == [
        "int8-lion-s5-w32-inplace-wa",
        "int8-lion-s6-w32-inplace-wa",
        "mxfp8-lion-s5-w32-inplace-wa",
        "mxfp8-lion-s6-w32-inplace-wa",
    ]


def test_a_format_named_twice_runs_once() -> None:
    settings = Settings(formats=("mxfp8", "mxfp8_e4m3"), optimizers=("sgd",))

    assert [cell.id for cell in plan(settings, Registry())] == ["mxfp8-sgd-s47"]


def test_nightly_with_a_storage_has_that_storage_alone() -> None:
    cells = plan(Settings(matrix="nightly", storage="master"), Registry())

    assert {cell.storage for cell in cells} == {"master"}


def test_what_is_registered_is_what_runs() -> None:
    registry = Registry()
    registry.register_format("mine", same, bits=4)  # type: ignore[arg-type]
    registry.register_recipe("theirs", same, bits=8)  # type: ignore[arg-type]

    cells = plan(Settings(), registry)

    assert [(cell.id, cell.kind) for cell in cells] == [
        ("mine-adamw-s47", "format"),
        ("mine-muon-s47", "format"),
        ("mine-sgd-s47", "format"),
        ("theirs-adamw-s47", "recipe"),
        ("theirs-muon-s47", "recipe"),
        ("theirs-sgd-s47", "recipe"),
    ]
    assert len(plan(Settings(formats=("int8",)), registry)) == 3


def test_a_registered_optimizer_is_what_runs() -> None:
    registry = Registry()
    registry.register_optimizer("sophia", lambda model, lr: [])

    assert [cell.id for cell in plan(Settings(formats=("int8",)), registry)] == ["int8-sophia-s47"]


@pytest.mark.parametrize("settings", [Settings(formats=("int9",)), Settings(optimizers=("adam",))])
def test_unknown_names_are_refused(settings: Settings) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        plan(settings, Registry())


# ids


IDS = {
    "int4-adamw-s47": Cell("int4", "format", "adamw", 47),
    "int4-adamw-s89-w128": Cell("int4", "format", "adamw", 89, 128),
    "int4-adamw-s47-inplace": Cell("int4", "format", "adamw", 47, storage="inplace"),
    "int4-adamw-s47-w128-long": Cell("int4", "format", "adamw", 47, 128, lane="long"),
    "int4-adamw-s47-wa": Cell("int4", "format", "adamw", 47, scope="weights+activations"),
    "fp8_e4m3-sgd-s2584-w32-inplace-wa": Cell(
        "fp8_e4m3", "format", "sgd", 2584, 32, "inplace", "weights+activations"
    ),
    "mylib.quant:int4@4-adamw-s47": Cell("mylib.quant:int4@4", "format", "adamw", 47),
}


def test_ids_are_designs() -> None:
    assert {cell.id: cell for cell in IDS.values()} == IDS
    assert {name: parse_id(name, Registry()) for name in IDS} == IDS


@given(CELLS)
def test_an_id_is_read_back(cell: Cell) -> None:
    assert parse_id(cell.id, Registry()) == cell


@given(CELLS, st.sampled_from(["test_lowbit.py::test_learns", "a-b-s1/test_x-y.py::TestA::test_b", "x"]))
def test_an_id_is_found_in_a_node_id(cell: Cell, test: str) -> None:
    registry = Registry()

    assert parse_id(f"{test}[{cell.id}]", registry) == cell
    assert parse_id(f"{test}[{cell.id}-fast]", registry) == cell
    assert parse_id(f"{test}[fast-{cell.id}]", registry) == cell


def test_a_recipes_id_is_a_recipes_cell() -> None:
    registry = Registry()
    registry.register_recipe("theirs", same, bits=8)  # type: ignore[arg-type]
    found = parse_id("tests/test_lowbit.py::test_learns[theirs-sgd-s47]", registry)

    assert found == Cell("theirs", "recipe", "sgd", 47)


@pytest.mark.parametrize(
    "text", ["", "int4", "int4-adamw", "int4-adamw-47", "test_a.py::test_b", "test_b[int4]", "-adamw-s47", "é-sgd-s4"]
)  # fmt: skip
def test_other_ids_name_no_cell(text: str) -> None:
    assert parse_id(text, Registry()) is None


# order


@given(st.lists(CELLS, max_size=60), st.integers(1, 9))
def test_dealing_is_a_permutation(cells: list[Cell], workers: int) -> None:
    assert sorted(deal(cells, workers)) == list(range(len(cells)))


def test_one_workers_cells_come_longest_first() -> None:
    cells = plan(Settings(matrix="nightly"), Registry())
    times = [cost(cell) for cell in cells]
    dealt = [times[place] for place in deal(cells, 1)]

    assert dealt == sorted(times, reverse=True)


def test_each_of_two_contiguous_halves_takes_about_half_the_time() -> None:
    cells = plan(Settings(), Registry())
    order = deal(cells, 2)
    first = sum(cost(cells[place]) for place in order[: len(order) // 2])

    assert first == pytest.approx(sum(map(cost, cells)) / 2, rel=0.02)


def test_the_config_is_the_settings() -> None:
    config = config_of(Settings(steps=7, lr=0.5, corpus="x.txt", device="cuda:1", fail_bpb=6.0, dead_bpb=6.2))

    assert (config.steps, config.lr, config.corpus, config.device) == (7, 0.5, "x.txt", "cuda:1")
    assert config.limits == Limits(6.0, 6.2)
    assert config.width == DEFAULT_WIDTH
