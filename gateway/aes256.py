"""kod.mobi's encrypted codes: how `manual/send` returns a code, and how clients may hand one in.

The key is the first 32 characters of base64(SHA-256(API key)), the cipher AES-256-CBC with PKCS#7. Two forms:

- `aes256:<iv>:<ciphertext>:<tag>`, all hex; `tag` is the first 4 bytes of HMAC-SHA-256 by the key over
  `<iv>:<ciphertext>` (seed: Manual send; the tag's making is ours, published only as 8 characters).
- `aes_256_cbc_<iv><ciphertext>`, hex, without a tag (observed in clients of the legacy API).

`docs/moving-from-kod-mobi.md` has the decoder in other languages.
"""

import hmac
import os
import re
from base64 import b64encode
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_BLOCK_BITS = 128
_IV = 16  # bytes
_TAG = 4
_TAGGED = re.compile(r"aes256:([0-9a-f]{32}):((?:[0-9a-f]{32}){1,4}):([0-9a-f]{8})", re.ASCII)
_PLAIN = re.compile(r"aes_256_cbc_([0-9a-f]{32})((?:[0-9a-f]{32}){1,4})", re.ASCII)


class NotDecodable(Exception):
    """Not of either form, changed, or encrypted with another key."""


def code_key(api_key: str) -> bytes:
    """The 32-byte key that belongs to an API key."""
    return b64encode(sha256(api_key.encode()).digest())[:32]


def encode_code(code: str, key: bytes) -> str:
    """A code as `aes256:<iv>:<ciphertext>:<tag>`; `key` is `code_key` of the secret key."""
    iv = os.urandom(_IV)
    padder = PKCS7(_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).encryptor()
    padded = padder.update(code.encode()) + padder.finalize()
    body = f"{iv.hex()}:{(encryptor.update(padded) + encryptor.finalize()).hex()}"
    return f"aes256:{body}:{_tag(body, key)}"


def decode_code(encoded: str, key: bytes) -> str:
    """The code in either form; a tag must be of our own making. Raises `NotDecodable`."""
    text = encoded.strip().lower()
    if tagged := _TAGGED.fullmatch(text):
        iv, ciphertext, tag = tagged.groups()
        if not hmac.compare_digest(tag, _tag(f"{iv}:{ciphertext}", key)):
            raise NotDecodable
    elif plain := _PLAIN.fullmatch(text):
        iv, ciphertext = plain.groups()
    else:
        raise NotDecodable
    return _decrypt(bytes.fromhex(iv), bytes.fromhex(ciphertext), key)


def is_encoded(text: str) -> bool:
    """Whether a text claims to be an encrypted code."""
    return text.strip().lower().startswith(("aes256:", "aes_256_cbc_"))


def _decrypt(iv: bytes, ciphertext: bytes, key: bytes) -> str:
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(_BLOCK_BITS).unpadder()
    try:
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()
    except ValueError:
        raise NotDecodable from None


def _tag(body: str, key: bytes) -> str:
    return hmac.digest(key, body.encode(), "sha256")[:_TAG].hex()
