"""The gateway's way to Kafka: librdkafka, called from C where that is built, else by confluent-kafka's Python producer."""
