"""`manage.py utility_server`: the IEEE 2030.5 listener, in a process and on a port of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from django.core.management.base import BaseCommand, CommandParser

from telemetry.protocols.ieee2030_5.server import server
from telemetry.protocols.ieee2030_5.test_api import TestApi


class Command(BaseCommand):
    """Serve limits to site controllers and aggregators."""

    help = "IEEE 2030.5 utility server: mutual TLS 1.2, CSIP-AUS 1.2 at /dcap, 1.3 at /v1.3/dcap, plain CSIP at /us/dcap."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8443)
        parser.add_argument("--cert", required=True, help="PEM: the server's certificate and its issuing authority")
        parser.add_argument("--key", required=True)
        parser.add_argument("--ca", required=True, help="PEM: the authorities whose clients may come in")
        parser.add_argument("--test-api-port", type=int, help="set-up calls for conformance tests; needs UTILITY_TEST_API")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        asyncio.run(self._serve(options))

    async def _serve(self, options: dict[str, Any]) -> None:
        main = server(options["cert"], options["key"], options["ca"], options["host"], options["port"])
        if not options["test_api_port"]:
            await main.serve()
            return
        config = uvicorn.Config(
            TestApi(),
            host="127.0.0.1",
            port=options["test_api_port"],
            log_level="warning",
            lifespan="off",
            access_log=False,
        )
        setup = uvicorn.Server(config)
        beside = asyncio.create_task(setup.serve())
        await main.serve()
        setup.should_exit = True
        await beside
