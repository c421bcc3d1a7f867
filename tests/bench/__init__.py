"""Speed and memory, with baselines measured in the same run: `make bench`, `make bench ONLY=name`."""
