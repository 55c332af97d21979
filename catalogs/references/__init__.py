"""The two reference datasets that maps are compared with, PASTIS and DACIA5, read as they are published."""
