"""The local stack: Kafka, a schema registry, PostgreSQL and Valkey as plain processes, without containers, a JDK or root."""
