"""What can be asked of the program: a file per group of commands. Heavy imports wait inside each command."""
