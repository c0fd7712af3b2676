"""What requests and answers of a model look like: their JSON, its schema, its check. One file a kind of input.

Knows estimators and JSON; knows nothing of HTTP, queues or threads.
"""
