"""Registering as an applicant by API, where the utility has opened that (HEADROOM_OPEN_REGISTRATION)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import PUBLIC, access
from interconnection.accounts import services
from interconnection.api.base import Api
from interconnection.api.fields import Text

DAYS = 30
SCOPES = ["feeders:read", "applications:read", "applications:write", "offers:write", "sites:read", "webhooks:write"]


class RegistrationForm(serializers.Serializer[Any]):
    """A name to sign in with, and a password."""

    username = Text(max_length=150)
    email = Text(max_length=254, required=False, allow_blank=True, default="")
    password = Text(max_length=200, trim_whitespace=False, write_only=True)


class Registered(serializers.Serializer[Any]):
    """The account, and a first token: shown in this answer only."""

    user = serializers.CharField()
    token = serializers.CharField()
    scopes = serializers.ListField(child=serializers.CharField())
    expires = serializers.CharField()


@access(own_login=True, post=PUBLIC)
class Registration(Api):
    """Register."""

    keyed = False  # a stored answer would keep the token
    cost = 60  # ten a minute from one address

    @extend_schema(operation_id="register", request=RegistrationForm, responses={201: Registered})
    def post(self, request: Request) -> Response:
        """Make an applicant's account and a token of 30 days; 403 where the utility makes accounts itself."""
        if not settings.OPEN_REGISTRATION:
            raise PermissionDenied("this utility makes accounts itself: ask it for one")
        form = RegistrationForm(data=request.data)
        form.is_valid(raise_exception=True)
        asked = form.validated_data
        user = services.register(asked["username"], asked["email"], asked["password"])
        token, value = services.make_token(user, "registration", SCOPES, days=DAYS, now=timezone.now())
        body = {"user": str(user), "token": value, "scopes": token.scopes, "expires": token.expires.isoformat()}
        return Response(body, status=201)
