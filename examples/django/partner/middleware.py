from django.conf import settings

POLICY = (
    f"default-src 'self'; script-src {settings.KODGATE_URL}; frame-src {settings.KODGATE_URL}; "
    f"form-action 'self' {settings.KODGATE_URL}; base-uri 'none'; frame-ancestors 'none'"
)


def content_security_policy(get_response):
    """What a page with Kodgate's widget needs; Django 6 has a setting for it: SECURE_CSP."""

    def middleware(request):
        response = get_response(request)
        response["Content-Security-Policy"] = POLICY
        return response

    return middleware
