"""The real parts of a whole installation, started for tests and for the demo: broker, producer, consumer."""
