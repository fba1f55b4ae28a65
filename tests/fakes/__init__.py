"""Honest stand-ins for the services that tocsin talks to, each held to recordings by tests of its own."""
