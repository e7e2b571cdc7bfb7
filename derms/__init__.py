"""The network and the words: watts, limits, errors, what the wires can take, and the wiring of the program."""
