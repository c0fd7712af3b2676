"""Texts and tagged sentences: readers, vocabularies, tag schemes, word vectors, n-gram files."""
