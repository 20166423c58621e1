"""How many SMS a text costs (3GPP TS 23.038): one of 160 characters in GSM's own alphabet, of 70 in any other."""

_BASIC = set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = set("^{}\\[~]|€\f")  # each takes two places
_GSM_CHARACTERS = _BASIC | _EXTENDED
_GSM, _GSM_PART = 160, 153  # places of a single message, and of a part of a longer one
_UCS2, _UCS2_PART = 70, 67


def segments(text: str) -> int:
    """How many messages a text is sent as."""
    used = set(text)
    if used <= _GSM_CHARACTERS:
        places = len(text) + sum(text.count(character) for character in used & _EXTENDED)
        return 1 if places <= _GSM else -(-places // _GSM_PART)
    places = len(text.encode("utf-16-be")) // 2
    return 1 if places <= _UCS2 else -(-places // _UCS2_PART)
