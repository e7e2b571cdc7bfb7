"""`manage.py utility_server`: the IEEE 2030.5 listener, in a process and on a port of its own."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from derms.errors import HeadroomError
from telemetry.protocols.ieee2030_5.server import UtilityApp, server, server_behind_proxy
from telemetry.protocols.ieee2030_5.test_api import TestApi


class Command(BaseCommand):
    """Serve limits to site controllers and aggregators."""

    help = "IEEE 2030.5 utility server: mutual TLS 1.2, CSIP-AUS 1.2 at /dcap, 1.3 at /v1.3/dcap, plain CSIP at /us/dcap."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--host", default=settings.UTILITY_HOST)
        parser.add_argument("--port", type=int, default=settings.UTILITY_PORT)
        parser.add_argument("--cert", default=settings.UTILITY_CERT, help="PEM: the server's certificate and its issuer")
        parser.add_argument("--key", default=settings.UTILITY_KEY)
        parser.add_argument("--ca", default=settings.UTILITY_CA, help="PEM: the authorities whose clients may come in")
        parser.add_argument(
            "--socket", default=settings.UTILITY_SOCKET, help="a unix socket behind nginx instead of TLS here"
        )
        parser.add_argument("--test-api-port", type=int, help="set-up calls for conformance tests; needs UTILITY_TEST_API")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until told to stop."""
        if not options["socket"] and not (options["cert"] and options["key"] and options["ca"]):
            raise CommandError("give --cert, --key and --ca, or --socket behind a proxy (or the UTILITY_ settings)")
        try:
            asyncio.run(self._serve(options))
        except HeadroomError as error:
            raise CommandError(str(error)) from error

    async def _serve(self, options: dict[str, Any]) -> None:
        app = UtilityApp(proxied=bool(options["socket"]))
        if options["socket"]:
            main = server_behind_proxy(app, options["socket"])
        else:
            main = server(app, options["cert"], options["key"], options["ca"], options["host"], options["port"])
        if not options["test_api_port"]:
            await main.serve()
            return
        config = uvicorn.Config(
            TestApi(app.directory),
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
