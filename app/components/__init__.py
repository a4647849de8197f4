"""Views that run in the browser: frames are shipped once, the cursor moves without asking."""
