"""`python -m plainmask`."""

from plainmask.cli import main

if __name__ == "__main__":
    main()
