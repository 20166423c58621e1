"""The limits of production are for one visitor, one house, one site; here all come from 127.0.0.1."""

_MANY = "3600000/3600"  # one a millisecond: of more, none would count, and any other process's would be too many
NO_LIMITS_HERE = {
    "LIMIT_SENDS_DESTINATION": _MANY,  # the examples all name one phone
    "LIMIT_SENDS_ADDRESS_SOFT": _MANY,
    "LIMIT_SENDS_ADDRESS": _MANY,
    "LIMIT_SENDS_BROWSER": _MANY,
    "LIMIT_SENDS_PREFIX": _MANY,
    "LIMIT_SENDS_PROJECT": _MANY,
    "LIMIT_CHECKS_ADDRESS": _MANY,
    "LIMIT_CHECKS_BROWSER": _MANY,
    "LIMIT_ACTIVATIONS_PROJECT": _MANY,
    "CEILING_MESSAGES": "1000000000",
    "GUARD_CODES": "1000000000",  # far more sessions are begun here than completed
}
