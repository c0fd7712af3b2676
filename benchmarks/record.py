"""Where and when numbers were made, whether others were at work, and the file that keeps them. Times nothing."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bilstm.doctor import processor
from bilstm.nn.core import isas
from tables import BUSY, RESULTS

# of ours, and of the contenders
LIBRARIES = ("bilstm", "torch", "numpy", "scikit-learn", "polars", "pyarrow", "ray", "optuna")
LIBRARIES += ("onnxruntime", "openvino", "jax", "stanza", "flair", "pytorch-crf", "neuralforecast")


if not isas():  # at once: some take hours before they store
    print("the native core is not built: these are times of torch's own routines, and are not stored", file=sys.stderr)


def circumstances() -> dict[str, Any]:
    """What a reader has to know to compare numbers with others."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, cwd=RESULTS, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "processor": processor(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability() + (", AMX" if "amx" in isas() else ""),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), **versions(LIBRARIES)},
        "commit": commit,
        "date": datetime.date.today().isoformat(),
    }


def busy_cores(seconds: float = 1.0) -> float:
    """How many processor cores others keep busy while we sleep, with a warning; 0 where the system does not say."""
    if not (clock := Path("/proc/stat")).exists():
        return 0.0
    before = _busy_ticks(clock)
    time.sleep(seconds)
    busy = round((_busy_ticks(clock) - before) / os.sysconf("SC_CLK_TCK") / seconds, 2)
    if busy > BUSY:
        print(f"others keep {busy} cores busy: the figures will be wrong", file=sys.stderr)
    return busy


def store(name: str, results: dict[str, Any]) -> Path:
    """Write ``benchmarks/results/NAME.json`` and return its path.

    Raises:
        SystemExit: the native core is not built: these were torch's own routines in our wrapping.
    """
    if not isas():
        raise SystemExit("nothing is stored: the native core is not built; bilstm doctor says what is missing")
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"circumstances": circumstances(), **results}, indent=1) + "\n")
    return path


def earlier(name: str) -> dict[str, Any]:
    """What the last run stored under the name, without its circumstances; nothing before the first."""
    path = RESULTS / f"{name}.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    results.pop("circumstances", None)
    return results


def versions(names: Iterable[str]) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # an optional contender
    return found


def resident(field: str = "VmRSS", process: int | str = "self") -> float:
    """MiB of memory that a process holds; with VmHWM at its peak. Linux only."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def _busy_ticks(clock: Path) -> int:
    ticks = [int(word) for word in clock.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4]  # without idle and waiting for disks
