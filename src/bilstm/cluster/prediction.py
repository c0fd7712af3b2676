"""Many files predicted by many processes, through Ray Data: a file in, a file out, and what is done stays done.

Knows Ray Data and files' names; what is read from a file and written to another the given function knows.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bilstm.cluster.connection import connected, processors
from bilstm.errors import BilstmError, DataError

Predictor = Callable[[Path, Path], None]  # reads a file and writes its predictions to another


def predict_files(
    make: Callable[[], Predictor], pairs: list[tuple[Path, Path]], *, address: str | None, newer_than: float
) -> Iterator[tuple[Path, Path, str | None]]:
    """Predict files in as many processes as there are processors, each of which makes its predictor once.

    Outputs that are there already, newer than their file and than ``newer_than``, are left. Of each other, as it gets
    finished, comes the file, the output and None, or why there is no output.

    The trap: workers of other machines see the files of those machines, by the paths of this one.
    """
    waiting = [pair for pair in pairs if not is_done(*pair, newer_than)]
    if not waiting:
        return
    with connected(address, min(os.cpu_count() or 1, len(waiting))) as ray:
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = context.print_on_execution_start = False  # the caller tells of each file
        items = [
            {"number": number, "source": str(source.resolve()), "target": str(target.resolve())}
            for number, (source, target) in enumerate(waiting)
        ]
        workers = ray.data.ActorPoolStrategy(size=min(processors(ray), len(waiting)))
        blocks = ray.data.from_items(items, override_num_blocks=len(items))
        for row in blocks.map(FilePredictor, fn_constructor_args=(make,), compute=workers, num_cpus=1).iter_rows():
            yield *waiting[row["number"]], row["failed"] or None


class FilePredictor:
    """A process that predicts files, and says of each whether its output is written."""

    def __init__(self, make: Callable[[], Predictor]) -> None:
        import torch

        torch.set_num_threads(1)
        self.predict = make()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        source, target = Path(row["source"]), Path(row["target"])
        try:
            self.predict(source, target)  # which is written whole or not at all
        except (BilstmError, OSError) as error:
            return row | {"failed": str(error)}
        return row | {"failed": ""}


def is_done(source: Path, target: Path, newer_than: float) -> bool:
    """Whether an output is there, and newer than what it was made of."""
    return target.exists() and target.stat().st_mtime >= max(source.stat().st_mtime, newer_than)


def outputs_of(sources: list[Path], folder: Path, suffix: Callable[[Path], str]) -> list[tuple[Path, Path]]:
    """Each file with its output: of the same name, with another ending, in a folder.

    Example:
        >>> outputs_of([Path("a/1.parquet"), Path("b/2.parquet")], Path("out"), lambda source: ".csv")
        [(PosixPath('a/1.parquet'), PosixPath('out/1.csv')), (PosixPath('b/2.parquet'), PosixPath('out/2.csv'))]
    """
    pairs: dict[Path, Path] = {}
    for source in sources:
        target = folder / (source.name.split(".", 1)[0] + suffix(source))
        if target in pairs:
            raise DataError(f"expected files of different names, got {pairs[target]} and {source}")
        pairs[target] = source
    return [(source, target) for target, source in pairs.items()]
