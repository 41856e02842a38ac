"""Real packages are trained only where they are asked for: `pytest tests/integration`, or `-m integration`."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = Path(config.invocation_params.dir)
    named = ((here / each.partition("::")[0]).resolve() for each in config.args)
    if "integration" in config.option.markexpr or any(path.is_relative_to(HERE) for path in named):
        return
    for item in items:
        if item.get_closest_marker("integration") is not None:
            item.add_marker(pytest.mark.skip(reason="trains real packages; run pytest tests/integration"))
