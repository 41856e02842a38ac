"""What is registered in these tests, and what they are refused with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import Tensor

from quantgate.subjects.names import RegistrationError


def halves(x: Tensor) -> Tensor:
    return (x * 2).round() / 2


def refused(call: Callable[[], object], error: type[Exception] = RegistrationError) -> str:
    with pytest.raises(error) as caught:
        call()
    return str(caught.value)
