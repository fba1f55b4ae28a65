"""`python -m tocsin_producer` is `tocsin-producer`."""

from tocsin_producer.cli import main

if __name__ == "__main__":
    main()
