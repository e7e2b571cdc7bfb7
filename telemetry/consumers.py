"""The live board over WebSocket: the newest cycle is read once a second and sent when it changed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.urls import path

from interconnection import roles
from telemetry import queries

EVERY_S = 1.0


class BoardConsumer(AsyncJsonWebsocketConsumer):
    """Sends `{"boards": [...]}`; people of the utility only."""

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
            boards = await database_sync_to_async(queries.boards)(datetime.now(UTC))
            await self.send_json({"boards": boards})
            await asyncio.sleep(EVERY_S)


def may_see(user: Any) -> bool:
    """Say whether a user may look at operations."""
    return roles.has(user, *roles.UTILITY)


websocket_urlpatterns = [path("ws/board/", BoardConsumer.as_asgi())]
