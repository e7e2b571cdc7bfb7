"""The writers of accounts: tokens, clients, people, territories. Each change leaves an event; secrets are shown once."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from allauth.idp.oidc.models import Client, Token
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse

from derms.errors import Conflict, InputError, NotFound
from interconnection import roles
from interconnection.accounts.models import PersonalToken, Territory
from interconnection.accounts.scopes import checked
from interconnection.models import Event, Feeder

PREFIX = "hrp_"
"""Personal tokens begin with this, so that a leaked one can be recognised."""
LONGEST_DAYS = 365
USED_STEP = timedelta(minutes=1)


def _digest(value: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(value.encode()).hexdigest()


def make_token(owner: Any, name: str, scopes: list[str], *, days: int, now: datetime) -> tuple[PersonalToken, str]:
    """Make a personal token of 1..365 days; the second value is shown once and kept nowhere."""
    if not name.strip() or len(name) > 64:
        raise InputError("a token needs a name of 1 to 64 letters", where="name", remedy="Say what uses it.")
    if not 1 <= days <= LONGEST_DAYS:
        raise InputError(f"{days} days are outside 1..{LONGEST_DAYS}", where="days")
    value = PREFIX + secrets.token_urlsafe(32)
    with transaction.atomic():
        token = PersonalToken.objects.create(
            owner=owner, name=name.strip(), digest=_digest(value), hint=value[-4:], scopes=checked(scopes),
            expires=now + timedelta(days=days),
        )  # fmt: skip
        _note(owner, "token_made", {"token": token.pk, "scopes": token.scopes, "expires": token.expires.isoformat()})
    return token, value


def find_token(value: str, now: datetime) -> PersonalToken | None:
    """Return the living token with this value, and note its use (to the minute); None for any other."""
    token = PersonalToken.objects.select_related("owner").filter(
        digest=_digest(value), revoked=None, expires__gt=now, owner__is_active=True
    ).first()  # fmt: skip
    if token is not None and (token.last_used is None or now - token.last_used > USED_STEP):
        PersonalToken.objects.filter(pk=token.pk).update(last_used=now)
    return token


def revoke_token(owner: Any, number: int, now: datetime) -> None:
    """End a personal token of the owner; another's answers as a missing one."""
    if not PersonalToken.objects.filter(pk=number, owner=owner, revoked=None).update(revoked=now):
        raise NotFound(f"there is no token {number}", where="token")
    _note(owner, "token_revoked", {"token": number})


def make_client(owner: Any, name: str, scopes: list[str]) -> tuple[Client, str]:
    """Make an OAuth2 client (client credentials only) that acts for its owner; the secret is shown once."""
    if not name.strip() or len(name) > 100:
        raise InputError("a client needs a name of 1 to 100 letters", where="name", remedy="Say what it is.")
    lines = checked(scopes)
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        client = Client(
            name=name.strip(), owner=owner, type=Client.Type.CONFIDENTIAL,
            grant_types=Client.GrantType.CLIENT_CREDENTIALS, response_types="",
        )  # fmt: skip
        client.set_scopes(lines)
        client.set_default_scopes(lines)
        client.set_secret(secret)
        client.save()
        _note(owner, "client_made", {"client": client.pk, "scopes": lines})
    return client, secret


def rotate_client(owner: Any, client_id: str) -> tuple[Client, str]:
    """Give a client a new secret; tokens already handed out live until they expire (an hour)."""
    client = _client(owner, client_id)
    secret = secrets.token_urlsafe(32)
    client.set_secret(secret)
    client.save(update_fields=["secret"])
    _note(owner, "client_rotated", {"client": client.pk})
    return client, secret


def remove_client(owner: Any, client_id: str) -> None:
    """Remove a client and all its tokens."""
    client = _client(owner, client_id)
    with transaction.atomic():
        Token.objects.filter(client=client).delete()
        _note(owner, "client_removed", {"client": client.pk})
        client.delete()


def _client(owner: Any, client_id: str) -> Client:
    found = Client.objects.filter(pk=client_id, owner=owner).first()
    if found is None:
        raise NotFound(f"there is no client {client_id}", where="client")
    return found


def make_person(actor: Any, username: str, email: str, wanted: list[str]) -> tuple[Any, str]:
    """Make an account without a password; the second value is the address where its owner sets one, valid three days."""
    users = get_user_model().objects
    _check_name(username)
    with transaction.atomic():
        user = users.create_user(username, email=email or None)
        user.set_unusable_password()
        user.save()
        _note(actor, "person_made", {"user": user.pk, "name": username})
        set_roles(actor, user, wanted)
    return user, password_link(user)


