"""Who is called and written to, and the way of a case from depot to factory."""
