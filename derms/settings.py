"""Settings: the only reader of the environment. Every key is listed in `.env.example`; a bad one stops the start."""

from __future__ import annotations

import ipaddress
import secrets
from pathlib import Path

import environ
from csp.constants import NONCE, SELF
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Where the embedded database, uploads and reports live; never inside the source of a production install.
STATE_DIR = Path(env.str("HEADROOM_STATE_DIR", default=str(BASE_DIR / "var")))
STATE_DIR.mkdir(parents=True, exist_ok=True)

PRODUCTION = env.bool("HEADROOM_PRODUCTION", default=False)
DEBUG = env.bool("HEADROOM_DEBUG", default=False)


def _secret_key() -> str:
    """Return the configured key; outside production, one made on first start and kept in the state folder."""
    if key := env.str("SECRET_KEY", default=""):
        return key
    if PRODUCTION:
        raise ImproperlyConfigured("SECRET_KEY is required when HEADROOM_PRODUCTION is set")
    path = STATE_DIR / "secret_key"
    if not path.exists():
        path.write_text(secrets.token_urlsafe(64))
        path.chmod(0o600)
    return path.read_text()


SECRET_KEY = _secret_key()
SECRET_KEY_FALLBACKS: list[str] = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "whitenoise.runserver_nostatic",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.humanize",  # allauth's list of sessions uses it
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "allauth.idp.oidc",
    "channels",
    "csp",
    "django_htmx",
    "django_q",
    "rest_framework",
    "drf_spectacular",
    "interconnection",
    "interconnection.accounts",
    "interconnection.api",
    "telemetry",
]

MIDDLEWARE = [
    "interconnection.api.problems.ProblemMiddleware",  # first: below /api/ no error is a page
    "django.middleware.gzip.GZipMiddleware",  # pages of SVG shrink eightfold; it pads them at random against BREACH
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "interconnection.accounts.provider_down.ProviderDownMiddleware",
    "interconnection.accounts.second_factor.SecondFactorMiddleware",
    "derms.access.AccessMiddleware",  # last: what no view declares, nobody may
]

ROOT_URLCONF = "derms.urls"
ASGI_APPLICATION = "derms.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "csp.context_processors.nonce",
                "interconnection.navigation.rooms",
                "telemetry.banner.control_state",
            ],
            # The admin's and DRF's own templates live in their packages.
            "loaders": [
                "django.template.loaders.filesystem.Loader",
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }
]
del TEMPLATES[0]["APP_DIRS"]  # loaders are named above

DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{STATE_DIR / 'headroom.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        # Two writers must queue, not fail: measured, 60 jobs and two clusters without "database is locked".
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
else:
    # Under ASGI Django opens a connection a request unless it has a pool (20-30 ms each, measured).
    DATABASES["default"]["OPTIONS"] = {
        "pool": {"min_size": 1, "max_size": 8},
        # A network that swallows packets says nothing for a quarter of an hour of TCP's own patience.
        "connect_timeout": 3,
        "keepalives": 1,
        "keepalives_idle": 2,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": env.int("HEADROOM_DATABASE_SILENT_MS", default=8000),
    }
DATABASE_STATEMENT_MS = env.int("HEADROOM_DATABASE_STATEMENT_MS", default=10_000)
"""How long one statement of a control process may take on PostgreSQL; the web and the workers are not bounded by it."""
DATABASE_PREPARE = env.bool("DATABASE_PREPARE", default=True)
"""Prepared statements on PostgreSQL; false behind PgBouncer in transaction mode."""
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.str("REDIS_URL", default="")
CHANNEL_LAYERS = {
    "default": (
        {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    )
}

STUDY_EXECUTOR = env.str("HEADROOM_STUDY_EXECUTOR", default="in_process")  # or "slices": over all queue workers
STUDY_LEASE_S = env.float("HEADROOM_STUDY_LEASE_S", default=60.0)
Q_CLUSTER = {
    "name": "studies",
    "orm": "default",  # not the Redis broker: it lost 5 of 60 jobs on kill -9, this one none (decision 0006)
    "workers": env.int("HEADROOM_STUDY_WORKERS", default=1),
    "queue_limit": env.int("HEADROOM_STUDY_WORKERS", default=1),
    "bulk": 1,
    "timeout": 3600,
    "retry": 3700,
    "max_attempts": 3,
    "ack_failures": True,
    "recycle": 200,
    "poll": 1,
    "catch_up": False,
}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["interconnection.api.strict_json.StrictJSON"],
    "EXCEPTION_HANDLER": "interconnection.api.problems.handler",
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "interconnection.accounts.api_access.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["interconnection.accounts.api_access.Declared"],
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Headroom application API",
    "DESCRIPTION": "Ask for a flexible connection, read its study, accept its offer.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": "/"}],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "interconnection.api.schemas.add_problems",
    ],
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
}

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF, NONCE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "frame-ancestors": ["'none'"],
        "form-action": [SELF],
        "base-uri": [SELF],
    }
}

# The application API.
API_CALLS_A_MINUTE = env.int("HEADROOM_API_CALLS_A_MINUTE", default=600)  # for each token, client or person
SANDBOX_FEEDER = env.str("HEADROOM_SANDBOX_FEEDER", default="ieee123")
# Webhooks go to hosts of this list at once, to others once an administrator approved the address.
WEBHOOK_HOSTS: list[str] = env.list("WEBHOOK_HOSTS", default=[])
WEBHOOK_PRIVATE_NETWORKS: list[str] = env.list("WEBHOOK_PRIVATE_NETWORKS", default=[])
WEBHOOK_ALLOW_HTTP = env.bool("WEBHOOK_ALLOW_HTTP", default=False)
WEBHOOK_CA = env.str("WEBHOOK_CA", default="")
if WEBHOOK_ALLOW_HTTP and PRODUCTION:
    raise ImproperlyConfigured("WEBHOOK_ALLOW_HTTP sends messages in clear: never with HEADROOM_PRODUCTION")
