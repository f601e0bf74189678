"""Pages for reliability engineers."""
