"""Connectionist temporal classification: equations, kernels, losses and searches."""
