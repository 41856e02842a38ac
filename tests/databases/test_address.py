"""Where a database is: found in the environment or a file, never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip(
    "sqlalchemy", reason="databases are reached through SQLAlchemy: pip install 'quantgate[logs]'"
)

from quantgate.databases.address import Address, find_address
from quantgate.databases.failure import why_failed

SECRET = "postgresql://secret-user:secret-password@secret-host:5433/secret_database"


def find(given: str, *, is_private: bool = False) -> Address:
    return find_address(given, extra="logs", is_private=is_private)


def test_it_comes_from_a_variable_a_file_or_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_DB", SECRET)
    (tmp_path / "fleet.url").write_text(f"{SECRET}\n")
    found = [find("env:FLEET_DB"), find(f"@{tmp_path}/fleet.url"), find(SECRET, is_private=True)]

    assert {address.url.render_as_string(hide_password=False) for address in found} == {
        SECRET.replace("postgresql:", "postgresql+psycopg:")
    }
    assert [address.variable for address in found] == ["FLEET_DB", None, None]


def test_what_prints_it_shows_nothing_of_it() -> None:
    address = find(SECRET, is_private=True)

    assert f"{address} {address!r} {[address]} {vars(address).keys()}".count("secret") == 0


def test_a_database_is_known_by_a_digest_that_survives_its_password() -> None:
    one, other = find(SECRET, is_private=True), find(SECRET.replace("-password", "-pass"), is_private=True)

    assert one.digest == other.digest
    assert len(one.digest) == 16
    assert one.digest != find(SECRET.replace("5433", "5434"), is_private=True).digest


def test_a_file_of_sqlite_is_the_same_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert find("sqlite:///fleet.db") == find(f"sqlite:///{tmp_path}/fleet.db")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (SECRET, "a password on the command line is seen by everybody on this machine, and one in an ini file by all "
         "who read it; put the address into the environment (env:FLEET_DB) or a file (@fleet.url)"),
        ("postgresql://h/x?password=secret", "a password on the command line is seen by everybody on this machine, "
         "and one in an ini file by all who read it; put the address into the environment (env:FLEET_DB) or a file "
         "(@fleet.url)"),
        ("sqlite://", "a SQLite in memory keeps nothing; name a file: sqlite:///fleet.db"),
        ("sqlite:///:memory:", "a SQLite in memory keeps nothing; name a file: sqlite:///fleet.db"),
        ("fleet.db", "that is no address of a database; such as postgresql://reader@host/fleet or sqlite:///fleet.db"),
        ("mysql://secret-host/x", "only postgresql and sqlite are known"),
        ("@/dev/zero", "the file '/dev/zero' has more than 10,000 characters, which is no address"),
        ("@\0", "the file '\\x00' cannot be read (ValueError)"),
    ],
)  # fmt: skip
def test_what_is_no_address_is_said_without_it(given: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        find(given)

    assert str(caught.value) == message


def test_a_failure_is_said_in_words_of_our_own() -> None:
    assert why_failed(OSError("FATAL: password authentication failed for user secret")) == (
        "it refused the user or the password"
    )
    assert why_failed(OSError("secret things")) == (
        "OSError; what its driver says is not shown, as it may hold the address"
    )
