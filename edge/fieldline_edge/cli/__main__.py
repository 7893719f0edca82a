"""`python -m fieldline_edge.cli`: the same as the `fieldline-edge` command."""

from fieldline_edge.cli import main

if __name__ == "__main__":
    main()
