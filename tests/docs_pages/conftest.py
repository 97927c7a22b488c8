"""The commands of a page run in this process, in a folder of their own."""

from tests.cli.conftest import command as command
