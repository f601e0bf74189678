"""A simulated fleet of rail vehicles, with the failures, false faults and bad links that real ones have."""
