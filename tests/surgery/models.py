"""Small models as people write them, right and wrong, for audit to tell apart. Each is a few lines on purpose."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from bilstm.nn import BiLSTM

FEATURES, HIDDEN, IDS, LABELS = 3, 5, 20, 4


class Model(nn.Module):
    """The layers that most of them have; ``make`` is the class of the recurrent one."""

    make: type[nn.Module] = nn.LSTM

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(IDS, FEATURES, padding_idx=0)
        self.lstm = self.make(FEATURES, HIDDEN, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * HIDDEN, LABELS)


def packed(lstm, x, lengths):
    """The output of a layer over a packed batch, padded again to T."""
    answer, states = lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
    return pad_packed_sequence(answer, batch_first=True, total_length=x.shape[1])[0], states


def valid(lengths, x):
    return (torch.arange(x.shape[1]) < torch.as_tensor(lengths)[:, None]).unsqueeze(2)  # (B, T, 1)


# --- right ones: x (B, T, F) and lengths, unless they say otherwise ------------------------------------------


class FinalStates(Model):
    make = BiLSTM

    def forward(self, x, lengths):
        _, (h_n, _) = self.lstm(x, lengths=lengths)
        return self.head(torch.cat([h_n[-2], h_n[-1]], 1))


class MeanOverValidSteps(Model):
    def forward(self, x, lengths):
        y = packed(self.lstm, x, lengths)[0]
        return self.head(y.sum(1) / torch.as_tensor(lengths)[:, None])


class MaskedAttention(Model):
    def forward(self, x, lengths):
        y = packed(self.lstm, x, lengths)[0]
        scores = y.sum(2, keepdim=True).masked_fill(~valid(lengths, x), -torch.inf)
        return self.head((scores.softmax(1) * y).sum(1))


class TaggerOfIds(Model):
    """Ids (B, T) and lengths; the output is cut to the longest row."""

    def forward(self, ids, lengths):
        answer, _ = self.lstm(pack_padded_sequence(self.embedding(ids), lengths, True, False))
        return self.head(pad_packed_sequence(answer, batch_first=True)[0])


class PaddingKnownById(Model):
    """Ids (B, T) alone: 0 is padding. Rows are sorted and put back."""

    def forward(self, ids):
        lengths, order = (ids != 0).sum(1).sort(descending=True)
        answer, _ = self.lstm(pack_padded_sequence(self.embedding(ids[order]), lengths, batch_first=True))
        return self.head(pad_packed_sequence(answer, batch_first=True)[0][order.argsort()])


class LossOfTags(Model):
    """Ids, tags with −100 on padding, lengths: a loss."""

    def forward(self, ids, tags, lengths):
        logits = self.head(packed(self.lstm, self.embedding(ids), lengths)[0])
        return F.cross_entropy(logits.flatten(0, 1), tags.flatten())


class FlatScores(Model):
    """Ids and lengths: the scores of all rows in one axis, as a loss wants them."""

    def forward(self, ids, lengths):
        return self.head(packed(self.lstm, self.embedding(ids), lengths)[0]).flatten(0, 1)


class LossAndScores(Model):
    """Ids, tags and lengths: a loss, and the scores."""

    def forward(self, ids, tags, lengths):
        scores = self.head(packed(self.lstm, self.embedding(ids), lengths)[0])
        return F.cross_entropy(scores.flatten(0, 1), tags.flatten()), scores


class ListsOfLabels(Model):
    """A list of labels for each row, as decoders return them."""

    def forward(self, ids, lengths):
        labels = self.head(packed(self.lstm, self.embedding(ids), lengths)[0]).argmax(2).tolist()
        return [row[:n] for row, n in zip(labels, lengths, strict=True)]


class TimeFirst(Model):
    """x (T, B, F) and lengths."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, 2, bidirectional=True)

    def forward(self, x, lengths):
        answer, (h_n, _) = self.lstm(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return self.head(pad_packed_sequence(answer)[0]), h_n


class Masked(Model):
    """A mask that is True on padding, as attention wants it."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(2 * HIDDEN, 2, batch_first=True)

    def forward(self, x, padding_mask):
        y = packed(self.lstm, x, (~padding_mask).sum(1))[0]
        return self.head(self.attention(y, y, y, key_padding_mask=padding_mask)[0])


class GivenStates(Model):
    """x, (h_0, c_0) and lengths."""

    make = BiLSTM

    def forward(self, x, hx, lengths):
        return self.head(self.lstm(x, hx, lengths)[0])


class BothEnds(Model):
    """Each direction where it has read everything. No lengths."""

    def forward(self, x):
        y = self.lstm(x)[0]
        return self.head(torch.cat([y[:, -1, :HIDDEN], y[:, 0, HIDDEN:]], 1))


class OneDirectionLastStep(Model):
    """No lengths; nothing bidirectional."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, 2 * HIDDEN, batch_first=True)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


# --- wrong ones: x (B, T, F) and lengths, unless they say otherwise ------------------------------------------


class LengthsIgnored(Model):
    def forward(self, x, lengths=None):
        return self.head(self.lstm(x)[0].mean(1))


class MeanOverAllSteps(Model):
    """The layer knows the lengths, the mean does not."""

    def forward(self, x, lengths):
        return self.head(packed(self.lstm, x, lengths)[0].mean(1))


class AttentionWithoutMask(Model):
    def forward(self, x, lengths):
        y = packed(self.lstm, x, lengths)[0]
        return self.head((y.sum(2, keepdim=True).softmax(1) * y).sum(1))


class ReversedOverPadding(Model):
    """Two layers of one direction; the second reads what flip() put first: padding."""

    def __init__(self):
        super().__init__()
        self.there = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.back = nn.LSTM(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x, lengths):
        y = torch.cat([self.there(x)[0], self.back(x.flip(1))[0].flip(1)], 2)
        return self.head(y) * valid(lengths, x)


class LastColumn(Model):
    """output[:, -1], where short rows have padding."""

    def forward(self, x, lengths):
        return self.head(packed(self.lstm, x, lengths)[0][:, -1])


class LastStep(Model):
    """output[:, -1] of rows without padding: the backward half has read one step. No lengths."""

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class LastValidStep(Model):
    """The last step of each row: the backward half has read one step all the same."""

    def forward(self, x, lengths):
        y = packed(self.lstm, x, lengths)[0]
        return self.head(y[torch.arange(len(y)), torch.as_tensor(lengths) - 1])


class FirstStep(Model):
    """No lengths."""

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, 0])


