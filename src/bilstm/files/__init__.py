"""Bytes on a disk: the tensor file and the model file."""
