"""Webhooks by API: set up, choose, rotate, test, log, send again."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from derms.access import SIGNED_IN, access
from interconnection.api import schemas
from interconnection.api import webhook_services as services
from interconnection.api.base import Api, page
from interconnection.api.fields import Text
from interconnection.api.models import Webhook, WebhookMessage


class WebhookShown(serializers.Serializer[Any]):
    """A webhook; the secret only in the answer that made it."""

    id = serializers.IntegerField()
    url = serializers.CharField()
    types = serializers.ListField(child=serializers.CharField())
    state = serializers.ChoiceField(choices=list(Webhook.STATES))
    reason = serializers.CharField()
    secret = serializers.CharField(required=False)


class MessageShown(serializers.Serializer[Any]):
    """A message and its tries."""

    id = serializers.IntegerField()
    webhook_id = serializers.CharField()
    type = serializers.CharField()
    state = serializers.CharField()
    attempts = serializers.IntegerField()
    due = serializers.CharField(allow_null=True)
    tries = serializers.ListField(child=serializers.DictField())


class WebhookForm(serializers.Serializer[Any]):
    """Where to, and of what."""

    url = Text(max_length=500)
    types = serializers.ListField(child=Text(max_length=64), required=False, max_length=50)


class TypesForm(serializers.Serializer[Any]):
    """Of what; nothing: of everything."""

    types = serializers.ListField(child=Text(max_length=64), max_length=50)


def shown(webhook: Webhook, secret: str = "") -> dict[str, Any]:
    """Return a webhook as the API shows it."""
    found = {
        "id": webhook.pk, "url": webhook.url, "types": webhook.types, "state": webhook.state, "reason": webhook.reason,
    }  # fmt: skip
    return found | ({"secret": secret} if secret else {})


def message(row: WebhookMessage) -> dict[str, Any]:
    """Return a message with its tries."""
    return {
        "id": row.pk, "webhook_id": row.identifier, "type": row.type, "state": row.state, "attempts": row.attempts,
        "due": None if row.due is None else row.due.isoformat(),
        "tries": [
            {"at": item.at.isoformat(), "status": item.status, "outcome": item.outcome, "seconds": item.seconds}
            for item in row.tries.all()
        ],
    }  # fmt: skip


@access(own_login=True, get=SIGNED_IN, post=SIGNED_IN)
class WebhookList(Api):
    """One's webhooks."""

    scopes = {"GET": "webhooks:write", "POST": "webhooks:write"}
    keyed = False  # a stored answer would keep the secret

    @extend_schema(
        operation_id="webhooks_list", responses=inline_serializer("Webhooks", {"results": WebhookShown(many=True)})
    )
    def get(self, request: Request) -> Response:
        """Return one's webhooks."""
        return Response({"results": [shown(row) for row in Webhook.objects.filter(owner=request.user)]})

    @extend_schema(operation_id="webhooks_create", request=WebhookForm, responses={201: WebhookShown})
    def post(self, request: Request) -> Response:
        """Set one up; its secret is in this answer only. A host that is not listed waits for the administrator."""
        form = WebhookForm(data=request.data)
        form.is_valid(raise_exception=True)
        webhook, secret = services.create(request.user, form.validated_data["url"], form.validated_data.get("types", []))
        answer = Response(shown(webhook, secret), status=201)
        answer["Location"] = reverse("api-webhook", args=[webhook.pk])
        return answer


@access(own_login=True, get=SIGNED_IN, patch=SIGNED_IN, delete=SIGNED_IN)
class WebhookDetail(Api):
    """One webhook."""

    scopes = {"GET": "webhooks:write", "PATCH": "webhooks:write", "DELETE": "webhooks:write"}

    @extend_schema(operation_id="webhooks_read", responses=WebhookShown)
    def get(self, request: Request, number: int) -> Response:
        """Return it."""
        return Response(shown(services.mine(request.user, number)))

    @extend_schema(operation_id="webhooks_change", request=TypesForm, responses=WebhookShown)
    def patch(self, request: Request, number: int) -> Response:
        """Choose other event types."""
        webhook = services.mine(request.user, number)
        form = TypesForm(data=request.data)
        form.is_valid(raise_exception=True)
        return Response(shown(services.change(request.user, webhook, form.validated_data["types"])))

    @extend_schema(operation_id="webhooks_remove", responses={204: None})
    def delete(self, request: Request, number: int) -> Response:
        """Remove it with its messages."""
        services.remove(request.user, services.mine(request.user, number))
        return Response(status=204)


@access(own_login=True, post=SIGNED_IN)
class WebhookRotate(Api):
    """A new secret."""

    scopes = {"POST": "webhooks:write"}
    keyed = False  # a stored answer would keep the secret

    @extend_schema(operation_id="webhooks_rotate", request=None, responses=WebhookShown)
    def post(self, request: Request, number: int) -> Response:
        """Return a new secret, once; for a day both sign."""
        webhook = services.mine(request.user, number)
        return Response(shown(webhook, services.rotate(request.user, webhook, timezone.now())))


@access(own_login=True, post=SIGNED_IN)
class WebhookTest(Api):
    """A message to try it with."""

    scopes = {"POST": "webhooks:write"}

    @extend_schema(operation_id="webhooks_test", request=None, responses={202: MessageShown}, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int) -> Response:
        """Queue a message of type 'test'."""
        webhook = services.mine(request.user, number)
        return Response(message(services.enqueue(webhook, "test", {"webhook": webhook.pk}, timezone.now())), status=202)


@access(own_login=True, get=SIGNED_IN)
class WebhookMessages(Api):
    """The log."""

    scopes = {"GET": "webhooks:write"}

    @extend_schema(
        operation_id="webhooks_messages", responses=schemas.paged("WebhookMessage", MessageShown), parameters=schemas.CURSOR
    )
    def get(self, request: Request, number: int) -> Response:
        """Return a page of messages, newest first, each with its tries."""
        webhook = services.mine(request.user, number)
        return page(self, request, webhook.messages.prefetch_related("tries"), message, ordering=("-id",))


@access(own_login=True, post=SIGNED_IN)
class WebhookResend(Api):
    """Send again."""

    scopes = {"POST": "webhooks:write"}

    @extend_schema(operation_id="webhooks_resend", request=None, responses={202: MessageShown}, parameters=[schemas.ONCE])
    def post(self, request: Request, number: int, message_number: int) -> Response:
        """Queue a message once more under its own identifier."""
        webhook = services.mine(request.user, number)
        return Response(message(services.send_again(request.user, webhook, message_number, timezone.now())), status=202)
