"""Mathematics: networks, losses, metrics and checkpoints; arrays in, arrays out, and nothing that opens a file."""
