"""Random faults on a whole installation, and an exact ledger of what arrived."""
