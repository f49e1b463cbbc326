"""`python -m lookalike`."""

from lookalike.cli.app import main

if __name__ == "__main__":
    main()
