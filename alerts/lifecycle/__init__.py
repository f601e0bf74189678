"""An alert from its first day to its end: states, who opens and closes it, what keeps it back."""
