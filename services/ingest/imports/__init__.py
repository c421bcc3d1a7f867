"""History from a file: through the same adapters, straight to Kafka, marked as imported."""
