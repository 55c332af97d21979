"""The parts of self-training: teachers, what they see, the labels made of it, and what became of each round."""
