"""All of the packages that are installed, for `quantgate power --libraries tests.integration.library:REAL`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from quantgate.faults.setups import Fault, Setup
from tests.integration.packages import (
    aimet,
    bitsandbytes_,
    brevitas_,
    compressed,
    nncf_,
    qtorch_,
    quanto,
    torch_ao,
    torchao_optim,
    torchao_qat,
)
from tests.integration.parts import installed

PACKAGES: tuple[ModuleType, ...] = (
    torch_ao,
    torchao_qat,
    torchao_optim,
    brevitas_,
    bitsandbytes_,
    quanto,
    nncf_,
    aimet,
    compressed,
    qtorch_,
)


def subjects(module: ModuleType) -> dict[str, Setup | Fault]:
    """What a package's file has, healthy and broken."""
    return {**module.healthy(), **module.broken()}


#: Every subject of the installed packages by its name.
REAL: Mapping[str, Setup | Fault] = MappingProxyType(
    {
        name: found
        for module in PACKAGES
        if installed(module.PACKAGE)
        for name, found in subjects(module).items()
    }
)
