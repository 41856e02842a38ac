"""The gate's objects in one pytest process: each is made when first needed, and closed with the process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from quantgate.plugin.names import FOLDER_INPUT, REPORTER
from quantgate.plugin.options import read_settings

if TYPE_CHECKING:
    from quantgate.gate.folder import RunFolder
    from quantgate.plan.settings import Settings
    from quantgate.plugin.session import GateSession

_SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
_FOLDER: pytest.StashKey[RunFolder] = pytest.StashKey()
_SESSION: pytest.StashKey[GateSession] = pytest.StashKey()


def settings_of(config: pytest.Config) -> Settings:
    """The options of this run, read once.

    Raises:
        OptionError: A value that an option does not take; the message names the source.
    """
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = read_settings(config)
    return config.stash[_SETTINGS]


def folder_of(config: pytest.Config) -> RunFolder:
    """The shared folder of this run: made by the controller, which tells its workers where it is."""
    if _FOLDER not in config.stash:
        from quantgate.gate.folder import RunFolder

        inputs = getattr(config, "workerinput", None)
        path = tempfile.mkdtemp(prefix="quantgate-") if inputs is None else inputs[FOLDER_INPUT]
        config.stash[_FOLDER] = RunFolder(Path(path))
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

    from quantgate.plugin.session import GateSession
    from quantgate.subjects.registry import REGISTRY

    for entry_point in entry_points(group="quantgate"):
        entry_point.load()(REGISTRY)
    config.hook.pytest_quantgate_register(registry=REGISTRY)
    session = config.stash[_SESSION] = GateSession(settings_of(config), REGISTRY, folder_of(config))
    if not hasattr(config, "workerinput"):
        from quantgate.plugin.reporter import Reporter

        config.pluginmanager.register(Reporter(session, config), REPORTER)
    return session


def is_misused(config: pytest.Config) -> bool:
    """Whether any process of this run met an invalid `lowbit` marker."""
    return _FOLDER in config.stash and config.stash[_FOLDER].misused


def close(config: pytest.Config) -> None:
    """Remove the shared folder if this process made it."""
    if _FOLDER in config.stash and not hasattr(config, "workerinput"):
        shutil.rmtree(config.stash[_FOLDER].path, ignore_errors=True)
