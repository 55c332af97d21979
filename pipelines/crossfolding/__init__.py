"""The parts of cross-fitting by parcels: the parcels and their folds, what a fold learns from, and what came of it."""