for _network in WEBHOOK_PRIVATE_NETWORKS:
    try:
        ipaddress.ip_network(_network)
    except ValueError as _error:
        raise ImproperlyConfigured(f"WEBHOOK_PRIVATE_NETWORKS: {_network!r} is no network") from _error

# IEEE 2030.5 utility server (manage.py utility_server).
UTILITY_PEN = env.int("UTILITY_PEN", default=0)  # the server's IANA enterprise number, written in its mRIDs
UTILITY_IN_BAND = env.bool("UTILITY_IN_BAND", default=False)  # may a device with a good certificate register itself?
UTILITY_CONNECTION_POINTS = env.str("UTILITY_CONNECTION_POINTS", default=r"[A-HJ-NP-Z0-9]{10,11}")  # no O, no I
UTILITY_WEBHOOK_SCHEMES: tuple[str, ...] = ("https",)
UTILITY_HOST = env.str("UTILITY_HOST", default="127.0.0.1")
UTILITY_PORT = env.int("UTILITY_PORT", default=8443)
UTILITY_CERT = env.str("UTILITY_CERT", default="")
UTILITY_KEY = env.str("UTILITY_KEY", default="")
UTILITY_CA = env.str("UTILITY_CA", default="")
UTILITY_SOCKET = env.str("UTILITY_SOCKET", default="")
UTILITY_TEST_API = env.bool("UTILITY_TEST_API", default=False)
if UTILITY_TEST_API and PRODUCTION:
    raise ImproperlyConfigured("UTILITY_TEST_API makes and removes devices for tests: never with HEADROOM_PRODUCTION")
if UTILITY_TEST_API:
    UTILITY_IN_BAND, UTILITY_WEBHOOK_SCHEMES = True, ("https", "http")

# Signing in (django-allauth): password with a second factor, or the utility's OpenID Connect provider.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
ACCOUNT_ADAPTER = "interconnection.accounts.adapters.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "interconnection.accounts.adapters.SocialAccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = True  # other sessions end when a password changes
ACCOUNT_SESSION_REMEMBER = False  # the session ends with the browser, and after SESSION_COOKIE_AGE in any case
ACCOUNT_USERNAME_BLACKLIST = ["admin", "root", "system", "engine", "serve"]
OPEN_REGISTRATION = env.bool("HEADROOM_OPEN_REGISTRATION", default=False)
REQUIRE_MFA = env.bool("HEADROOM_REQUIRE_MFA", default=PRODUCTION)
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_TOTP_ISSUER = "Headroom"
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # there is no mail server in an isolated control room
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not PRODUCTION
USERSESSIONS_TRACK_ACTIVITY = False
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("HEADROOM_TRUSTED_PROXIES", default=0)
OIDC_PROVIDER = env.str("OIDC_SERVER_URL", default="")
OIDC_TRUST_MFA = env.bool("OIDC_TRUST_MFA", default=False)
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "utility",
                "name": env.str("OIDC_NAME", default="the utility's account"),
                "client_id": env.str("OIDC_CLIENT_ID", default=""),
                "secret": env.str("OIDC_CLIENT_SECRET", default=""),
                "settings": {"server_url": OIDC_PROVIDER},
            }
        ]
        if OIDC_PROVIDER
        else [],
    }
}
IDP_OIDC_ACCESS_TOKEN_EXPIRES_IN = 3600
CACHES = {
    # Counters of failed sign-ins and of rate limits: several web processes share them only over Redis.
    "default": (
        {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
        if REDIS_URL
        else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
    )
}

# A utility's own rule packs (YAML); one of the same name goes before the shipped one.
RULE_PACKS = env.str("HEADROOM_RULE_PACKS", default="")
# DNP3 to sites (manage.py control).
DNP3_STACK = env.str("HEADROOM_DNP3_STACK", default="yadnp3")
if DNP3_STACK not in ("yadnp3", "py1815"):
    raise ImproperlyConfigured("HEADROOM_DNP3_STACK is yadnp3 or py1815")
CONTROL = env.json("HEADROOM_CONTROL", default={})  # fields of telemetry.control.settings.ControlSettings by name
DNP3_PROCESSES = env.int("HEADROOM_DNP3_PROCESSES", default=1)  # master processes; a site stays with one, by its name

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"
UTILITY_NAME = env.str("HEADROOM_UTILITY_NAME", default="Demonstration utility")  # on letters and pages
DISPLAY_TIME_ZONE = env.str("HEADROOM_TIME_ZONE", default="UTC")

STATIC_URL = "static/"
STATIC_ROOT = STATE_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "templates" / "static"]
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_SAMESITE = "Lax"  # Strict would sign people out who come back from the OpenID Connect provider
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
if PRODUCTION:
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("HEADROOM_LOG_LEVEL", default="INFO")},
}

SIGNING_KEY = env("HEADROOM_SIGNING_KEY", default=str(STATE_DIR / "signing_key.pem"))

# The audit log's anchor belongs outside: another host's mount, or a printer.
AUDIT_ANCHOR = env("HEADROOM_AUDIT_ANCHOR", default=str(STATE_DIR / "audit_anchor.jsonl"))
