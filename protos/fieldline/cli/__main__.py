"""`python -m fieldline.cli`: the same as the `fieldline` command."""

from fieldline.cli import main

if __name__ == "__main__":
    main()
