"""DATA as the command line names it, read as a task or a model needs it. Knows files, folders and standard input."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bilstm.cli.output import with_written_times
from bilstm.errors import DataError, ParameterError, did_you_mean

if TYPE_CHECKING:
    from bilstm.data.dataset import Dataset
    from bilstm.data.series.reader import Series
    from bilstm.data.sound.recordings import Recordings
    from bilstm.data.stream import Stream
    from bilstm.estimators.forecaster import BiLSTMForecaster
    from bilstm.estimators.transcriber import BiLSTMTranscriber


def read_for(model: Any, data: str, *, with_targets: bool = False) -> Dataset:
    """DATA as the model needs it: a file, or a built-in set by name."""
    builtin = builtin_named(data)
    if builtin is None:
        rows: Dataset = model.read(data, with_targets=with_targets)
        return rows
    return builtin


def builtin_named(data: str, drop: Sequence[str] = ()) -> Dataset | None:
    """The built-in set of that name; None where a file of that name lies, or there is no such set."""
    from bilstm.data.builtin import BUILTIN

    return BUILTIN[data](drop) if data in BUILTIN and not Path(data).is_file() else None


def read_steps(
    data: str,
    target: Sequence[str] = (),
    drop: Sequence[str] = (),
    time: str | None = None,
    group: str | None = None,
    future: Sequence[str] = (),
    like: Series | None = None,
) -> Series:
    """DATA for training: a file of series, or a built-in one. ``like`` is the training data of a second file."""
    from bilstm.data.series.reader import read_series

    builtin = builtin_named(data, drop)
    if builtin is not None:
        told = {"target": target, "time": time, "group": group, "future": future}
        for option in [name for name, value in told.items() if value]:
            raise ParameterError(f"expected no --{option} beside the built-in set {data!r}, got {told[option]!r}")
        return _checked(builtin, data)
    if like is None:
        return read_series(data, target=list(target) or None, time=time, group=group, future=future, drop=drop)
    return read_series(
        data,
        target=like.target_columns,
        time=like.read_with.get("time"),
        group=like.read_with.get("group"),
        future=like.future,
        features=like.feature_names,
        clock=like.clock,
    )


def series_for(model: BiLSTMForecaster, data: str) -> Series:
    """DATA as the model needs it: a file, or a built-in series by name."""

    builtin = builtin_named(data)
    return model.read(data) if builtin is None else _checked(builtin, data)


def _checked(builtin: Dataset, name: str) -> Series:
    from bilstm.data.series.reader import Series

    if not isinstance(builtin, Series):
        raise ParameterError(f"expected a series, got the built-in set {name!r}", hint="sunspots is one")
    return builtin


def newer_part(series: Series, training: Series, history: int) -> Series:
    """The steps behind those of training, and as many before them as a forecast is made from."""
    if "time" not in training.read_with:
        return series
    known = training.known_times
    newer = series.kept((series.times > known[max(len(known) - history - 1, 0)]).to_numpy())
    if not len(newer) or not (newer.known_times > known.max()).any():
        raise DataError(
            f"expected steps behind {written(training, known.max())}, the last of the training series, got none "
            f"({series.source})",
            hint="what stops the training must not be part of it",
        )
    return newer


def written(series: Series, moment: Any) -> str:
    """A time as it would stand in a file."""
    import polars as pl

    times = pl.DataFrame([series.clock.plain(pl.Series("time", [moment], dtype=series.times.dtype))])
    return str(with_written_times(times)["time"][0])


def read_folder_for_fit(data: str, task: str, reading: dict[str, Any]) -> Stream:
    """DATA for training, a folder or a pattern of files, read piece by piece.

    Args:
        data: as the user gave it.
        task: one word.
        reading: the options that say how DATA is read, by name.
    """
    from bilstm.data.tables.folder import columns_in, read_folder

    if "time" in reading or "sound" in reading:
        hint = "a regressor, a classifier or a tagger reads a folder piece by piece"
        hint = hint if "time" in reading else "a table with the columns path and text says what is said in each sound"
        raise DataError(f"expected one file for a {task}, got a folder ({data})", hint=hint)
    if "tag" in reading:
        return read_folder(data, text=reading["text"], tag=reading["tag"])
    target, text = reading["target"], reading.get("text")
    if not target:
        hint = did_you_mean("", columns_in(data), 20)
        raise DataError(f"expected --target, the column to predict, got none ({data})", hint=hint)
    others = {name: reading[name] for name in ("drop", "category", "group", "order")}
    if text is not None:
        for option in [name for name, value in others.items() if value]:
            raise ParameterError(f"expected no --{option} beside --text {text}, got {others[option]!r}")
        return read_folder(data, target=target, text=text)
    kinds = dict.fromkeys(others.pop("category"), "category")
    return read_folder(data, target=target, kinds=kinds, **others)


def is_folder(data: str) -> bool:
    """Whether DATA names a folder, or is a pattern of files, rather than a file."""
    return Path(data).is_dir() or (any(sign in data for sign in "*?[") and not Path(data).exists())


STDIN = "-"


def sentences_for(model: Any, data: str, column: str | None) -> Dataset:
    """DATA of words in any form: a file of lines, lines from stdin, a table, or what the model itself reads."""
    from bilstm.data.source import TABLES, has_suffix
    from bilstm.data.text.reader import read_texts

    path = Path(data)
    if data == STDIN or has_suffix(path, (".txt",)):
        return dataset_of_lines(data)
    if has_suffix(path, TABLES):
        return read_texts(path, text=text_column(model, path, column))
    found: Dataset = model.read(path)
    return found


def dataset_of_lines(data: str) -> Dataset:
    from bilstm.data.source import existing_file
    from bilstm.data.text.reader import from_texts

    raw = sys.stdin.buffer.read() if data == STDIN else existing_file(data, "lines of text").read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"expected UTF-8 text, got other bytes ({data}, line {line})") from None
    lines = text.splitlines()
    if not lines:
        raise DataError(f"expected lines of text, got none ({data})")
    return from_texts(lines, source=data)


def text_column(model: Any, path: Path, column: str | None) -> str:
    from bilstm.data.source import Source, check_columns
    from bilstm.data.tables.reader import read_raw

    column = column or model.read_with_.get("text")
    if column is None:
        column = "text"
        check_columns([column], read_raw(path).columns, Source.of_file(path))
    return column


def data_for(model: Any, data: Sequence[str], text: str | None) -> Any:
    """DATA as the model needs it; None for a forecaster that goes on from its training."""
    if not data and model.task == "forecaster":
        return None
    if not data:
        raise ParameterError(f"expected DATA beside a {model.task}, got none", hint="name a file to look into")
    if model.task == "transcriber":
        return recordings_for(model, data)
    if len(data) > 1:
        raise ParameterError(f"expected one DATA beside a {model.task}, got {len(data)}: {' '.join(data[:3])}")
    if model.task == "forecaster":
        return series_for(model, data[0])
    if model.is_language_:
        if " " in data[0] and not Path(data[0]).exists():
            raise ParameterError(
                f"expected a file, got a text: {data[0][:40]!r}", hint="echo 'a text' | bilstm xray FILE -"
            )
        return sentences_for(model, data[0], text)

    return read_for(model, data[0])


FORECAST = "bilstm fit forecaster reads it"


def reader_for(reading: dict[str, Any]) -> Callable[..., Any]:
    """What reads DATA, by the options that say how."""
    if "time" in reading:
        return read_steps
    if "sound" in reading:
        return read_recordings_for_fit
    return read_language if "tag" in reading or reading.get("text") else read


def read(
    data: str,
    target: Sequence[str],
    drop: Sequence[str],
    category: Sequence[str],
    group: str | None,
    order: str | None,
    text: str | None = None,
    like: Dataset | Stream | None = None,
) -> Dataset:
    """DATA for training: a file with a target, or a built-in set. ``like`` is the training data of a second file."""
    from bilstm.data.tables.reader import read_frame, read_table

    builtin = builtin_named(data, drop)
    if builtin is not None:
        told = {"target": target, "category": category, "group": group, "order": order}
        for option in [name for name, value in told.items() if value]:
            raise ParameterError(f"expected no --{option} beside the built-in set {data!r}, got {told[option]!r}")
        if not builtin.target_names:
            raise ParameterError(f"expected rows or sequences with targets, got the series {data!r}", hint=FORECAST)
        return builtin
    if not target:
        columns = read_frame(data).columns
        raise DataError(
            f"expected --target, the column to predict, got none ({data})", hint=did_you_mean("", columns, 20)
        )
    kinds = dict.fromkeys(category, "category") if like is None else like.kinds
    return read_table(data, target=target, drop=drop, group=group, order=order, kinds=kinds)


def read_language(
    data: str,
    target: Sequence[str] = (),
    text: str | None = None,
    tag: str | None = None,
    like: Dataset | Stream | None = None,
    **others: Any,
) -> Dataset:
    """DATA of texts with a target column, or of tagged sentences."""
    from bilstm.data.tables.reader import read_frame
    from bilstm.data.text.reader import read_sentences, read_texts

    for option in [name for name, value in others.items() if value]:
        raise ParameterError(f"expected no --{option} beside --text {text}, got {others[option]!r}")
    if not others:
        return read_sentences(data, tag=tag, text=text)
    if len(target) != 1:
        hint = None if target else did_you_mean("", read_frame(Path(data)).columns, 20)
        raise DataError(f"expected one --target beside --text {text}, got {len(target)} ({data})", hint=hint)
    assert text is not None
    return read_texts(data, text=text, target=target[0])


STDIN = "-"


def read_recordings_for_fit(
    data: str, text: str | None, sound: str | None, group: str | None, like: Recordings | None = None
) -> Recordings:
    """DATA for training: a table of paths and texts. ``like`` is the training data of a second file."""
    from bilstm.data.sound.recordings import read_recordings

    if like is not None:
        text, sound, group = (like.read_with.get(name) for name in ("text", "sound", "group"))
    return read_recordings(data, text=text or "text", sound=sound or "path", group=group)


def recordings_for(model: BiLSTMTranscriber, data: Sequence[str]) -> Recordings:
    """DATA of sound in any form: files, folders, tables of paths, or a sound file from stdin."""
    from bilstm.data.sound.recordings import from_sounds

    if STDIN in data:
        if len(data) > 1:
            raise ParameterError(f"expected - alone, for sound from stdin, got {len(data)} names")
        return from_sounds([sys.stdin.buffer.read()], rate=model.sound_.rate)
    return model.read(list(data) if len(data) > 1 else data[0])
