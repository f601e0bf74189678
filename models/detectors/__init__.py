"""One detector a file; ``tests/models`` finds each by itself."""
