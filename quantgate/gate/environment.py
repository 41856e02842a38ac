"""The corpus, the libraries and the machine: what bitwise equal results depend on beside the cell."""

from __future__ import annotations

import platform
from functools import cache
from typing import Any

import numpy as np
import torch

from quantgate.corpus.tensors import load_data
from quantgate.records.cell import Config
from quantgate.records.processor import processor
from quantgate.training.model import ModelConfig


def corpus_record(config: Config) -> dict[str, str]:
    """Name and digest of the corpus that a cell was trained on."""
    corpus = load_data(config.corpus, ModelConfig().context, config.device).corpus
    return {"name": corpus.name, "sha256": corpus.sha256}


@cache
def environment(device: str) -> dict[str, Any]:
    """Library versions, processor, instruction set, threads and device."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else device
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "cpu": processor(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "threads": 1,
        "device": name,
    }
