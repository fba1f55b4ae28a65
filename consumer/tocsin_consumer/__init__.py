"""The receiving side: store, route, render and deliver what producers publish."""
