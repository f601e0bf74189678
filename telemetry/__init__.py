"""What equipment reports, and where it is kept: records and the stores behind one protocol."""
