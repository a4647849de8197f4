"""How the dashboard feels, as numbers: measured in a real browser on stored runs."""
