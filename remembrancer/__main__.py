"""``python -m remembrancer`` is the command line."""

from remembrancer.entrypoints.cli.main import main

if __name__ == "__main__":
    main()
