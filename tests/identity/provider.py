"""A utility's identity provider in small: allauth's OpenID provider as a Django project of its own, on loopback.

`python -m tests.identity.provider FOLDER PORT CALLBACK` makes its database and one person (`worker`), registers Headroom
as client `headroom`, and serves. It shares nothing with Headroom but the library.
"""

from __future__ import annotations

import sys
from pathlib import Path
from wsgiref.simple_server import make_server

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PASSWORD, SECRET = "worker-long-enough-1", "client-secret-of-the-test"


def _key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    return made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def _configure(folder: Path) -> None:
    from django.conf import settings

    settings.configure(
        SECRET_KEY="provider-of-the-test", ALLOWED_HOSTS=["127.0.0.1"], ROOT_URLCONF="tests.identity.provider_urls",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": folder / "provider.sqlite3"}},
        INSTALLED_APPS=[
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "django.contrib.messages",
            "allauth", "allauth.account", "allauth.idp.oidc",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware", "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[{
            "BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
            "OPTIONS": {"context_processors": [
                "django.template.context_processors.request", "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]},
        }],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        # The provider's cookies must not meet Headroom's: both are on 127.0.0.1, and cookies know no ports.
        SESSION_COOKIE_NAME="provider_session", CSRF_COOKIE_NAME="provider_csrf", USE_TZ=True,
        ACCOUNT_EMAIL_VERIFICATION="none", IDP_OIDC_PRIVATE_KEY=_key(),
    )  # fmt: skip


def main(folder: Path, port: int, callback: str) -> None:
    """Make the database, the person and the client; serve until ended."""
    import django

    _configure(folder)
    django.setup()
    from allauth.idp.oidc.models import Client
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    call_command("migrate", verbosity=0)
    get_user_model().objects.create_user("worker", "worker@utility.example", PASSWORD)
    client = Client(
        id="headroom", name="Headroom", redirect_uris=callback, scopes="openid\nprofile\nemail", skip_consent=True
    )
    client.set_secret(SECRET)
    client.save()
    with make_server("127.0.0.1", port, get_wsgi_application()) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
