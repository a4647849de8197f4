"""The server: how it is started, who reaches it, what it tells the browser, how it is dressed."""
