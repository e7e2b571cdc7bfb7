"""What allauth asks us: who may sign up, and what a newcomer may do."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import Group
from django.http import HttpRequest

from interconnection.roles import APPLICANT


class AccountAdapter(DefaultAccountAdapter):
    """Sign-up by oneself only where HEADROOM_OPEN_REGISTRATION says so; a newcomer is an applicant and nothing more."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say whether strangers may make accounts."""
        return bool(settings.OPEN_REGISTRATION)

    def save_user(self, request: HttpRequest, user: Any, form: Any, commit: bool = True) -> Any:
        """Store a newcomer with the role of applicant."""
        saved = super().save_user(request, user, form, commit)
        if commit:
            saved.groups.add(Group.objects.get_or_create(name=APPLICANT)[0])
        return saved


class SocialAccountAdapter(DefaultSocialAccountAdapter):
    """Whoever the utility's identity provider lets in gets an account without a role; an administrator gives roles."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Accept people of the configured provider."""
        return bool(settings.OIDC_PROVIDER)
