"""The closing line of a run's records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from quantgate.plan.engines import run_of
from quantgate.plan.matrix import shared_settings
from quantgate.plugin.session import GateSession
from quantgate.records.closing import Closing, Plan


def closing(session: GateSession, said: Mapping[str, Any], left_out: Mapping[str, str]) -> Closing:
    """The closing line of a run.

    Args:
        session: Its session.
        said: Its exit status, counts, problems and options.
        left_out: The cells of this shard without a record, and why.
    """
    whole = session.folder.whole()
    names = ("exit_status", "planned", "ran", "judged", "skipped")
    return Closing(
        plan=Plan(whole, shared_settings(session.settings)),
        **{name: said[name] for name in names},
        shard=session.shard,
        run=run_of(os.environ),
        problems=tuple(map(str, said["problems"])),
        options=tuple(said["options"]),
        left_out=left_out,
        known_failures=_known(session, whole),
        given=tuple(sorted(session.settings.given)),
        optimizers=tuple(sorted(session.registry.registered_optimizers())),
    )


def _known(session: GateSession, ids: Iterable[str]) -> dict[str, str]:
    """The cause by which each of these cells is known to fail, where one is."""
    found = {name: session.known_failures.get(name) for name in ids}
    return {name: entry.cause for name, entry in found.items() if entry is not None and not entry.is_over}
