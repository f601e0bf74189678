"""Bytes from the broker are decoded, validated, stored, and only then acknowledged."""
