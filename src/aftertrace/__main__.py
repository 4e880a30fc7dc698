"""``python -m aftertrace`` is ``aftertrace``."""

from aftertrace.cli.main import main

if __name__ == "__main__":
    main()
