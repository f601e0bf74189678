"""What a ticket says, which alerts share one, and how it reaches the ticket system."""
