"""Metering mirror, and subscriptions to it all."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings

from derms.errors import InputError
from telemetry import utility_meters as meters
from telemetry.protocols.ieee2030_5 import resources, xml
from telemetry.protocols.ieee2030_5.web import (
    Answer,
    Client,
    Request,
    created,
    handle,
    listing,
    only,
    route,
    shown,
)
from telemetry.utility_models import EndDevice, MeterStream, UsagePoint, WireSubscription


@route("/mup", "GET")
def usage_points(request: Request, client: Client) -> Answer:
    """MirrorUsagePointList of this client."""
    rows = UsagePoint.objects.filter(client.seen(through="device__")).prefetch_related("streams")
    return listing(request, client, "MirrorUsagePointList", "/mup", rows, resources.usage_point)


@route("/mup", "POST")
def mirror(request: Request, client: Client) -> Answer:
    """Add or replace a usage point by its mRID."""
    _, content = xml.parse(request.body, "MirrorUsagePoint")
    device = EndDevice.objects.filter(client.seen(), lfdi=content["deviceLFDI"].upper()).first()
    if device is None:
        raise PermissionError
    row = meters.mirror(device, content, client.seen(), client.rate("MirrorUsagePoint"), request.seconds)
    return created(client, f"/mup/{row.pk}")


def _point(client: Client, which: str) -> tuple[UsagePoint, list[MeterStream]]:
    """Return a usage point and its streams: one statement where it has any."""
    streams = MeterStream.objects.filter(client.seen(through="point__device__"), point_id=int(which))
    if held := list(streams.select_related("point")):
        return held[0].point, held
    return only(UsagePoint.objects.filter(client.seen(through="device__"), pk=int(which))), []


@route("/mup/#", "GET")
def usage_point(request: Request, client: Client, which: str) -> Answer:
    """One MirrorUsagePoint."""
    return shown(client, "MirrorUsagePoint", resources.usage_point(*_point(client, which)))


@route("/mup/#", "POST", "PUT")
def readings(request: Request, client: Client, which: str) -> Answer:
    """Take a reading or a list of readings."""
    kind, content = xml.parse(request.body, "MirrorMeterReading", "MirrorMeterReadingList")
    items = [content] if kind == "MirrorMeterReading" else content.get("MirrorMeterReading", [])
    if not meters.take(int(which), items, request.seconds, *client.who()):
        row, streams = _point(client, which)
        meters.read_in(row, items, request.seconds, streams)
    return created(client, f"/mup/{int(which)}")


@route("/mup/#", "DELETE")
def unmirror(request: Request, client: Client, which: str) -> Answer:
    """Remove a usage point."""
    _point(client, which)[0].delete()
    return Answer(204)


@route("/edev/#/sub", "GET")
def subscriptions(request: Request, client: Client, number: str) -> Answer:
    """SubscriptionList of an aggregator's own device."""
    device = client.device(number, own=True)
    rows = device.subscriptions.all()
    return listing(request, client, "SubscriptionList", f"/edev/{device.pk}/sub", rows, resources.subscription)


@route("/edev/#/sub", "POST")
def subscribe(request: Request, client: Client, number: str) -> Answer:
    """Take a subscription, or update it; the address must be on the client's allow-list and TLS outside tests."""
    device = client.device(number, own=True)
    assert client.identity is not None
    _, content = xml.parse(request.body, "Subscription")
    resource = content["subscribedResource"]
    if not resource.startswith(client.profile.prefix + "/") or content["encoding"] != 0 or content.get("Condition"):
        raise InputError("only whole resources of ours, as XML", where="subscribedResource")
    if not _allowed(content["notificationURI"], client.identity.hosts):
        raise InputError("this address is not on the allow-list", where="notificationURI")
    resource = resource.removeprefix(client.profile.prefix)
    look = Request("GET", client.profile.prefix + resource, client.lfdi, request.now, "l=0")
    if (answer := handle(look)).status != 200 or 'subscribable="1"' not in answer.body:
        raise InputError("this resource cannot be subscribed to", where="subscribedResource")
    row, _ = WireSubscription.objects.update_or_create(
        owner=device, resource=resource, uri=content["notificationURI"], profile=client.profile.name,
        defaults={"limit": content["limit"]},
    )  # fmt: skip
    return created(client, f"/edev/{device.pk}/sub/{row.pk}")


def _allowed(uri: str, hosts: list[str]) -> bool:
    """Say whether a notification may be sent there: an address that can be used, of a host that is on the list."""
    try:
        place = urlsplit(uri)
        usable = uri.isascii() and uri.isprintable() and " " not in uri and place.port != 0
    except ValueError:
        return False
    known = place.hostname in hosts and place.scheme in settings.UTILITY_WEBHOOK_SCHEMES
    return usable and known and not place.username


@route("/edev/#/sub/#", "GET", "DELETE")
def subscription(request: Request, client: Client, number: str, which: str) -> Answer:
    """One Subscription, read or ended."""
    row = only(client.device(number, own=True).subscriptions.filter(pk=int(which)))
    if request.method == "DELETE":
        row.delete()
        return Answer(204)
    return shown(client, "Subscription", resources.subscription(row))
