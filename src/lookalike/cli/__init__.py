"""The command line: thin, and quick to start; every command loads only what it needs."""
