"""The processor's name, for records; no torch."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path


@cache
def cpu() -> str:
    """The processor, as the system calls it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
