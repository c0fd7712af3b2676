"""`bilstm fit … --workers`, `predict … --ray`: what the options mean. Knows options, not Ray."""

from __future__ import annotations

import glob
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bilstm.errors import BilstmError, DataError, ParameterError

RAY = "--ray"
LOCAL = "local"


def with_ray_address(arguments: Sequence[str]) -> list[str]:
    """Words of a command line in which ``--ray`` may stand without an address: one is started here then.

    Example:
        >>> with_ray_address(["predict", "m.bilstm", "a.parquet", "--ray", "-o", "out"])
        ['predict', 'm.bilstm', 'a.parquet', '--ray', 'local', '-o', 'out']
    """
    words: list[str] = []
    for word, following in zip(arguments, [*arguments, "-"][1:], strict=True):
        words += [word, LOCAL] if word == RAY and following.startswith("-") else [word]
    return words


def fit_on_workers(
    run: Callable[..., None], output: Path, workers: str | None, ray: str | None, worker_cpus: int | None
) -> None:
    """Let several processes fit one model, here or on a cluster.

    Args:
        run: fits and saves; in each of them.
        output: the model file, beside which the run is written down.
        workers: their number, or ``2..8``: as many as the cluster has room for; None: as many as it has processors.
        ray: address of a cluster.
        worker_cpus: processors of each; by default those of this machine shared out, or one on a cluster.
    """
    from bilstm.cluster.training import train_together

    count = None if workers is None else workers_of(workers)
    if worker_cpus is None:  # on this machine those that there are, dealt out
        most = count[1] if isinstance(count, tuple) else count
        worker_cpus = max(1, (os.cpu_count() or 1) // most) if most and ray in (None, LOCAL) else 1
    told = f"{workers or 'as many as possible'}, of {worker_cpus} processor{'s' * (worker_cpus > 1)} each"
    print(f"workers: {told}", file=sys.stderr, flush=True)
    folder = output.parent.resolve()
    try:
        train_together(
            partial(in_words, run), count=count, cpus=worker_cpus, address=ray, folder=folder, name=output.stem
        )
    except KeyboardInterrupt:
        raise BilstmError("interrupted; the same command goes on from the last finished epoch") from None
    if not output.is_file():
        raise BilstmError(
            f"expected the workers to write {output}, got no such file on this machine",
            hint="all machines of a cluster must share the folder of the model",
        )


def in_words(run: Callable[..., None]) -> None:
    """Run, and say warnings as the command line does."""
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)
    run()


def workers_of(words: str) -> int | tuple[int, int]:
    """``4``, or ``2..8``.

    Example:
        >>> workers_of("4"), workers_of("2..8")
        (4, (2, 8))
    """
    try:
        numbers = [int(word) for word in words.split("..")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 1:
        return numbers[0]
    if len(numbers) == 2 and 1 <= numbers[0] <= numbers[1]:
        return numbers[0], numbers[1]
    raise ParameterError(f"expected a number of workers, or two like 2..8, got {words!r} (--workers)")


def predict_on_workers(file: Path, data: Sequence[str], output: Path | None, address: str, text: str | None) -> None:
    """Predict many files into a folder, one output a file; what is there already is not made again."""
    from bilstm.cli import made_folder
    from bilstm.cluster.prediction import outputs_of, predict_files
    from bilstm.model_file import load

    if output is None or output.is_file():
        found = "none" if output is None else f"a file ({output})"
        raise ParameterError(f"expected a folder for the predictions beside {RAY}, got {found}", hint="-o FOLDER")
    model = load(file)
    if model.task == "transcriber":
        raise ParameterError(f"expected a model of tables or text beside {RAY}, got a transcriber")
    sources = files_of(data)
    pairs = outputs_of(sources, made_folder(output), partial(ending, model.is_language_))
    make = partial(FilePredictor, file.resolve(), text)
    count, failed = 0, []
    for source, target, reason in predict_files(make, pairs, address=address, newer_than=file.stat().st_mtime):
        count += 1
        if reason is not None:
            failed.append(source)
        print(f"wrote {target}" if reason is None else f"error: {source}: {reason}", file=sys.stderr, flush=True)
    kept = len(pairs) - count
    there = f"; {kept} were there already" if kept else ""
    print(f"{count - len(failed)} of {len(pairs)} files predicted into {output}{there}", file=sys.stderr)
    if failed:
        raise BilstmError(f"expected files that can be predicted, got {len(failed)} of {len(pairs)} that cannot")


class FilePredictor:
    """What `bilstm predict` does with a file, by a model that is loaded once."""

    def __init__(self, file: Path, text: str | None) -> None:
        from bilstm.model_file import load

        self.model = load(file)
        self.text = text

    def __call__(self, source: Path, target: Path) -> None:
        from bilstm.cli_predict import predict_one

        predict_one(self.model, str(source), target, self.text)


def files_of(data: Sequence[str]) -> list[Path]:
    """Files, those in folders, and those that patterns name, in the order of their names."""
    found: list[Path] = []
    for word in data:
        path = Path(word)
        if path.is_dir():
            found += sorted(one for one in path.iterdir() if one.is_file() and not one.name.startswith((".", "_")))
        elif path.exists():
            found.append(path)
        else:
            found += sorted(map(Path, glob.glob(word, recursive=True)))
    if not found:
        raise DataError(f"expected files to predict, got none ({' '.join(data[:3])})")
    return list(dict.fromkeys(found))


def ending(is_language: bool, source: Path) -> str:
    """How the name of an output ends: language comes back in its own form, numbers as CSV.

    Example:
        >>> ending(True, Path("a.parquet")), ending(True, Path("a.conll")), ending(False, Path("a.parquet"))
        ('.jsonl', '.conll', '.csv')
    """
    if not is_language:
        return ".csv"
    suffix = source.name.lower().removesuffix(".gz").rpartition(".")[2]
    return {"parquet": ".jsonl", "pq": ".jsonl", "ndjson": ".jsonl"}.get(suffix, f".{suffix}")
