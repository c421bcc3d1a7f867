"""A partition's rows as a log of batches in files."""
