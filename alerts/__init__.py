"""Alert, ticket and outcome: from a diagnosis to a case in the ticket system, and what the depot found."""
