"""Files of one word a line: what is understood, what is written back, and how each kind of bad file is refused."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bilstm.data.text.conll import read_conll, write_with_column
from bilstm.errors import DataError
from tests.compare import assert_close

FILE = "words.conll"
COLUMNS = "Ann\tB-PER\nran\tO\n\nto\tO\nRome\tB-LOC\n"
UNIVERSAL = (
    "# sent_id = 1\n# text = I don't.\n"
    "1\tI\ti\tPRON\tPRP\t_\t3\tnsubj\t_\t_\n"
    "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "2\tdo\tdo\tAUX\tVBP\t_\t3\taux\t_\t_\n"
    "3\tn't\tnot\tPART\tRB\t_\t0\troot\t_\t_\n"
    "3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_\n"
    "4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\tSpaceAfter=No|Note=end\n"
    "\n"
    "# sent_id = 2\n"
    "1\t#\t#\tSYM\tNN\t_\t0\troot\t_\tNotSpaceAfter=No\n"
    "\n"
)


def written(path, values):
    """The bytes that a file with one more column has."""
    out = io.StringIO(newline="")
    write_with_column(path, values, out)
    return out.getvalue().encode()


def test_words_tags_lengths_and_lines_are_those_of_the_file(write):
    data = read_conll(write(COLUMNS))
    assert data.words == ["Ann", "ran", "to", "Rome"]
    assert data.tags == ["B-PER", "O", "O", "B-LOC"]
    assert_close(data.lengths, np.array([2, 2]))
    assert_close(data.lines, np.array([1, 2, 4, 5]))
    assert_close(data.spaces, np.ones(4, dtype=bool))
    assert (data.lengths.dtype, data.lines.dtype, data.spaces.dtype) == (np.int64, np.int64, np.bool_)


SAME = {
    "one blank": COLUMNS.replace("\t", " "),
    "many blanks": COLUMNS.replace("\t", "      "),
    "tabs among blanks": COLUMNS.replace("\t", " \t "),
    "a tab here, a blank there": COLUMNS.replace("\t", " ", 1),
    "several tabs": COLUMNS.replace("\t", "\t\t"),
    "blanks at the ends of lines": COLUMNS.replace("\n", " \t\n"),
    "blanks at the starts of lines": "  " + COLUMNS,
    "blank lines that hold blanks": COLUMNS.replace("\n\n", "\n \t \n"),
    "many blank lines": "\n\n" + COLUMNS.replace("\n\n", "\n\n\n\n") + "\n\n",
    "lines of Windows": COLUMNS.replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + COLUMNS,
    "no line end at the end": COLUMNS.rstrip("\n"),
    "a document's begin": "-DOCSTART- -X- O O\n\n" + COLUMNS,
    "a document's begin instead of a blank line": COLUMNS.replace("\n\n", "\n-DOCSTART-\n"),
    "a document's begin with a tab": "-DOCSTART-\tO\n\n" + COLUMNS,
    "more columns": COLUMNS.replace("\t", "\tNN\tx\t"),
    "more columns, tabs and blanks": COLUMNS.replace("\t", " NN\tx "),
}


@pytest.mark.parametrize("name", SAME)
def test_a_file_written_otherwise_is_the_same_sentences(write, name):
    data = read_conll(write(SAME[name]))
    expected = read_conll(write(COLUMNS))
    assert (data.words, data.tags) == (expected.words, expected.tags)
    assert_close(data.lengths, expected.lengths)


def test_a_packed_file_is_read_like_an_open_one(write):
    assert read_conll(write(gzip.compress(COLUMNS.encode()), "words.conll.gz")).words == ["Ann", "ran", "to", "Rome"]
    assert read_conll(write(gzip.compress(UNIVERSAL.encode()), "words.conllu.gz")).tags[0] == "PRON"


def test_lines_are_counted_past_all_that_is_skipped(write):
    text = "\ufeff-DOCSTART- O\r\n\r\n \r\nAnn O\r\n\r\n\r\nran O"
    assert_close(read_conll(write(text)).lines, np.array([4, 7]))


@pytest.mark.parametrize("word", ["#", "#hashtag", "# ", "a\xa0b", "\xa0", "\u2028", "a\x85b", "\x0c", "-", "_", '"'])
def test_a_word_is_whatever_stands_in_the_first_column(write, word):
    data = read_conll(write(f"{word}\tO\nand\tO\n"))
    assert data.words == [word.strip(" "), "and"]


@pytest.mark.parametrize("above", ["", "-DOCSTART- -X- O\n\n"])
def test_words_hold_blanks_where_tabs_stand_between_the_columns(write, above):
    data = read_conll(write(above + "New York\tB-LOC\nis\tO\n"))
    assert data.words == ["New York", "is"]


def test_the_column_of_the_tags_can_be_chosen(write):
    path = write("Ann NNP B-NP B-PER\nran VBD B-VP O\n")
    assert read_conll(path).tags == ["B-PER", "O"]
    assert read_conll(path, tag=2).tags == read_conll(path, tag="2").tags == ["NNP", "VBD"]
    assert read_conll(path, tag=4).tags == ["B-PER", "O"]


def test_words_alone_need_one_column(write):
    data = read_conll(write("Ann\nran\n\nhome\n"), with_tags=False)
    assert (data.words, data.tags, data.lengths.tolist()) == (["Ann", "ran", "home"], None, [2, 1])


@pytest.mark.parametrize("name", ["words.conllu", "WORDS.CONLLU", "words.txt"])
def test_conllu_is_known_by_its_name_or_its_columns(write, name):
    data = read_conll(write(UNIVERSAL, name))
    assert data.words == ["I", "do", "n't", ".", "#"]
    assert data.tags == ["PRON", "AUX", "PART", "PUNCT", "SYM"]
    assert_close(data.lengths, np.array([4, 1]))
    assert_close(data.lines, np.array([3, 5, 6, 8, 11]))


def test_no_blank_follows_where_conllu_says_so_nor_inside_a_word_of_several(write):
    data = read_conll(write(UNIVERSAL, "words.conllu"))
    assert_close(data.spaces, np.array([True, False, False, False, True]))
    spaced = read_conll(write(UNIVERSAL.replace("SpaceAfter=No\n2\t", "_\n2\t"), "words.conllu"))
    assert_close(spaced.spaces, np.array([True, False, True, False, True]))


@pytest.mark.parametrize("tag", ["xpos", "XPOS", "Xpos", 5, "5"])
def test_the_other_part_of_speech_is_read_by_name_or_number(write, tag):
    assert read_conll(write(UNIVERSAL, "words.conllu"), tag=tag).tags == ["PRP", "VBP", "RB", ".", "NN"]


def test_lines_of_windows_and_a_missing_last_line_are_no_obstacle_in_conllu(write):
    data = read_conll(write("\ufeff" + UNIVERSAL.rstrip("\n").replace("\n", "\r\n"), "words.conllu"))
    assert data.words == ["I", "do", "n't", ".", "#"]
    assert_close(data.spaces, np.array([True, False, False, False, True]))


BLANK_LINE = UNIVERSAL.replace("\n\n", "\n")
BAD = {
    "an empty file": ("", {}, "expected sentences, got an empty file (PATH)"),
    "blank lines alone": ("\n \n\t\n", {}, "expected sentences, got no word (PATH)"),
    "a document of nothing": ("-DOCSTART- O\n\n", {}, "expected sentences, got no word (PATH)"),
    "comments alone": ("# nothing\n", {"conllu": True}, "expected sentences, got no word (PATH)"),
    "words alone": ("\nAnn\nran\n", {}, "expected a word and its tag, got 1 column (PATH, line 2)"),
    "a missing tag": ("Ann\tO\n\nran\t\n", {}, "expected 2 columns as on line 1, got 1 column (PATH, line 3)"),
    "a missing word": ("Ann\tO\n\n\tO\n", {}, "expected 2 columns as on line 1, got 1 column (PATH, line 3)"),
    "a missing column": ("\na b O\nc O\n", {}, "expected 3 columns as on line 2, got 2 columns (PATH, line 3)"),
    "a column too many": (
        "Ann O\nNew York O\n",
        {},
        "got 3 columns (PATH, line 2)\nhint: words and tags hold no blanks",
    ),
    "a tab too many": ("an ox\tO\na\tO\tO\n", {}, "got 3 columns (PATH, line 2)\nhint: the columns of this file"),
    "another encoding": (
        b"Ann O\n\nRen\xe9 O\n",
        {},
        "expected sentences, got bytes that are not UTF-8 (PATH, line 3)",
    ),
    "two bytes a letter": ("Ann O\n".encode("utf-16"), {}, "got bytes that are not UTF-8 (PATH, line 1)"),
    "lines of an old Mac": ("Ann O\rran O\r", {}, "expected lines, got carriage returns without line feeds (PATH)"),
    "no such column": ("\nAnn O\n", {"tag": 3}, "expected column 3 of tags, got 2 columns (PATH, line 2)"),
    "column nought": ("Ann O\n", {"tag": 0}, "expected column 0 of tags, got 2 columns (PATH, line 1)"),
    "a column before it": ("Ann O\n", {"tag": -1}, "expected a column of tags, got -1 (PATH)"),
    "a column by name": ("Ann O\n", {"tag": "ner"}, "expected a column of tags, got 'ner' (PATH)\nhint: the first"),
    "a misspelt name": (UNIVERSAL, {"conllu": True, "tag": "xpso"}, "got 'xpso' (PATH)\nhint: did you mean 'xpos'?"),
    "no tags in CoNLL-U": (
        UNIVERSAL.replace("PART", "_"),
        {"conllu": True},
        "expected a tag, got '_' (PATH, line 6)\nhint: '_' stands for nothing",
    ),
    "columns in CoNLL-U": (COLUMNS, {"conllu": True}, "expected 10 columns between tabs, got 2 columns (PATH, line 1)"),
    "a comment inside": (
        UNIVERSAL.replace("2-3", "# here\n2-3"),
        {"conllu": True},
        "expected 10 columns between tabs, got 1 column (PATH, line 4)\nhint: comments stand only",
    ),
    "no blank line": (
        BLANK_LINE.replace("# sent_id = 2\n", ""),
        {"conllu": True},
        "expected word 5, got word 1 (PATH, line 9)\nhint: a blank line ends a sentence",
    ),
    "a word without number": (
        UNIVERSAL.replace("\n4\t", "\nx\t"),
        {"conllu": True},
        "expected a word's number, got 'x' (PATH, line 8)",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_with_what_and_where(write, name):
    text, options, message = BAD[name]
    options = dict(options)
    path = write(text, "words.conllu" if options.pop("conllu", False) else "words.conll")
    with pytest.raises(DataError) as caught:
        read_conll(path, **options)
    assert message.replace("PATH", str(path)) in str(caught.value)


def test_a_comment_among_columns_is_refused_with_advice(write):
    with pytest.raises(DataError, match=r"got 4 columns \(.*, line 3\)\nhint: comments stand only in CoNLL-U"):
        read_conll(write("Ann O\n\n# id = 7\nran O\n"))


def test_a_missing_file_is_named_with_its_nearest_neighbour(write):
    path = write(COLUMNS, "train.conll")
    with pytest.raises(DataError, match=r"did you mean 'train.conll'\?"):
        read_conll(path.with_name("trian.conll"))


def test_a_folder_is_no_sentences(tmp_path):
    with pytest.raises(DataError, match="got a folder"):
        read_conll(tmp_path)


@pytest.mark.parametrize("data", [b"Ann O\n", gzip.compress(COLUMNS.encode() * 50, mtime=0)[:-20]], ids=["open", "cut"])
def test_a_damaged_packed_file_is_refused(write, data):
    with pytest.raises(DataError, match=r"expected sentences, got .*words\.conll\.gz"):
        read_conll(write(data, "words.conll.gz"))


@pytest.mark.parametrize("name", SAME)
def test_an_added_column_is_read_and_all_else_is_left_as_it_was(write, tmp_path, name):
    path = write(SAME[name])
    again = tmp_path / "again.conll"
    again.write_bytes(written(path, ["B-w", "B-x", "B-y", "B-z"]))
    old, new = read_conll(path), read_conll(again)
    assert (new.words, new.tags) == (old.words, ["B-w", "B-x", "B-y", "B-z"])
    assert read_conll(again, tag=len(SAME[name].split("Ann")[1].split("\n")[0].split()) + 1).tags == old.tags
    assert_close(new.lines, old.lines)
    shortened = again.read_bytes()
    for tag in (b"B-w", b"B-x", b"B-y", b"B-z"):
        before, after = shortened.split(tag)
        shortened = before[:-1] + after
    assert shortened == path.read_bytes()


def test_the_added_column_stands_behind_the_files_own_separator(write):
    assert written(write("Ann\tO\r\n\r\nran\tO"), ["X", "Y"]) == b"Ann\tO\tX\r\n\r\nran\tO\tY"
    assert written(write("Ann   O \nran O\n"), ["X", "Y"]) == b"Ann   O X \nran O Y\n"
    assert written(write("\nAnn\nran\n\n"), ["X", "Y"]) == b"\nAnn\tX\nran\tY\n\n"


def test_in_conllu_the_added_column_is_in_misc(write):
    lines = UNIVERSAL.replace("\n", "\r\n").splitlines(keepends=True)
    result = written(write("".join(lines), "words.conllu"), ["W", "X", "A|B", "Y", "Z"]).decode()
    for line, old, new in (
        (3, "\t_\r", "\tPredicted=W\r"),
        (5, "\t_\r", "\tPredicted=X\r"),
        (6, "\t_\r", "\tPredicted=A\\pB\r"),
        (8, "Note=end\r", "Note=end|Predicted=Y\r"),
        (11, "NotSpaceAfter=No\r", "NotSpaceAfter=No|Predicted=Z\r"),
    ):
        lines[line - 1] = lines[line - 1].replace(old, new)
    assert result == "".join(lines)


def test_in_conllu_a_second_prediction_takes_the_place_of_the_first(write):
    path = write(UNIVERSAL, "words.conllu")
    first = written(path, ["A", "B", "C", "D", "E"])
    second = written(write(first, "first.conllu"), ["V", "W", "X", "Y", "Z"])
    assert second == written(path, ["V", "W", "X", "Y", "Z"])
    assert read_conll(write(second, "second.conllu")).tags == read_conll(path).tags


CELL = st.text(st.sampled_from("ab#-_\xa0\u2028é."), min_size=1, max_size=3)


@given(
    st.lists(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from(["\t", " ", "  ", " \t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_is_written_is_what_is_read(tmp_path_factory, sentences, separator, line_end, ends):
    path = tmp_path_factory.mktemp("words") / "t.conll"
    blocks = [line_end.join(separator.join(pair) for pair in sentence) for sentence in sentences]
    path.write_bytes(((line_end * 2).join(blocks) + line_end * ends).encode())
    data = read_conll(path)
    pairs = [pair for sentence in sentences for pair in sentence]
    assert list(zip(data.words, data.tags, strict=True)) == pairs
    assert data.lengths.tolist() == [len(sentence) for sentence in sentences]
    rows = path.read_bytes().decode().split("\n")
    assert all(rows[line - 1].startswith(word) for line, word in zip(data.lines, data.words, strict=True))
    path.write_bytes(written(path, [f"new{n}" for n in range(len(pairs))]))
    again = read_conll(path)
    assert (again.words, again.tags) == (data.words, [f"new{n}" for n in range(len(pairs))])
    assert read_conll(path, tag=2).tags == data.tags


@pytest.mark.parametrize("values", [["X"], ["X"] * 5])
def test_too_few_or_too_many_values_are_refused(write, values):
    with pytest.raises(DataError, match=f"expected 4 values, one for each word, got {len(values)}"):
        written(write(COLUMNS), values)


@pytest.mark.parametrize("value", ["", " ", "X\t", "X\n", "\rX", "X\tY", "X Y"])
def test_a_value_that_would_break_the_line_is_refused(write, value):
    with pytest.raises(DataError, match="expected a value that can stand in a column"):
        written(write("Ann O\n"), [value])
