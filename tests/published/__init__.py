"""The examples that kod.mobi publishes, each in a file with its exact text, and how each one's client sends it.

Left out are the two of the authentication chapter that call a gem and a module `kittn`: its template's, not
kod.mobi's.
"""
