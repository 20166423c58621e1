"""The web process: the JSON API in front, and behind it everything that people look at, on Flask."""
