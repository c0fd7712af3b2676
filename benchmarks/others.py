"""Taggers that others wrote, from PyPI, built by their own classes with random weights, over invented sentences.

Each comes with two jobs: predict every sentence, and one pass of losses with gradients. Knows nothing of our layer.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor, nn

from layer import sentence_lengths

SENTENCES, LONGEST, WORDS = 640, 60, 3000  # log-normal lengths, median 30
LABELS = ("NOUN", "VERB", "ADJ", "ADP", "DET", "PRON", "ADV", "NUM", "PUNCT", "X")
LETTERS = "etaoinshrdlcumwfgypbvk"


class Other(NamedTuple):
    """Somebody's model: ``losses`` gives one loss a batch, ``predict`` all that it says of every sentence."""

    model: nn.Module
    predict: Callable[[nn.Module], list[Tensor]]
    losses: Callable[[nn.Module], Iterator[Tensor]]


def sentences() -> list[list[tuple[str, str]]]:
    """Words of 1 to 14 letters with labels, in sentences of unequal lengths."""
    draw = random.Random(0)
    words = ["".join(draw.choices(LETTERS, k=min(14, 1 + int(draw.gammavariate(3, 1.4))))) for _ in range(WORDS)]
    labelled = [(word, draw.choice(LABELS)) for word in words]
    return [draw.choices(labelled, k=int(n)) for n in sentence_lengths(SENTENCES, LONGEST)]


def stanza() -> Other:
    """Stanza's part-of-speech tagger: characters, words, two highway layers of BiLSTM, biaffine labels."""
    from stanza.models.pos.data import Dataset
    from stanza.models.pos.model import Tagger
    from stanza.models.pos.trainer import unpack_batch
    from stanza.models.tagger import build_argparse
    from stanza.utils.conll import CoNLL

    rows = (
        "\n".join(f"{i}\t{word}\t_\t{label}\t{label}\t_\t{i - 1}\t_\t_\t_" for i, (word, label) in enumerate(text, 1))
        for text in sentences()
    )
    document = CoNLL.conll2doc(input_str="\n\n".join(rows) + "\n\n")
    arguments = vars(build_argparse().parse_args(["--no_pretrain", "--shorthand", "xx_none", "--lang", "xx"]))
    data = Dataset(document, arguments | {"augment_nopunct": 0.0}, None)
    batches = [unpack_batch(batch, "cpu") for batch in data.to_loader(batch_size=32)]

    def call(model: nn.Module, batch: tuple) -> tuple[Tensor, list[Tensor]]:
        inputs, _, word_order, lengths, word_lengths, text = batch
        return model(*inputs, word_order, lengths, word_lengths, text)

    return Other(
        Tagger(arguments, data.vocab),
        lambda model: [label for batch in batches for label in call(model, batch)[1]],
        lambda model: (call(model, batch)[0] for batch in batches),
    )


def flair() -> Other:
    """Flair's sequence tagger: word vectors and a character BiLSTM, one BiLSTM layer, CRF."""
    from flair.data import Dictionary, Sentence
    from flair.embeddings import CharacterEmbeddings, OneHotEmbeddings, StackedEmbeddings
    from flair.models import SequenceTagger

    texts = sentences()
    words, letters, labels = Dictionary(), Dictionary(), Dictionary(add_unk=False)
    for word in sorted({word for text in texts for word, _ in text}):
        words.add_item(word)
    for item, dictionary in [(letter, letters) for letter in LETTERS] + [(label, labels) for label in LABELS]:
        dictionary.add_item(item)
    embeddings = StackedEmbeddings([OneHotEmbeddings(words, embedding_length=100), CharacterEmbeddings(letters)])
    batches = []
    for start in range(0, len(texts), 32):
        batch = [Sentence([word for word, _ in text]) for text in texts[start : start + 32]]
        for sentence, text in zip(batch, texts[start : start + 32], strict=True):
            for token, (_, label) in zip(sentence, text, strict=True):
                token.add_label("pos", label)
        batches.append(batch)

    def scores(model: nn.Module, batch: list) -> Tensor:
        vectors, lengths = model._prepare_tensors(sorted(batch, key=len, reverse=True))
        return model(vectors, lengths)[0]

    def loss(model: nn.Module, batch: list) -> Tensor:
        for sentence in batch:
            sentence.clear_embeddings()
        return model.forward_loss(batch)[0]

    return Other(
        SequenceTagger(embeddings, tag_dictionary=labels, tag_type="pos", tag_format="BIO"),
        lambda model: [scores(model, batch) for batch in batches],
        lambda model: (loss(model, batch) for batch in batches),
    )


OTHERS = {"stanza": stanza, "flair": flair}
