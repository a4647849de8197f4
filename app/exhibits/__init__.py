"""Exhibits: a figure, its table, and every form in which both can be taken away."""
