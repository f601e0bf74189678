"""Ticket systems behind one protocol; each file is one system."""
