"""Figures: numbers first (`..._info`), then drawing (`figure`). Nothing here knows of a page."""
