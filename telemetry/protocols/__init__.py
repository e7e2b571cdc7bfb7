"""The wires. Each folder: a pure codec, apart from the client or server that moves its bytes."""
