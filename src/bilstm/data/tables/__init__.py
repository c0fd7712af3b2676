"""Tables: reading them whole, in folders piece by piece, and several files as one."""

from bilstm.data.tables.reader import read_raw

__all__ = ["read_raw"]
