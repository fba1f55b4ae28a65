"""Documents for people, and what writes those of them that come from the code."""
