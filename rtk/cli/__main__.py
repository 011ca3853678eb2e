"""`python -m rtk.cli` is `rtk`."""

from rtk.cli import main

if __name__ == "__main__":
    main()
