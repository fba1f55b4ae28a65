"""`python -m tocsin_consumer` is `tocsin-consumer`."""

from tocsin_consumer.cli import main

main()
