"""`python -m metricgrad` is the command `metricgrad`."""

from metricgrad.cli.main import main

if __name__ == "__main__":
    main()
