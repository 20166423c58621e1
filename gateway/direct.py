"""Requests of the commands: past the environment's proxies, as the processes send theirs."""

from urllib.request import ProxyHandler, build_opener

open_directly = build_opener(ProxyHandler({})).open
"""`urlopen`, for http(s) addresses; what a proxy would answer says nothing of what the processes can reach."""
