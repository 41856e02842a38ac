"""The published schema: it takes the records that there are, refuses others, and is in step with the classes."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

from quantgate.records.cell import Kind
from quantgate.records.result import CellResult
from quantgate.records.run import RunRecord
from quantgate.records.schema import schema
from quantgate.records.verdict import Verdict
from tests.examples import hostile_results, learning, make_result

jsonschema = pytest.importorskip("jsonschema", reason="validates records: pip install 'quantgate[test]'")
CELL, RUN = (schema()["$defs"][name] for name in ("cell", "run"))


def is_valid(record: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(record))


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("result", [make_result(), learning(), *hostile_results()[:3]])
def test_it_takes_the_record_of_a_cell(result: CellResult) -> None:
    assert is_valid(json.loads(json.dumps(result.to_record())))


def test_it_takes_the_record_of_the_long_lane() -> None:
    long = make_result(lane="long", provenance="0" * 64)

    assert is_valid(long.to_record())
    assert not is_valid(make_result(provenance="mine").to_record())
    assert CellResult.from_record(long.to_record()) == long


def test_it_takes_a_baseline() -> None:
    base = {
        "bpb": 5.1, "verdict": "learns", "cause": None, "curve": [[0, 7.0], [100, None]], "change": "regressed",
        "tolerance": 0.005, "lane": "portable", "because": "7.00 BPB, the base 5.10",
    }  # fmt: skip

    assert is_valid(make_result(baseline=base).to_record())
    assert not is_valid(make_result(baseline={**base, "change": "worse"}).to_record())


def test_it_takes_the_record_of_a_run() -> None:
    assert is_valid(RunRecord().to_record())
    assert is_valid(
        RunRecord(state="finished", exit_status=70, known={"a": {"reason": "b", "cause": "c"}}).to_record()
    )
    assert is_valid({"state": "unfinished", "running": "int4-adamw-s47"})
    assert is_valid({"kind": "run", "exit_status": 1, "left_out": {"int4-adamw-s47": "skipped"}})
    assert not is_valid({"kind": "run"})


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "fine"},
        {"kind": "fleet"},
        {"curve": [[0, 7.0, 1]]},
        {"curve": [["0", 7.0]]},
        {"curve": [[0]]},
        {"seed": 47.5},
        {"bpb": "7.0"},
        {"evidence": []},
        {"source": "quant.py"},
    ],
)
def test_it_refuses_what_is_no_record(change: dict[str, Any]) -> None:
    assert not is_valid(make_result().to_record() | change)


@pytest.mark.parametrize("name", CELL["required"])
def test_it_refuses_a_record_that_lacks_a_key(name: str) -> None:
    record = make_result().to_record()
    del record[name]

    assert not is_valid(record)


@pytest.mark.parametrize(("kind", "part"), [(CellResult, CELL), (RunRecord, RUN)])
def test_it_has_the_fields_of_the_class_and_describes_each(kind: type, part: dict[str, Any]) -> None:
    names = [each.name for each in fields(kind)]

    assert [name for name in part["properties"] if name != "running"] == names
    assert [name for name, said in part["properties"].items() if not said.get("description")] == []


def test_it_requires_the_fields_without_a_default() -> None:
    assert CELL["required"] == [
        f.name for f in fields(CellResult) if f.default is f.default_factory is MISSING
    ]


@pytest.mark.parametrize(("kind", "part"), [(CellResult, CELL), (RunRecord, RUN)])
def test_its_types_are_those_of_the_class(kind: type, part: dict[str, Any]) -> None:
    for name, hint in get_type_hints(kind).items():
        said = part["properties"][name]
        if "enum" in said:
            choices = get_args(Kind) if name == "kind" else get_args(hint) or tuple(Verdict)
            assert set(said["enum"]) == set(choices), name
        else:
            types = said["type"] if isinstance(said["type"], list) else [said["type"]]
            assert set(types) == json_types(hint), name


def json_types(hint: Any) -> set[str]:
    if get_origin(hint) is UnionType:
        return {name for each in get_args(hint) for name in json_types(each)}
    if get_origin(hint) is Literal:
        return {"string"}
    names = {str: "string", int: "integer", float: "number", type(None): "null", tuple: "array"}
    return {names.get(get_origin(hint) or hint, "object")}