class LastStateOnly(Model):
    """h_n[-1] is the backward half alone."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(HIDDEN, LABELS)

    def forward(self, x, lengths):
        return self.head(packed(self.lstm, x, lengths)[1][0][-1])


class BatchSecond(Model):
    """batch_first was forgotten: rows are read as steps."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, bidirectional=True)

    def forward(self, x, lengths):
        return self.head(self.lstm(x)[0]) * valid(lengths, x)


class StatesViewed(Model):
    """h_n (2, B, H) seen as (B, 2H): rows are mixed."""

    def forward(self, x, lengths):
        h_n, _ = packed(self.lstm, x, lengths)[1]
        return self.head(h_n.view(len(x), -1))


class NormOfTheBatch(Model):
    """Statistics of the batch in eval mode, too."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2 * HIDDEN, track_running_stats=False)

    def forward(self, x, lengths):
        h_n, _ = packed(self.lstm, x, lengths)[1]
        return self.head(self.norm(torch.cat([h_n[-2], h_n[-1]], 1)))


class NeverPutBack(Model):
    """Rows sorted for packing stay sorted."""

    def forward(self, x, lengths):
        lengths, order = torch.as_tensor(lengths).sort(descending=True)
        return self.head(packed(self.lstm, x[order], lengths)[0])


class DropoutForEver(Model):
    def forward(self, x, lengths):
        return self.head(F.dropout(packed(self.lstm, x, lengths)[0]))


class StatesKept(Model):
    """The states of a call are the first of the next. No lengths."""

    states = None

    def forward(self, x):
        y, self.states = self.lstm(x, self.states)
        return self.head(y)


class DividedByPadding(Model):
    """Infinite for one amount of padding."""

    def forward(self, x, lengths):
        h_n, _ = packed(self.lstm, x, lengths)[1]
        return self.head(torch.cat([h_n[-2], h_n[-1]], 1)) / (x.shape[1] - max(lengths) - 2)


class Squeezed(Model):
    """A batch of one row loses its axis."""

    def forward(self, x, lengths):
        h_n, _ = packed(self.lstm, x, lengths)[1]
        return self.head(torch.cat([h_n[-2], h_n[-1]], 1)).squeeze()


class PaddingReadAsId(Model):
    """Ids and lengths; the layer reads the padding."""

    def forward(self, ids, lengths):
        return self.head(self.lstm(self.embedding(ids))[0])
