"""Where and when numbers were made, and the file that keeps them. Measures nothing itself."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bilstm.doctor import processor

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "onnxruntime", "openvino", "jax")


def circumstances() -> dict[str, Any]:
    """What a reader has to know to compare numbers with others."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, cwd=RESULTS, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "processor": processor(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **_versions()},
        "commit": commit,
        "date": datetime.date.today().isoformat(),
    }


def store(name: str, results: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json`` and return its path."""
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), **results}, indent=1) + "\n")
    return path


def stored(name: str) -> dict[str, Any] | None:
    """What :func:`store` wrote, or None where there is nothing yet."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional contender
    return found
