"""The pages' news over WebSocket, once a second: who controls, alarm counts, the newest cycle of each feeder.

A page fetches what it shows anew when its feeder's snapshot, the alarm list or the audit trail moved on. A page that hears
nothing says so by its own timer (`watch.js`): what an operator sees is fresh, or is marked as old.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user_model
from django.db import DatabaseError
from django.urls import path

from interconnection import roles
from telemetry.banner import shown
from telemetry.live import EVERY_S, live
from telemetry.progress import watchdog_says

ASK_AGAIN_S = 60.0


class BoardConsumer(AsyncJsonWebsocketConsumer):
    """Sends news to people of the utility only."""

    task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept who may see operations."""
        user = self.scope.get("user")
        if not await database_sync_to_async(may_see)(user):
            await self.close(code=4403)
            return
        await self.accept()
        self.task = asyncio.create_task(self._follow())

    async def disconnect(self, code: int) -> None:
        """Stop following."""
        if self.task is not None:
            self.task.cancel()

    async def _follow(self) -> None:
        asked = time.monotonic()
        while True:
            if time.monotonic() - asked > ASK_AGAIN_S:
                asked = time.monotonic()
                if not await database_sync_to_async(still_may_see)(self.scope.get("user")):
                    await self.close(code=4403)
                    return
            try:
                news = await live().news()
            except DatabaseError:  # the watchdog's word needs no database: a blind page must still say who controls
                news = {"control": await database_sync_to_async(shown)(watchdog_says()), "blind": "the database is away"}
            await self.send_json(news)
            await asyncio.sleep(EVERY_S)


def may_see(user: Any) -> bool:
    """Say whether a user may look at operations."""
    return roles.has(user, *roles.UTILITY)


def still_may_see(user: Any) -> bool:
    """Say whether a user may still look on: a role that was taken away, or an account that was closed, ends a socket."""
    fresh = get_user_model().objects.filter(pk=getattr(user, "pk", None) or 0, is_active=True).first()
    return fresh is not None and may_see(fresh)


websocket_urlpatterns = [path("ws/board/", BoardConsumer.as_asgi())]
