"""Trainers from elsewhere as they are declared: by a call or in TOML, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quantgate.records.cell import Cell
from quantgate.subjects.names import RegistrationError, UnknownNameError
from quantgate.subjects.registry import Registry
from quantgate.subjects.tables import trainers_in
from quantgate.subjects.trainers import Trainer
from tests.subjects.refusal import refused

COMMAND = ["./train", "--format={format}", "--lr", "{lr}"]


def registered(registry: Registry | None = None, **changes: Any) -> Trainer:
    given: dict[str, Any] = {
        "name": "mine", "command": COMMAND, "formats": ["int8", "int4"], "optimizers": ["adamw"], **changes,
    }  # fmt: skip
    return (registry or Registry()).register_trainer(given.pop("name"), given.pop("command"), **given)


def test_a_trainer_is_registered_with_all_its_formats() -> None:
    registry = Registry()
    made = registered(registry)

    assert registry.registered() == ("mine",)
    assert registry.trained("mine") == (made, ("mine:int8", "mine:int4"))
    assert registry.trained("mine:int4") == (made, ("mine:int4",))
    assert registry.trained("int4") is None
    assert registry.place("mine").startswith("tests/subjects/test_trainers.py:")
    assert made.folder == Path.cwd()


def test_its_negative_control_is_a_rate_of_0_where_it_takes_a_rate() -> None:
    assert registered().negative == {"lr": "0"}
    assert registered(command=["t", "{format}"]).negative == {}
    assert registered(negative={}).negative == {}
    assert registered(negative={"lr": 1e-9, "format": "broken"}).negative == {
        "lr": "1e-09",
        "format": "broken",
    }


def test_placeholders_are_replaced_once_and_other_braces_stay() -> None:
    made = registered(command=["t", "{format}{seed}", "{}", '{"a": 1}', "{{optimizer}}"])
    values = {"format": "{seed}", "seed": "47", "optimizer": "adamw"}

    assert made.arguments(values) == ["t", "{seed}47", "{}", '{"a": 1}', "{adamw}"]


def test_cells_controls_and_negative_controls_have_their_formats() -> None:
    registry = Registry()
    made = registered(registry, control="none", negative={"format": "dead"})
    cell = Cell("mine:int8", "trainer", "adamw", 47)
    negative = Cell("mine:negative", "negative-control", "adamw", 47)

    assert [made.format_of(each) for each in (cell, cell.control, negative)] == ["int8", "none", "dead"]
    assert (cell.id, cell.control.id) == ("mine:int8-adamw-s47", "mine:fp32-adamw-s47")
    assert negative.control == cell.control
    assert registry.trainer(cell.control) is made


def test_an_unknown_format_of_a_trainer_lists_the_nearest() -> None:
    registry = Registry()
    registered(registry)

    assert refused(lambda: registry.trained("mine:int9"), UnknownNameError) == (
        "unknown format of the trainer 'mine' 'int9'; did you mean 'int8' or 'int4'?"
    )
    assert refused(lambda: registry.subject("mine:int8"), UnknownNameError) == (
        "'mine:int8' is a trainer's; tests run its cells: pytest --quantgate-formats mine:int8"
    )


def test_its_name_is_taken() -> None:
    registry = Registry()
    registered(registry)

    for register in (
        lambda: registered(registry),
        lambda: registry.register_format("mine", lambda x: x),
        lambda: registry.register_format("mine:int8", lambda x: x),
        lambda: registered(registry, name="int8"),
    ):
        with pytest.raises(RegistrationError, match=r"is already registered; choose another name$"):
            register()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "a:b"}, "trainer 'a:b': a trainer's name holds no colon, which stands before its format's"),
        ({"name": "a b"}, "trainer 'a b': a name holds letters, digits and _ . : @ + only, since"),
        ({"command": "./train {format}"}, "command is './train {format}'; it must be a list of words, such as"),
        ({"command": []}, "command is []; it must be a list"),
        ({"command": ["t", 3, "{format}"]}, "command holds 3; each must be a text that is not empty"),
        ({"command": ["t\0", "{format}"]}, "command holds 't\\x00'; each must be a text"),
        ({"command": ["t"]}, "its command has no {format}, so that every cell would train the same; such as"),
        (
            {"command": ["t", "{format}", "{sead}"]},
            "unknown placeholder {sead} in its command; known are {format}, {optimizer}, {seed}, {steps}, {width}, "
            "{lr}, {corpus}, {weights}",
        ),
        ({"command": ["{format}"]}, "its program is '{format}'; a placeholder may stand in its arguments alone"),
        ({"formats": []}, "formats is []; it must be a list of words"),
        ({"formats": "int8"}, "formats is 'int8'; it must be a list of words"),
        ({"formats": ["a-b"]}, "trainer 'mine': format 'a-b': a name holds"),
        ({"formats": ["f32"]}, "'f32' is both its control and one of its formats; a format is held against"),
        (
            {"formats": ["int8", "F32"], "control": "f32"},
            "its format 'F32' is float32, which formats are held against: take it out of formats, and say control = "
            "'F32' where the trainer calls it so and not 'f32'",
        ),
        ({"formats": ["Base"], "control": "base"}, "its format 'Base' is float32, which formats are held against"),
        (
            {"command": ["t", "{format}"], "optimizers": ["adamw", "sgd"]},
            "its command has no {optimizer}, so that 'adamw' and 'sgd' would train the same; add it, or name the one "
            "that it trains with",
        ),
        ({"optimizers": ["-x"]}, "optimizer '-x': a name holds"),
        ({"optimizers": ["soap"]}, "{lr} has no value for the optimizer 'soap'; say lr = 0.001, say"),
        (
            {"granularity": "channel"},
            "trainer 'mine': int8: granularity is 'channel'; it must be 'tensor', 'row' or 'group:N' with N from 2 to "
            "9999, such as 'group:32'; did you mean 'row'?",
        ),
        ({"granularity": {"int9": "row"}}, "granularity: unknown format 'int9'; did you mean 'int8' or 'int4'?"),
        ({"lr": 0}, "lr is 0, not a positive number"),
        ({"chance": "7"}, "chance is '7', not a positive number"),
        ({"control": ""}, "control '': a name holds"),
        ({"pattern": 3}, "pattern is 3; it must be a text"),
        ({"pattern": "loss={loss}"}, "pattern 'loss={loss}' has no {step}; such as"),
        ({"pattern": "{step} {los}"}, "pattern: unknown field {los}; known are"),
        ({"negative": 3}, "negative is 3; it must be a table, such as { lr = 0 }"),
        ({"negative": {"seed": 1}}, "negative: unknown placeholder 'seed'; known are format, "),
        ({"negative": {"steps": 1}}, "negative sets steps, and the command has no {steps}"),
        ({"negative": {"lr": True}}, "negative: lr is True, neither a number nor a text"),
        ({"negative": {"lr": float("nan")}}, "negative: lr is nan, not a number"),
    ],
    ids=range(31),
)  # fmt: skip
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RegistrationError) as error:
        registered(**changes)
    assert message in str(error.value)


# TOML

TOML = """
[tool.quantgate.trainers.mine]
command = ["./train", "{format}", "{lr}"]
pattern = "nanogpt"
formats = ["int8"]
optimizers = ["adamw"]
granularity = { int8 = "row" }
negative = { lr = 0 }
"""


def test_both_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(TOML)
    (tmp_path / "quantgate.toml").write_text(TOML.replace("tool.quantgate.", "").replace("mine", "other"))
    found = trainers_in(tmp_path)

    assert [(trainer.name, place) for trainer, place in found] == [
        ("mine", "pyproject.toml"),
        ("other", "quantgate.toml"),
    ]
    assert found[0][0].pattern == "step {step}: train loss {*}, val loss {loss}"
    assert found[0][0].folder == tmp_path
    assert found[0][0].granularity == {"int8": "row"}


def test_files_without_trainers_are_none_of_ours(tmp_path: Path) -> None:
    assert trainers_in(tmp_path) == ()
    (tmp_path / "pyproject.toml").write_text("no TOML = = ")
    assert trainers_in(tmp_path) == ()


def test_a_bare_name_is_looked_up_on_the_path_and_a_path_stays_inside(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to("/bin/sh")
    (home / "pyproject.toml").write_text(TOML.replace('"./train"', '"python"'))
    assert trainers_in(home)[0][0].command[0] == "python"
    for program in ("../train", "/bin/sh", "a/../../b", "./link"):
        (home / "pyproject.toml").write_text(TOML.replace('"./train"', f'"{program}"'))
        with pytest.raises(RegistrationError) as error:
            trainers_in(home)
        assert str(error.value) == (
            f"pyproject.toml: trainer 'mine': its program {program!r} lies outside the folder of the file; name one "
            "inside, or one on the PATH by its bare name"
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[trainers\n", "quantgate.toml is not TOML: Expected ']' at the end of a table declaration"),
        ("trainers = 3", "quantgate.toml: trainers is 3; it must be tables, a trainer each"),
        ("[trainers]\nmine = 3", "quantgate.toml: trainer 'mine' is 3; it must be a table"),
        ("[trainers.mine]\nformats = []", "quantgate.toml: trainer 'mine' has no command and no optimizers"),
        ("[trainers.mine]\ncomand = []", "quantgate.toml: trainer 'mine': unknown key 'comand'; did you mean"),
        (TOML.replace("tool.quantgate.", "").replace("{lr}", "{eval}"), "unknown placeholder {eval} in its command"),
        ("#trainers\n\xff", "quantgate.toml cannot be read: it is not UTF-8"),
    ],
    ids=range(7),
)  # fmt: skip
def test_what_is_no_trainer_in_toml_is_said(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "quantgate.toml").write_bytes(text.encode("latin-1"))

    with pytest.raises(RegistrationError) as error:
        trainers_in(tmp_path)
    assert message in str(error.value)
