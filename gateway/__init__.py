"""The login gateway: contacts, sessions, codes, channels, delivery and storage.

`web` and `bot` each hold one `Gateway` (see `gateway.verbs`) and call its verbs; `gateway.bootstrap` builds it.
Nothing here imports Flask, aiogram's dispatcher, `web` or `bot`.
"""
