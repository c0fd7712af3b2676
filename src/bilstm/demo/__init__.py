"""Data that needs no download, and the demonstrations that train on it."""
