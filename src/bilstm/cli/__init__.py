"""The `bilstm` command: options and words in, work done elsewhere, results out."""

from bilstm.cli.program import app as app
from bilstm.cli.program import main as main
