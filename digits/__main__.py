"""``python -m digits``: the command line with the code that lies in the current folder, as DVC's stages want it."""

from digits.cli import main

if __name__ == "__main__":
    main()
