"""Real servers that the demo, the tests and the benchmarks start on loopback, each in a folder of its own."""
