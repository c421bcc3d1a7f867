"""Random faults for minutes: `make chaos`, `make chaos ONLY=line`."""
