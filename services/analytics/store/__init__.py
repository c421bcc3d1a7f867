"""SQL: the facts as they are written, read and rebuilt."""
