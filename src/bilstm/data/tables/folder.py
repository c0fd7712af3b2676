"""A folder of tables as a Stream: which files, the same columns in all of them, tables or texts or tagged sentences."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from bilstm.data.columns import as_column, kinds_of
from bilstm.data.dataset import Dataset, without_none
from bilstm.data.source import JSON_LINES, PARQUET, TABLES, Source, check_columns, check_rows, has_suffix, header_of
from bilstm.data.stream import Stream
from bilstm.data.tables.chunks import PIECE, Chunk, Shard, read_chunks, shards_of, whole_groups
from bilstm.data.tables.parquet import empty_parquet
from bilstm.data.tables.reader import check_target, table_of, typed_frame, warn_of_order
from bilstm.data.text.reader import WORDS_COLUMNS, sentences_of, texts_of
from bilstm.errors import DataError, ParameterError, did_you_mean

READERS = 240 << 20  # bytes that shards read side by side may hold, about
MOST_SIDE_BY_SIDE = 8
LANGUAGE_PIECE = 2 << 20  # bytes of text in a piece: for a while its words are Python's, and take forty times as much
ENDS = 1 << 16  # bytes of a file's beginning and end that its digest is made of; the end of Parquet tells its contents


def read_folder(
    folder: str | Path,
    *,
    target: str | Sequence[str] | None = None,
    drop: Sequence[str] = (),
    group: str | None = None,
    order: str | None = None,
    kinds: Mapping[str, str] | None = None,
    text: str | None = None,
    tag: str | None = None,
) -> Stream:
    """Data larger than memory: the files of a folder, which ``fit`` reads piece by piece, again for every epoch.

    All files have the same columns and the same format: Parquet, CSV or JSON lines. What the first rows of the first
    file hold decides which columns are numbers; a file that differs is an error.

    Args:
        folder: of files, also in folders below it, or a pattern such as ``data/part-*.parquet``. Names that begin
            with ``.`` or ``_`` are passed over.
        target: the column or columns to predict; None for tagged sentences.
        drop: columns to leave out.
        group: of long tables, the column that names the sequence. Its rows stand next to each other, in one file.
        order: the column that orders the rows of a sequence.
        kinds: ``number`` or ``category`` for columns that must be so.
        text: the column of texts beside ``target``; without it, of lists of words.
        tag: the column of lists of tags, ``tags`` by default.

    Returns:
        Stream: for the ``fit`` of a regressor, a classifier or a tagger.

    Raises:
        DataError: there are no such files, or their columns differ; says which and where.

    The trap: sequences are mixed by a buffer, not drawn from all files at random. Files that each hold one class, or
    one month, are better written anew in random order, or as many small ones.

    Example:
        >>> model = BiLSTMRegressor(max_epochs=3).fit(read_folder("houses", target="price"))  # doctest: +SKIP
    """
    files = _files(folder)
    targets = [target] if isinstance(target, str) else list(target or ())
    layout = Layout(tuple(targets), tuple(drop), group, order, text, tag, dict(kinds or {}))
    if text is not None and len(targets) > 1:
        raise ParameterError(f"expected one target beside a column of texts, got {len(targets)}")
    layout = layout.inspected(files)
    _check_columns(files, layout)
    piece = PIECE if targets and text is None else LANGUAGE_PIECE
    shards = [shard for path in files for shard in shards_of(path, together=group is not None, piece=piece)]
    if not shards:
        raise DataError(f"expected rows, got none in any file ({folder})")
    held = max(shard.held for shard in shards) + 3 * piece  # what a reader has taken in, and what becomes of it
    side_by_side = max(1, min(MOST_SIDE_BY_SIDE, READERS // held))
    digest = _digest(files, Path(folder), layout)
    return Stream(shards, layout.read, Source(str(folder)), digest, side_by_side, layout.kinds)


def is_folder(path: str) -> bool:
    """Whether a path names a folder, or is a pattern of files, rather than a file."""
    return Path(path).is_dir() or (any(sign in path for sign in "*?[") and not Path(path).exists())


@dataclass(frozen=True)
class Layout:
    """How the rows of the files become a Dataset: the options of :func:`read_folder`, and what a look shows."""

    targets: tuple[str, ...]
    drop: tuple[str, ...]
    group: str | None
    order: str | None
    text: str | None
    tag: str | None
    kinds: Mapping[str, str]
    columns: tuple[str, ...] = ()  # that are needed

    def inspected(self, files: Sequence[Path]) -> Layout:
        """The same with the columns and kinds that the first rows show."""
        path, head = next(((path, frame) for path in files for _, frame in _rows(path)), (files[0], pl.DataFrame()))
        if head.height == 0:
            raise DataError(f"expected rows below the header, got none in any file (the first is {path})")
        source = Source.of_file(path)
        columns = self._needed(head.columns, source)
        known = dict(self.kinds)
        if self.group is not None:
            known[self.group] = "category"  # 001 and 1 are two names
        if self.text is None and self.targets:
            typed = typed_frame(head.select(columns), source, dict.fromkeys(self.targets, "target") | known)
            known |= kinds_of(typed)
            if self.order is not None:
                warn_of_order(typed[self.order])
        elif self.targets and not isinstance(head[self.targets[0]].dtype, pl.List):
            known |= kinds_of(typed_frame(head.select(self.targets), source, {self.targets[0]: "target"}))
        layout = replace(self, kinds=known, columns=tuple(columns))
        layout.dataset(source, head[:2])  # what cannot be read at all is told now
        return layout

    def _needed(self, names: list[str], source: Source) -> list[str]:
        if not self.targets:
            words = self.text or next((name for name in WORDS_COLUMNS if name in names), WORDS_COLUMNS[0])
            needed = [words, self.tag or "tags"]
        elif self.text is not None:
            needed = [self.text, *self.targets]
        else:
            needed = [name for name in names if name not in self.drop]
        named = [*self.targets, *self.drop, *self.kinds, *filter(None, (self.group, self.order))]
        check_columns([*needed, *named], names, source)
        return needed

    def read(self, shard: Shard) -> Iterator[Dataset]:
        """A shard of the Stream to its Datasets."""
        path, chunks = shard.path, read_chunks(shard, self.columns)
        if self.group is not None:
            sources = ((Source.of_file(path, first), frame) for first, frame in chunks)
            typed = ((s.first, typed_frame(self._selected(frame, s), s, self.kinds)) for s, frame in sources)
            chunks = whole_groups(typed, self.group, path)
        for first, frame in chunks:
            yield self.dataset(Source.of_file(path, first), frame)

    def dataset(self, source: Source, frame: pl.DataFrame) -> Dataset:
        """Rows of a file that follow each other as a Dataset."""
        frame = self._selected(frame, source)
        if not self.targets:
            tag = self.tag or "tags"
            data = sentences_of(frame, source, tag=tag, text=self.columns[0])
            return replace(data, read_with=without_none(tag=self.tag, text=self.text))
        if self.text is not None:
            target = self.targets[0]
            data = texts_of(frame, source, text=self.text, target=target, kind=self.kinds.get(target, ""))
            assert data.targets is not None
            if not isinstance(data.targets.dtypes[0], pl.List):
                check_target(data.targets[target], source.at)
            return data
        typed = typed_frame(frame, source, self.kinds)
        is_infinite = typed.select(pl.col(pl.Float64).is_infinite().any())
        for name in (name for name in is_infinite.columns if is_infinite[name][0]):
            check_rows(typed[name].is_infinite(), source.at, f"finite numbers in column {name!r}", "infinity")
        return table_of(typed, source, targets=self.targets, group=self.group, order=self.order)

    def _selected(self, frame: pl.DataFrame, source: Source) -> pl.DataFrame:
        """The needed columns in the order of the first file; a key that some JSON lines lack is missing there."""
        known = set(frame.columns)
        lacking = [name for name in self.columns if name not in known]
        if source.path is None or not has_suffix(source.path, JSON_LINES):
            check_columns(lacking, frame.columns, source)
        return frame.with_columns(pl.lit(None).alias(name) for name in lacking).select(self.columns)


def columns_in(folder: str | Path) -> list[str]:
    """The columns of the first file of a folder; of JSON lines none, which name them row by row."""
    return list(_columns(_files(folder)[0]))


def _files(folder: str | Path) -> list[Path]:
    """The tables in a folder, in the order of their names, all of one kind."""
    root = Path(folder)
    if root.is_dir():
        paths = [path for path in root.rglob("*") if not _is_hidden(path.relative_to(root))]
    elif root.is_file():
        paths = [root]
    else:
        paths = [path for path in map(Path, glob.glob(str(folder))) if not _is_hidden(Path(path.name))]
    files = sorted(path for path in paths if path.is_file() and has_suffix(path, TABLES) and path.stat().st_size)
    if not files:
        hint = "a folder holds tables; other data is read from one file"
        if not root.is_dir():
            hint = did_you_mean(root.name, sorted(path.name for path in root.parent.glob("*")))
        raise DataError(f"expected Parquet, CSV or JSON lines files, got none ({folder})", hint=hint)
    for path in files:
        if any(has_suffix(path, kind) != has_suffix(files[0], kind) for kind in (PARQUET, JSON_LINES)):
            raise DataError(f"expected files of one kind, got {files[0].name} and {path.name} ({folder})")
    return files


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _rows(path: Path) -> Iterator[Chunk]:
    """The rows of a file, a few at a time."""
    for shard in shards_of(path, together=False, piece=PIECE)[:1]:
        yield from read_chunks(shard._replace(rows=min(shard.rows, 1024)))


def _check_columns(files: Sequence[Path], layout: Layout) -> None:
    """All files have the columns of the first, of the same kinds, as far as that shows without reading them."""
    expected = _columns(files[0])
    for path in files:
        columns = _columns(path)
        for name in layout.columns if columns else ():
            check_columns([name], list(columns), Source.of_file(path))
            kind, first = columns[name], expected[name]
            if kind and first and kind != first:
                message = f"expected {first} in column {name!r} as in {files[0]}, got {kind} ({path})"
                raise DataError(message, hint="write all files with the same types")


def _columns(path: Path) -> dict[str, str]:
    """The columns of a file and what they hold, where that is known: nothing of JSON lines, only names of CSV."""
    if has_suffix(path, PARQUET):
        return {name: _holds(column) for name, column in empty_parquet(path).to_dict().items()}
    if has_suffix(path, JSON_LINES):
        return {}
    return dict.fromkeys(header_of(path), "")


def _holds(column: pl.Series) -> str:
    if column.dtype == pl.Null:
        return ""
    if column.dtype.is_nested():
        return "lists"
    if column.dtype == pl.Boolean:
        return "truth values"
    return "numbers" if as_column(column).dtype == pl.Float64 else "text"


def _digest(files: Sequence[Path], folder: Path, layout: Layout) -> str:
    """A digest of the files' names, sizes, beginnings and ends, and of how they are read."""
    root = folder if folder.is_dir() else folder.parent
    digest = hashlib.sha256(repr(layout).encode())
    for path in files:
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root) if root in path.parents else path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(ENDS))
            file.seek(max(size - ENDS, 0))
            digest.update(file.read(ENDS))
    return digest.hexdigest()
