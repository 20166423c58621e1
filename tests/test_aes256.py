"""kod.mobi's encrypted codes, against openssl's own cipher."""

import base64
import hashlib
import hmac
import subprocess

import pytest

from gateway.aes256 import NotDecodable, code_key, decode_code, encode_code, is_encoded

SECRET = "sk_site"
KEY = code_key(SECRET)


def openssl(text: bytes, iv: str, direction: str) -> bytes:
    """AES-256-CBC by openssl, the key made from the secret key as the contract says."""
    key = base64.b64encode(hashlib.sha256(SECRET.encode()).digest())[:32]
    command = ["openssl", "enc", direction, "-aes-256-cbc", "-K", key.hex(), "-iv", iv]
    return subprocess.run(command, input=text, capture_output=True, check=True).stdout


@pytest.mark.parametrize("code", ["0000", "007032", "AB23CD"])
def test_openssl_reads_what_we_encode(code: str) -> None:
    name, iv, ciphertext, tag = encode_code(code, KEY).split(":")
    assert name == "aes256"
    assert openssl(bytes.fromhex(ciphertext), iv, "-d") == code.encode()
    assert tag == hmac.new(KEY, f"{iv}:{ciphertext}".encode(), "sha256").hexdigest()[:8]


@pytest.mark.parametrize("code", ["0000", "007032"])
def test_we_read_what_openssl_encodes(code: str) -> None:
    iv = "8fd2a47c91e5b04f3a2cd99b8c1e77d5"
    ciphertext = openssl(code.encode(), iv, "-e").hex()
    tag = hmac.new(KEY, f"{iv}:{ciphertext}".encode(), "sha256").hexdigest()[:8]
    assert decode_code(f"aes256:{iv}:{ciphertext}:{tag}", KEY) == code
    assert decode_code(f"aes_256_cbc_{iv}{ciphertext}", KEY) == code
    assert decode_code(f"AES_256_CBC_{iv}{ciphertext}".upper(), KEY) == code


def test_what_was_changed_or_is_anothers_is_not_decoded() -> None:
    encoded = encode_code("123456", KEY)
    changed = encoded[:10] + ("0" if encoded[10] != "0" else "1") + encoded[11:]
    for text in (changed, "", "aes256:", "aes256:00:00:00", "aes_256_cbc_" + "0" * 64, encoded + "0"):
        with pytest.raises(NotDecodable):
            decode_code(text, KEY)
    with pytest.raises(NotDecodable):
        decode_code(encoded, code_key("sk_other"))


def test_an_encrypted_code_is_told_from_a_plain_one() -> None:
    assert is_encoded(encode_code("1234", KEY))
    assert is_encoded("aes_256_cbc_00")
    assert not is_encoded("1234")
