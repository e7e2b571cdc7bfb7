"""The pages' news over WebSocket, once a second: who controls, alarm counts, the newest cycle of each feeder.

A page fetches what it shows anew when its feeder's snapshot, the alarm list or the audit trail moved on. A page that hears
nothing says so by its own timer (`watch.js`): what an operator sees is fresh, or is marked as old.
"""

from __future__ import annotations

import asyncio
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import DatabaseError
from django.urls import path

from interconnection import roles
from telemetry.banner import shown
from telemetry.live import EVERY_S, live
from telemetry.progress import watchdog_says


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
        while True:
            try:
                news = await live().news()
            except DatabaseError:  # the watchdog's word needs no database: a blind page must still say who controls
                news = {"control": await database_sync_to_async(shown)(watchdog_says()), "blind": "the database is away"}
            await self.send_json(news)
            await asyncio.sleep(EVERY_S)


def may_see(user: Any) -> bool:
    """Say whether a user may look at operations."""
    return roles.has(user, *roles.UTILITY)


websocket_urlpatterns = [path("ws/board/", BoardConsumer.as_asgi())]
