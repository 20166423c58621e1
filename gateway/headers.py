"""The security headers that every answer carries, of web and of the bot process alike."""

_YEAR = 365 * 24 * 3600
# What no page of ours ever asks for; `otp-credentials` is not among it, as WebOTP fills the code in.
_NEVER = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone")
PERMISSIONS = ", ".join(f"{feature}=()" for feature in (*_NEVER, "midi", "payment", "usb"))
NOTHING = "default-src 'none'; frame-ancestors 'none'"  # the policy of what is no page


def security_headers(public_url: str) -> list[tuple[str, str]]:
    """Names in lower case. What a page sets by itself goes before these.

    Any page may fetch the API's answers by CORS, and partners load our frame and `embed.js`: so the resource
    policy is `cross-origin` here, and closer on the site's own pages.
    """
    headers = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("permissions-policy", PERMISSIONS),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("content-security-policy", NOTHING),
    ]
    if public_url.startswith("https:"):
        headers.append(("strict-transport-security", f"max-age={_YEAR}"))
    return headers
