"""Tables: reading them whole, in folders piece by piece, and several files as one."""
