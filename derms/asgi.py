"""ASGI entry point: pages and the API over HTTP, the live board over WebSocket."""

import asyncio
import contextlib
import logging
import os
from typing import Any

from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "derms.settings")
http = get_asgi_application()

from derms.sandbox.feeder_process import environment  # noqa: E402
from derms.sandbox.nursery import NURSERY  # noqa: E402
from telemetry.consumers import websocket_urlpatterns  # noqa: E402  (needs the app registry)
from telemetry.progress import Progress  # noqa: E402

BEAT_S = 3.0
LOG = logging.getLogger(__name__)


async def _beat(counter: Progress) -> None:
    """Move the web's counter: only a loop and a worker thread that both still run can."""
    while True:
        await sync_to_async(counter.move, thread_sensitive=False)()
        await asyncio.sleep(BEAT_S)


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Beat from start-up to shutdown."""
    counter, beat = Progress("web"), None
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            beat = asyncio.create_task(_beat(counter))
            # The engine is loaded before anybody asks: the first question finds it so.
            try:
                NURSERY.warm(environment())
            except OSError:  # pages go without it; who asks the engine is told what is wrong
                LOG.exception("the helper that starts feeders' processes could not be started")
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            if beat is not None:
                beat.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beat
            counter.end()
            await send({"type": "lifespan.shutdown.complete"})
            return


application = ProtocolTypeRouter(
    {
        "http": http,
        "lifespan": lifespan,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
