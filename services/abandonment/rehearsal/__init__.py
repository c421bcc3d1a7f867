"""Detection over a recorded log: the file, its replay, and what came of it."""
