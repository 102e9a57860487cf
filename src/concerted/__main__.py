"""`python -m concerted`, the same as the command `concerted`."""

from concerted.cli import main

if __name__ == "__main__":
    main()
