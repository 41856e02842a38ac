"""The gate's objects in one pytest process: each is made when first needed, and closed with the process."""

from __future__ import annotations

import os
import secrets
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from quantgate.plugin.names import FOLDER_INPUT, REPORTER
from quantgate.plugin.options import read_settings
from quantgate.reports.text import printable

if TYPE_CHECKING:
    from quantgate.gate.folder import RunFolder
    from quantgate.plan.settings import Settings
    from quantgate.plugin.process.stragglers import Stragglers
    from quantgate.plugin.process.sweeper import Sweeper
    from quantgate.plugin.session import GateSession
    from quantgate.subjects.trainers import Trainer

_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
_FOLDER: pytest.StashKey[RunFolder] = pytest.StashKey()
_SESSION: pytest.StashKey[GateSession] = pytest.StashKey()
_SWEEPER: pytest.StashKey[Sweeper] = pytest.StashKey()
_STRAGGLERS: pytest.StashKey[Stragglers] = pytest.StashKey()
_STDERR: pytest.StashKey[int] = pytest.StashKey()


def settings_of(config: pytest.Config) -> Settings:
    """The options of this run, read once.

    Raises:
        OptionError: A value that an option does not take; the message names the source.
    """
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = read_settings(config)
    return config.stash[_SETTINGS]


def folder_of(config: pytest.Config) -> RunFolder:
    """The shared folder of this run: named by the controller, and made by the first process that needs it."""
    if _FOLDER not in config.stash:
        from quantgate.gate.folder import RunFolder

        inputs = getattr(config, "workerinput", None)
        made_up = Path(tempfile.gettempdir()) / f"quantgate-{secrets.token_hex(8)}"
        config.stash[_FOLDER] = RunFolder(made_up if inputs is None else Path(inputs[FOLDER_INPUT]))
    return config.stash[_FOLDER]


def session_of(config: pytest.Config) -> GateSession:
    """The session of this process, made on the first call; registers what hooks and entry points offer.

    Raises:
        ValueError: An option is refused, or what a hook or an entry point registers is.
    """
    session = config.stash.get(_SESSION, None)
    if session is not None:
        return session
    from importlib.metadata import entry_points

    from quantgate.gate.loading import end_quickly
    from quantgate.plugin.session import GateSession
    from quantgate.subjects.registry import REGISTRY

    end_quickly()
    for entry_point in entry_points(group="quantgate"):
        with _named(f"the entry point {entry_point.name!r} of the group quantgate"):
            entry_point.load()(REGISTRY)
    with _named("the hook pytest_quantgate_register"):
        config.hook.pytest_quantgate_register(registry=REGISTRY)
    for trainer, place in declared_trainers(config):
        REGISTRY.keep_trainer(trainer, place)
    inputs = getattr(config, "workerinput", {})
    folder = folder_of(config)
    if not inputs:
        from quantgate.plugin.process.stragglers import Stragglers
        from quantgate.plugin.process.sweeper import Sweeper
        from quantgate.plugin.reporter import Reporter

        config.stash[_SWEEPER] = Sweeper(folder.path)  # before there is anything to sweep
        config.stash[_STRAGGLERS] = Stragglers()
    folder.make()
    session = config.stash[_SESSION] = GateSession(
        settings_of(config), REGISTRY, folder, inputs.get("workerid"), config.stash.get(_STDERR, 2)
    )
    if not inputs:
        config.pluginmanager.register(Reporter(session, config), REPORTER)
    return session


def declared_trainers(config: pytest.Config) -> tuple[tuple[Trainer, str], ...]:
    """The trainers that the files of the root and of the folder pytest was called in declare, each with the place.

    Raises:
        RegistrationError: A file or a declaration cannot be read.
    """
    from quantgate.subjects.tables import trainers_in

    homes = dict.fromkeys((config.rootpath, config.invocation_params.dir))
    return tuple(each for home in homes for each in trainers_in(home))


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say what raised; a registration that was refused says so itself."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # the user's own code may raise anything
        last = traceback.extract_tb(error.__traceback__)[-1]
        said = printable(f"{type(error).__name__}: {error}")
        raise ValueError(
            f"{what} raised {said} ({Path(last.filename).name}:{last.lineno}); "
            "nothing can be judged until it registers what it should"
        ) from error


def existing_session(config: pytest.Config) -> GateSession | None:
    """The session of this process; None where nothing asked for one."""
    return config.stash.get(_SESSION, None)


def unasked(config: pytest.Config) -> str | None:
    """What was registered to be trained where `-m lowbit` found no test that asks for it; None where nothing was."""
    session = existing_session(config)
    asked = "lowbit" in (config.getoption("markexpr", "") or "").split()
    if session is None or session.offering.is_used or not asked:
        return None
    if not (names := session.registry.registered()):
        return None
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    trained = names[0] in session.registry.trainers()
    what = f"trainer {names[0]!r} is declared" if trained else f"{names[0]!r} is registered"
    return f"{what}{more} and no test asks for its cells: pytest --pyargs quantgate.suite, or quantgate init"


def keep_stderr(config: pytest.Config) -> None:
    """Keep a way to write to the terminal while pytest captures what tests write."""
    config.stash[_STDERR] = os.dup(2)


def misuse(config: pytest.Config) -> str | None:
    """How a process of this run found the gate misused; None where none did."""
    return config.stash[_FOLDER].misuse if _FOLDER in config.stash else None


def close(config: pytest.Config) -> None:
    """Remove the shared folder, if this is the process that named it, and end though a subject left a thread."""
    if _SWEEPER in config.stash:
        config.stash[_SWEEPER].sweep()
        reporter: Any = config.pluginmanager.get_plugin(REPORTER)
        config.stash[_STRAGGLERS].end_despite_them(getattr(reporter, "exit_status", 1))
    if _STDERR in config.stash:
        os.close(config.stash[_STDERR])
