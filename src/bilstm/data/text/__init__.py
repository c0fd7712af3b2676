"""Texts and tagged sentences: readers, vocabularies, tag schemes, word vectors, n-gram files."""

from bilstm.data.text.reader import from_words as from_words
