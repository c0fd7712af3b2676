"""What `bilstm doctor` says: versions, processor, kernels, extras. Knows the environment; changes nothing."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

from bilstm.nn.kernels import explain

LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "polars", "safetensors", "matplotlib")


def diagnose() -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of (name, what was found), in the order in which they are shown."""
    versions = [("python", platform.python_version()), *((name, metadata.version(name)) for name in LIBRARIES)]
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none that torch can use"
    machine = [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", processor()),
        ("cores", f"{os.cpu_count()}, of which torch uses {torch.get_num_threads()}"),
        ("vector instructions", torch.backends.cpu.get_cpu_capability()),
        ("GPU", gpu),
    ]
    return [("versions", versions), ("machine", machine), ("kernels", explain())]


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
