"""The command line. Its modules import nothing heavy: torch and its company are loaded inside the commands."""
