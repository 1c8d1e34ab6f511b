"""`python -m berth_cli` is `berth`."""

from berth_cli.main import main

if __name__ == "__main__":
    main()
