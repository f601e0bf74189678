"""The program: command line, wiring, scheduler, demo, simulator."""
