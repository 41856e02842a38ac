"""The options: three spellings, their precedence, and the message of every bad value."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from quantgate.plan.matrices import LONG
from quantgate.plan.matrix import config_of
from quantgate.plan.settings import Settings
from quantgate.plugin.options import OPTIONS, Option, OptionError, override, read_settings
from quantgate.records.verdict import Limits

BY_NAME = {option.name: option for option in OPTIONS}


class FakeConfig:
    """As much of `pytest.Config` as options read."""

    def __init__(self, flags: dict[str, Any] | None = None, ini: dict[str, Any] | None = None) -> None:
        self.flags = flags or {}
        self.ini = ini or {}

    def getoption(self, name: str, default: object = None) -> object:
        return self.flags.get(name, default)

    def getini(self, name: str) -> object:
        return self.ini.get(name)


def settings(flags: dict[str, Any] | None = None, ini: dict[str, Any] | None = None) -> Settings:
    return read_settings(cast(pytest.Config, FakeConfig(flags, ini)))


def refused(name: str, text: str) -> str:
    with pytest.raises(OptionError) as caught:
        BY_NAME[name].read(text, "value")
    return str(caught.value).removeprefix("invalid value: ")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.environment, raising=False)


# spellings and precedence


def test_each_option_has_three_spellings() -> None:
    option = BY_NAME["known-failures"]

    assert (option.flag, option.dest, option.environment) == (
        "--quantgate-known-failures", "quantgate_known_failures", "QUANTGATE_KNOWN_FAILURES",
    )  # fmt: skip


def test_every_option_is_a_setting() -> None:
    assert {option.field for option in OPTIONS} <= set(Settings.__dataclass_fields__)


def test_nothing_given_is_the_defaults() -> None:
    assert settings() == Settings()


def test_the_command_line_outranks_the_environment_and_that_the_ini_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ini = {"quantgate_steps": "10"}
    assert settings(ini=ini).steps == 10

    monkeypatch.setenv("QUANTGATE_STEPS", "20")
    assert settings(ini=ini).steps == 20

    assert settings({"quantgate_steps": "30"}, ini).steps == 30


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTGATE_STEPS", "")

    assert settings() == Settings()


def test_what_was_given_is_known_even_where_it_is_the_default() -> None:
    assert settings({"quantgate_steps": "100"}).given == {"steps"}


def test_errors_name_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "'x' is not a number of steps (a whole number of at least 1)"

    with pytest.raises(OptionError) as caught:
        settings(ini={"quantgate_steps": "x"})
    assert str(caught.value) == f"invalid quantgate_steps from ini: {said}"

    monkeypatch.setenv("QUANTGATE_STEPS", "x")
    with pytest.raises(OptionError) as caught:
        settings()
    assert str(caught.value) == f"invalid QUANTGATE_STEPS from the environment: {said}"

    with pytest.raises(OptionError) as caught:
        settings({"quantgate_steps": "x"})
    assert str(caught.value) == f"invalid --quantgate-steps from the command line: {said}"


# values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("formats", "int4, nf4 ,int4,", ("int4", "nf4")),
        ("formats", "mylib.quant:int4@4", ("mylib.quant:int4@4",)),
        ("optimizers", "adamw", ("adamw",)),
        ("seeds", "0,89", (0, 89)),
        ("widths", "16,32,128", (16, 32, 128)),
        ("steps", " 7 ", 7),
        ("lr", "1e-3", 1e-3),
        ("storage", "inplace", "inplace"),
        ("scope", "weights+activations", "weights+activations"),
        ("device", "cuda:1", "cuda:1"),
        ("fail-bpb", "6.25", 6.25),
        ("dead-bpb", "7", 7.0),
        ("corpus", "a b/c.txt", "a b/c.txt"),
        ("matrix", "nightly", "nightly"),
        ("shard", "2/8", (2, 8)),
        ("report", "out/x", Path("out/x")),
        ("known-failures", "known.toml", Path("known.toml")),
        ("min-cells", "0", 0),
    ],
)
def test_values_are_read(name: str, text: str, value: object) -> None:
    assert BY_NAME[name].read(text, "value") == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("formats", " , ", "an empty list; give names separated by commas"),
        ("seeds", "-1", "'-1' is not a seed (a whole number of at least 0)"),
        ("seeds", "1.5", "'1.5' is not a seed (a whole number of at least 0)"),
        ("seeds", "9" * 19, f"'{'9' * 19}' is not a seed (a whole number of at least 0)"),
        ("seeds", "47,42", "seed 42: the fleet forbids 42 to 45; its own are 47, 89, 123, 144"),
        ("seeds", "45", "seed 45: the fleet forbids 42 to 45; its own are 47, 89, 123, 144"),
        ("widths", "8", "'8' is not a width (a whole number of at least 16)"),
        ("widths", "48", "width 48: attention needs 16 or a multiple of 32"),
        ("steps", "0", "'0' is not a number of steps (a whole number of at least 1)"),
        ("lr", "0", "'0' is not a positive number"),
        ("lr", "nan", "'nan' is not a positive number"),
        ("lr", "inf", "'inf' is not a positive number"),
        ("lr", "fast", "'fast' is not a positive number"),
        ("storage", "in-place", "'in-place' is none of master, inplace"),
        ("scope", "all", "'all' is none of weights, weights+activations"),
        ("device", "cuda:", "'cuda:' is not a torch device; cpu, cuda and cuda:1 are"),
        ("fail-bpb", "-6", "'-6' is not a positive number"),
        ("corpus", " ", "an empty value"),
        ("matrix", "weekly", "'weekly' is none of pr, nightly, long"),
        ("shard", "0/8", "'0/8' is not a shard; write 2/8 for the second of eight, or auto"),
        ("shard", "9/8", "'9/8' is not a shard; write 2/8 for the second of eight, or auto"),
        ("shard", "2", "'2' is not a shard; write 2/8 for the second of eight, or auto"),
        ("report", "", "an empty value"),
        ("min-cells", "-1", "'-1' is not a number of cells (a whole number of at least 0)"),
    ],
)
def test_bad_values_are_refused(name: str, text: str, message: str) -> None:
    assert refused(name, text) == message


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_help_stands_alone(option: Option) -> None:
    assert option.help
    assert option.metavar.isupper() or option.metavar == "K/N"


# limits


def test_a_dead_line_below_the_failing_one_is_refused() -> None:
    with pytest.raises(OptionError) as caught:
        settings({"quantgate_fail_bpb": "6.5", "quantgate_dead_bpb": "6.4"})

    assert str(caught.value) == (
        "invalid limits: dead-bpb 6.4 lies below fail-bpb 6.5; a dead cell must fail"
    )


def test_a_failing_line_above_the_default_dead_one_takes_it_along() -> None:
    found = settings({"quantgate_fail_bpb": "7.5"})

    assert config_of(found).limits == Limits(7.5, 7.5)


# the long lane


@pytest.mark.parametrize(("name", "value"), [("steps", "9"), ("widths", "64"), ("corpus", "builtin")])
def test_the_line_of_the_long_lane_is_for_its_own_steps_width_and_text(name: str, value: str) -> None:
    flags = {"quantgate_matrix": "long", f"quantgate_{name}": value}
    with pytest.raises(OptionError) as caught:
        settings(flags)

    assert str(caught.value) == (
        f"{name} with the matrix long: its line of 3.00 BPB is for 2,000 steps at width 128 on tinyshakespeare; "
        "say with fail-bpb which line holds instead"
    )
    assert config_of(settings({**flags, "quantgate_fail_bpb": "4"})).limits == Limits(4.0, 6.9)


def test_what_the_long_lane_has_anyway_may_be_said() -> None:
    flags = {"matrix": "long", "steps": "2000", "widths": "128", "corpus": "tinyshakespeare"}

    assert config_of(settings({f"quantgate_{name}": value for name, value in flags.items()})) == LONG


def test_a_marker_moves_the_long_lane_no_more_than_an_option() -> None:
    with pytest.raises(OptionError, match="widths with the matrix long"):
        override(settings({"quantgate_matrix": "long"}), {"widths": 64}, "the marker")


def test_a_dead_line_is_held_against_the_lanes_own_failing_one() -> None:
    assert settings({"quantgate_matrix": "long", "quantgate_dead_bpb": "5"}).dead_bpb == 5.0
    with pytest.raises(OptionError, match=r"dead-bpb 2\.9 lies below fail-bpb 3;"):
        settings({"quantgate_matrix": "long", "quantgate_dead_bpb": "2.9"})


# markers


def test_a_marker_overrides_what_belongs_to_a_cell() -> None:
    found = override(
        Settings(steps=5), {"formats": ["int4", "nf4"], "seeds": 89, "scope": "weights"}, "the marker"
    )

    assert (found.formats, found.seeds, found.steps) == (("int4", "nf4"), (89,), 5)
    assert found.given == {"formats", "seeds", "scope"}


@pytest.mark.parametrize("name", ["steps", "report", "frmats"])
def test_a_marker_sets_nothing_else(name: str) -> None:
    with pytest.raises(OptionError) as caught:
        override(Settings(), {name: 1}, "the marker")

    assert str(caught.value) == (
        f"the marker: {name!r} cannot be set here; "
        "what can is formats, optimizers, seeds, widths, storage, scope"
    )


def test_a_markers_bad_value_names_the_marker() -> None:
    with pytest.raises(OptionError) as caught:
        override(Settings(), {"widths": [48]}, "the marker")

    assert str(caught.value) == (
        "invalid widths from the marker: width 48: attention needs 16 or a multiple of 32"
    )
