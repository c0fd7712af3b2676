"""What `bilstm doctor` says: versions, processor, kernels, extras. Knows the environment; changes nothing."""

from __future__ import annotations

import os
import platform
import re
from importlib import metadata
from pathlib import Path

import torch

from bilstm.nn import BiLSTM, core, explain, use_kernel

# pip keeps the wheels that it built, the one without the core too: hence --no-cache-dir
REPAIR = [
    ("it costs", "speed, most of it in training and where sequences differ in length; the results are the same"),
    ("install", "a C++ compiler and Python's headers (Debian: g++ python3-dev, macOS: xcode-select --install)"),
    ("then", "pip install --force-reinstall --no-deps --no-cache-dir --no-binary bilstm bilstm"),
    ("or in a clone", "pip install ."),
]

LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "polars", "safetensors", "matplotlib")


def diagnose() -> list[tuple[str, list[tuple[str, str]]]]:
    """Sections of (name, what was found), in the order in which they are shown."""
    versions = [("python", platform.python_version()), *((name, metadata.version(name)) for name in LIBRARIES)]
    machine = [
        ("system", f"{platform.system()} {platform.machine()}"),
        ("processor", processor()),
        ("cores", f"{os.cpu_count()}, of which torch uses {torch.get_num_threads()}"),
        ("vector instructions", torch.backends.cpu.get_cpu_capability()),
        ("GPU", torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none that torch can use"),
    ]
    sections = [("versions", versions), ("machine", machine)]
    if core.import_error:
        missing = [("because", core.import_error), *REPAIR]
        return [*sections, ("kernels", explain()), ("the native kernel is missing", missing)]
    return [*sections, ("kernels", [*explain(), ("instruction set", instruction_set())])]


def instruction_set() -> str:
    """The one that runs a small batch, and all that this processor has."""
    with use_kernel("native"), torch.no_grad():
        BiLSTM(4, 8)(torch.zeros(3, 2, 4))
    return f"{core.last_isa()} for a small batch, of {', '.join(core.isas())}"


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*:(.*)", info.read_text(), re.MULTILINE) if info.exists() else None
    return name[1].strip() if name else platform.processor() or "unknown"