def register(username: str, email: str, password: str) -> Any:
    """Make an account with a password and the role of applicant; raises InputError for a weak password or a bad name."""
    users = get_user_model()
    _check_name(username)
    try:
        validate_password(password, users(username=username, email=email))
    except ValidationError as error:
        raise InputError(" ".join(error.messages), where="password", remedy="Choose a longer, rarer one.") from error
    with transaction.atomic():
        user = users.objects.create_user(username, email=email or None, password=password)
        user.groups.add(Group.objects.get_or_create(name=roles.APPLICANT)[0])
        _note(user, "person_registered", {"user": user.pk, "name": username})
    return user


def _check_name(username: str) -> None:
    try:
        UnicodeUsernameValidator()(username)
    except ValidationError as error:
        raise InputError(
            "this is not a user name", where="username", remedy="Letters, digits and @ . + - _ only."
        ) from error
    reserved = username.lower() in settings.ACCOUNT_USERNAME_BLACKLIST
    if reserved or get_user_model().objects.filter(username__iexact=username).exists():
        raise Conflict(f"the name {username!r} is taken", where="username", remedy="Choose another.")


def password_link(user: Any) -> str:
    """Return the address, below the site's root, where a person sets a password once."""
    key = default_token_generator.make_token(user)
    return reverse("account_reset_password_from_key", kwargs={"uidb36": user_pk_to_url_str(user), "key": key})


def set_roles(actor: Any, user: Any, wanted: list[str]) -> None:
    """Give a person exactly these roles; nobody changes their own, and an administrator always remains."""
    unknown = sorted(set(wanted) - set(roles.ROLES))
    if unknown:
        raise InputError(f"unknown role {unknown[0]!r}", where="roles", remedy=f"Known: {', '.join(roles.ROLES)}.")
    before = sorted(roles.roles(user))
    if before == sorted(wanted):
        return
    if user.pk == actor.pk:
        raise Conflict("nobody changes their own roles", where="roles", remedy="Ask another administrator.")
    _keep_an_administrator(user, roles.ADMINISTRATOR in wanted)
    with transaction.atomic():
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in wanted])
        _note(actor, "roles_set", {"user": user.pk, "roles": sorted(wanted)}, before={"roles": before})


def set_active(actor: Any, user: Any, active: bool) -> None:
    """Let a person in or keep them out; out ends the tokens of the API at once and sessions at the next request."""
    if user.is_active == active:
        return
    if user.pk == actor.pk:
        raise Conflict("nobody closes their own account", where="active", remedy="Ask another administrator.")
    if not active:
        _keep_an_administrator(user, False)
    user.is_active = active
    user.save(update_fields=["is_active"])
    _note(actor, "person_opened" if active else "person_closed", {"user": user.pk})


def note_password_link(actor: Any, user: Any) -> None:
    """Record that somebody was given an address to set a password."""
    _note(actor, "password_link", {"user": user.pk})


def remove_factors(actor: Any, user: Any) -> None:
    """Remove a person's second factors (a lost telephone): they set up a new one at the next sign-in."""
    if user.pk == actor.pk:
        raise Conflict("nobody lifts their own second factor here", where="factor", remedy="Ask another administrator.")
    removed, _ = Authenticator.objects.filter(user=user).delete()
    _note(actor, "factors_removed", {"user": user.pk, "removed": removed})


def _keep_an_administrator(user: Any, stays: bool) -> None:
    others = get_user_model().objects.filter(groups__name=roles.ADMINISTRATOR, is_active=True).exclude(pk=user.pk)
    if not stays and roles.has(user, roles.ADMINISTRATOR) and not others.exists():
        raise Conflict("this is the last administrator", where="roles", remedy="Make another one first.")


def save_territory(
    actor: Any, name: str, feeders: list[str], members: list[int], *, number: int | None = None
) -> Territory:
    """Store a territory; its members see only the feeders of their territories (queries.applications)."""
    if not name.strip() or len(name) > 64:
        raise InputError("a territory needs a name of 1 to 64 letters", where="name")
    if Territory.objects.filter(name=name.strip()).exclude(pk=number or 0).exists():
        raise Conflict(f"the territory {name!r} is there already", where="name")
    with transaction.atomic():
        territory = Territory.objects.filter(pk=number or 0).first() or Territory()
        before = _facts(territory) if territory.pk else {}
        territory.name = name.strip()
        territory.save()
        territory.feeders.set(Feeder.objects.filter(name__in=feeders))
        territory.members.set(get_user_model().objects.filter(pk__in=members))
        _note(actor, "territory_saved", _facts(territory), before=before)
    return territory


def _facts(territory: Territory) -> dict[str, Any]:
    return {
        "name": territory.name,
        "feeders": sorted(territory.feeders.values_list("name", flat=True)),
        "members": sorted(territory.members.values_list("pk", flat=True)),
    }


def _note(actor: Any, action: str, after: dict[str, Any], *, before: dict[str, Any] | None = None) -> None:
    Event.objects.create(actor=str(actor), action=action, before=before or {}, after=after)
