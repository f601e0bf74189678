"""Payload formats; each file decodes one."""
