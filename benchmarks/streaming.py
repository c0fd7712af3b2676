"""How much memory does training on a folder larger than memory take, and how fast is it?

    python benchmarks/streaming.py [--gigabytes 5] [--columns 512] [--threads 2] [--folder DIR] [--store]

Writes a folder of Parquet files of random numbers and a target that depends on them, and lets fresh processes read it
without training, train one epoch on it, and train in memory on a small part of it, for the seconds that a row takes.
A process's peak is what the operating system counted (VmHWM), less that of a process which only imports. Linux only.
The folder is deleted afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src"), str(ROOT / "benchmarks")]

from bilstm import BiLSTMRegressor, read_folder, read_table  # noqa: E402
from bilstm.training.progress import peak_memory  # noqa: E402
from record import busy_cores, store  # noqa: E402

GROUPS = 4  # row groups of a file
SMALL = 32_768  # rows that are trained on in memory
CHUNK = 8192  # rows that are made at once
GB = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=5.0, help="of Parquet on the disk")
    parser.add_argument("--columns", type=int, default=512)
    parser.add_argument("--group-rows", type=int, default=32_768, help="rows of a row group")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the files are written; by default the system's place")
    parser.add_argument("--store", action="store_true", help="write benchmarks/results/streaming.json")
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(WORK[options.one[0]](Path(options.one[1]))))
        return
    results: dict[str, Any] = {"busy_cores": busy_cores(), "threads": options.threads}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        results["data"] = write(Path(folder), options.gigabytes, options.columns, options.group_rows)
        results["found"] = {what: in_a_process(what, folder, options.threads) for what in WORK}
    found = results["found"]
    for what in ("reading", "training", "in memory"):
        found[what]["mib_above_imports"] = round(found[what]["peak_mib"] - found["imports"]["peak_mib"], 1)
        print(f"{what}: {found[what]}")
    if options.store:
        print("stored", store("streaming", results))


def write(folder: Path, gigabytes: float, columns: int, group_rows: int) -> dict[str, Any]:
    """Files until they have the size, each of some row groups."""
    free = shutil.disk_usage(folder).free
    assert free > 1.2 * gigabytes * GB, f"expected {gigabytes} GB of free disk, got {free / GB:.1f} ({folder})"
    names = [*(f"x{place}" for place in range(columns)), "y"]
    draw = np.random.default_rng(0)
    weights = (draw.normal(size=(columns, 2)) / np.sqrt(columns)).astype(np.float32)
    started, rows, size, number = time.perf_counter(), 0, 0, 0
    while size < gigabytes * GB:
        path = folder / f"part-{number:04d}.parquet"
        schema = pa.schema([(name, pa.float32()) for name in names])
        with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none") as writer:
            for _ in range(GROUPS):
                parts = [
                    draw.standard_normal((min(CHUNK, group_rows), columns), np.float32)
                    for _ in range(-(-group_rows // CHUNK))
                ]
                x = np.concatenate(parts)
                hidden = x @ weights
                y = hidden[:, 0] + np.sin(2 * hidden[:, 1]) + 0.1 * draw.standard_normal(len(x), np.float32)
                writer.write_table(pa.table([*x.T.copy(), y], schema=schema), row_group_size=len(x))
                rows += len(x)
        size, number = size + path.stat().st_size, number + 1
    print(f"wrote {size / GB:.2f} GB, {rows:,} rows, in {time.perf_counter() - started:.0f} s", flush=True)
    return {
        "gigabytes": round(size / GB, 3),
        "rows": rows,
        "columns": columns,
        "group_rows": group_rows,
        "files": number,
    }


def in_a_process(what: str, folder: str, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", what, folder]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "POLARS_MAX_THREADS": str(threads)}
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    print(what, found, flush=True)
    return found


def measured(seconds: float, rows: int, **others: Any) -> dict[str, Any]:
    peak = peak_memory() / 2**20
    return {
        "peak_mib": round(peak, 1),
        "seconds": round(seconds, 2),
        "rows_per_second": round(rows / seconds),
        **others,
    }


def imports(folder: Path) -> dict[str, Any]:
    """What is imported, and a fit of next to nothing, which starts every library's threads."""
    BiLSTMRegressor(max_epochs=1).fit(np.arange(64.0).reshape(32, 2), np.arange(32.0))
    return {"peak_mib": round(peak_memory() / 2**20, 1)}


def reading(folder: Path) -> dict[str, Any]:
    """One pass without training."""
    started = time.perf_counter()
    rows = sum(map(len, read_folder(folder, target="y").pieces(seed=0)))
    return measured(time.perf_counter() - started, rows)


def training(folder: Path) -> dict[str, Any]:
    """One epoch."""
    started = time.perf_counter()
    model = BiLSTMRegressor(max_epochs=1, verbose=1).fit(read_folder(folder, target="y"))
    epoch = float(model.history_["seconds"][0])
    rows = model.trained_with_["sequences"]
    told = {"epoch_seconds": round(epoch, 2), "epoch_rows_per_second": round(rows / epoch)}
    return measured(time.perf_counter() - started, rows, **told, r2=round(model.metrics_["r2"], 4))


def in_memory(folder: Path) -> dict[str, Any]:
    """One epoch on a few rows, in memory."""
    few = read_table(next(iter(sorted(folder.glob("*.parquet")))), target="y").take(range(SMALL))
    started = time.perf_counter()
    model = BiLSTMRegressor(max_epochs=1, validation_fraction=0.0).fit(few)
    epoch = float(model.history_["seconds"][0])
    rows = len(few)
    told = {"epoch_seconds": round(epoch, 2), "epoch_rows_per_second": round(rows / epoch)}
    return measured(time.perf_counter() - started, rows, **told)


WORK = {"imports": imports, "reading": reading, "training": training, "in memory": in_memory}


if __name__ == "__main__":
    main()
