"""The page in front of the API: a form for each kind of input, predictions, X-rays. Only this room knows NiceGUI.

NiceGUI has one application a process, and so has the page; a second server in one process has none.
"""
