"""The command line: a test file a command."""
