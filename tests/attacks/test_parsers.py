"""Whatever is written in an option, a file of known failures, a name or a record: a clear error or a value."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from quantgate.plan.known_failures import KnownFailuresError, load
from quantgate.plan.matrix import parse_id
from quantgate.plugin.options import OPTIONS, Option, OptionError
from quantgate.records.cell import Cell
from quantgate.records.result import CellResult, to_line
from quantgate.records.verdict import DEFAULT_LIMITS
from quantgate.reports.blocks.failing import failures
from quantgate.reports.blocks.table import table
from quantgate.reports.terminal import remarks
from quantgate.subjects.names import NAME, RegistrationError, UnknownNameError, unknown
from quantgate.subjects.paths import resolve
from quantgate.subjects.registry import Registry
from tests.examples import make_result

CELL = Cell("int4", "format", "adamw", 47)
TEXTS = st.one_of(
    st.text(),
    st.text("0123456789./-+,e x\0\n"),
    st.text("４７,\u0660\u00b2 \ud800"),
    st.sampled_from(["1e999", "-0", "0" * 5000, "9" * 30, "nan", "1/0", "cuda:99999999999"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted(make_result().to_record())


def refusal(call: Callable[[], object], kind: type[Exception]) -> str | None:
    """What the call is refused with; None where it is not. Any other exception is a traceback in somebody's face."""
    try:
        call()
    except kind as error:
        return str(error)
    return None


def used(result: CellResult) -> None:
    """Do with a result what its readers do."""
    assert json.loads(to_line(result))["verdict"] == str(result.verdict)
    assert result.cell.id
    assert result.message()
    table([result], [], DEFAULT_LIMITS)
    failures([result])
    remarks([result])


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
@given(text=TEXTS)
def test_an_option_is_read_or_refused_with_its_source(option: Option, text: str) -> None:
    source = f"{option.flag} from the command line"
    message = refusal(lambda: option.read(text, source), OptionError)

    assert message is None or message.startswith(f"invalid {source}: ")


TOML = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.builds(
        lambda name, reason, cause: (
            f"[{json.dumps(name)}]\nreason = {json.dumps(reason)}\ncause = {json.dumps(cause)}\n".encode()
        ),
        st.sampled_from([CELL.id, "int4-adamw-s48", ""]) | st.text(max_size=8),
        JSON,
        st.sampled_from(["no-op", "resolution"]) | JSON,
    ),
    st.integers(1, 20_000).map(lambda depth: b"a = " + b"[" * depth),
)


@given(text=TOML)
@example(text=b'["int4-adamw-s47"]\nreason = "issue 12"\ncause = "resolution"\n')
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_file_of_known_failures_is_read_or_refused_with_its_path(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "known.toml"
    path.write_bytes(text)
    message = refusal(lambda: load(path, [CELL], Registry()), KnownFailuresError)

    assert message is None or message.startswith(f"known failures {str(path)!r}")


@given(name=st.text() | st.text("aZ0_.:@+", max_size=200))
@example(name="::error::pwn")
@example(name="a" * 129)
def test_a_name_is_registered_or_refused(name: str) -> None:
    registry = Registry()
    message = refusal(lambda: registry.register_format(name, abs, bits=4), RegistrationError)

    assert registry.registered() == ((name,) if message is None else ())
    assert message.startswith("subject ") if message is not None else NAME.fullmatch(name)


@given(name=st.text())
def test_an_unknown_name_gets_a_sentence(name: str) -> None:
    assert unknown("format", name, ("int4", "nf4")).startswith(f"unknown format {name!r}; ")


#: No letters: a path must not import what happens to be installed.
@given(path=st.text(".:@_-/[] \0\n1é"))
def test_a_path_that_leads_nowhere_is_said(path: str) -> None:
    assert (refusal(lambda: resolve(path), UnknownNameError) or "it leads somewhere").startswith(repr(path))


@given(text=st.text())
def test_a_test_id_names_a_cell_or_none(text: str) -> None:
    found = parse_id(text, Registry())

    assert found is None or isinstance(found, Cell)


@given(
    changes=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4),
    gone=st.sets(st.sampled_from(FIELDS), max_size=2),
)
@example(changes={"curve": [[0, "x"]]}, gone=set())
@example(changes={"evidence": []}, gone=set())
def test_a_record_is_read_or_refused(changes: dict[str, object], gone: set[str]) -> None:
    record = {**make_result().to_record(), **changes}
    left = {name: value for name, value in record.items() if name not in gone}
    message = refusal(lambda: used(CellResult.from_record(left)), ValueError)

    assert message is None or message.startswith("not a result record: ")


@given(record=JSON)
def test_nor_is_anything_else_a_record(record: object) -> None:
    with pytest.raises(ValueError, match=r"^not a result record: "):
        CellResult.from_record(record)  # type: ignore[arg-type]
