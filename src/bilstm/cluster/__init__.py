"""Work for many machines, through Ray: a model trained by several workers, many files predicted, a search.

Knows Ray; does not know tasks, options or files' formats. The extra ``cluster`` brings Ray.
"""
