"""What the workshop found: how it comes in, what follows from it, and whom it judges."""
