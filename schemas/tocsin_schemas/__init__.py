"""What the two sides of tocsin agree on: the wire, the MQTT session and the configuration files' dialect."""

__version__ = "0.1.0"
