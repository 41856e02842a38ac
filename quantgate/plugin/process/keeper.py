"""What a subject's code is run under: ended if it does not end, its forks, exits and interrupts kept to itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import IO

from quantgate.gate.astray import AstrayError
from quantgate.plugin.process.exits import no_exit
from quantgate.plugin.process.forks import ForkGuard
from quantgate.plugin.process.signals import Signals
from quantgate.plugin.process.watchdog import rest, watchdog


class Keeper:
    """Runs a subject's code; one in a process."""

    def __init__(self) -> None:
        self.signals = Signals()
        self._forks = ForkGuard()
        self._resting = False

    @contextmanager
    def keeping(self, seconds: float, log: IO[str] | int) -> Iterator[None]:
        """Run a block, which must end within so many seconds; `log` is told where it stood if it does not.

        Raises:
            AstrayError: It forked and the child came back, or it raised KeyboardInterrupt by itself.
        """
        ending = nullcontext() if self._resting else watchdog(seconds, log)
        staying = no_exit(log if isinstance(log, int) else None)
        with ending, self._forks.guarding(), self.signals.noting_interrupts(), staying:
            try:
                yield
            except KeyboardInterrupt as error:
                if self.signals.interrupted:
                    raise
                raise AstrayError(
                    f"KeyboardInterrupt: {str(error) or 'no message'}, raised by its own code"
                ) from error
            if self._forks.returned:
                raise AstrayError(
                    "it forked, and the child came back: a child must end in os._exit or exec; it was ended"
                )

    def rest(self) -> None:
        """End nothing from now on: somebody is debugging."""
        self._resting = True
        rest()


@cache
def keeper() -> Keeper:
    """The keeper of this process."""
    return Keeper()
