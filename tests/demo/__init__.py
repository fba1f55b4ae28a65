"""`make demo`: a whole tocsin on one machine, shown on the terminal."""
