"""`python -m bilstm.cli` is the `bilstm` command, also where scripts of packages are not on the path."""

from bilstm.cli.program import main

if __name__ == "__main__":
    main()
