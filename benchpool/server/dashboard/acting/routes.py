"""The routes under /ui/act: forms, signing in, and what forms do."""

from __future__ import annotations

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from benchpool.ao.clock import parse_duration
from benchpool.client.served import ServedWriter
from benchpool.errors import BenchpoolError, ConfigError
from benchpool.network import Network
from benchpool.server.answers import RefusedRequest, answer, without_folders
from benchpool.server.dashboard.acting import deeds, forms
from benchpool.server.dashboard.acting.gate import LONGEST_S, PATH, Gate
from benchpool.server.dashboard.page import Asked, NoPage
from benchpool.store.server_file import ServerFile

if TYPE_CHECKING:
    from benchpool.server.context import Context

log = logging.getLogger("benchpool.server")

BODY_BYTES: Final = 1 << 20
MOST_FIELDS: Final = 100
FORMS: Final = ("fund", "join", "send", "advance")
_DEEDS: Final = {"fund": deeds.fund, "join": deeds.join, "send": deeds.send}


class SignIn(msgspec.Struct):
    """The form to sign in."""

    then: str
    """Where to go then."""
    trouble: str


class Done(msgspec.Struct):
    """What became of a form."""

    form: str
    error: str


def routes(context: Context, headers: dict[str, str]) -> APIRouter:
    """Make the router.

    Args:
        context: the server.
        headers: of every answer.
    """
    router = APIRouter(include_in_schema=False)
    dashboard = context.dashboard
    gate = Gate(context.token, str(urlsplit(context.url).port or ""), closed=not context.acting)
    headers = headers | {"Cache-Control": "no-store"}

    @router.get(PATH)
    async def hub(request: Request) -> Response:
        """Show what one can do."""
        return await show(request, "hub", {})

    @router.get(PATH + "/{form}")
    async def form(request: Request, form: str) -> Response:
        """Show a form."""
        return await show(request, form, dict(request.query_params))

    @router.post(PATH + "/sign-in")
    async def sign_in(request: Request) -> Response:
        """Begin a session."""
        given = await read(request)
        then = given.get("then", "")
        then = then if then.startswith(PATH) and "\\" not in then else PATH
        try:
            gate.check_own_page(request)
            key = gate.sign_in(given.get("token", ""))
        except RefusedRequest as error:
            return page(request, "act_sign_in.html", SignIn(then, str(error)), error.status or 403)
        response = RedirectResponse(then, 303, headers)
        response.set_cookie(
            gate.cookie, key, max_age=int(LONGEST_S), path=PATH, httponly=True, samesite="strict"
        )
        return response

    @router.post(PATH + "/sign-out")
    async def sign_out(request: Request) -> Response:
        """End the session."""
        given = await read(request)
        try:
            gate.check_form(request, given)
        except RefusedRequest as error:
            return refusal(request, error)
        gate.sign_out(request)
        response = RedirectResponse(PATH, 303, headers)
        response.delete_cookie(gate.cookie, path=PATH)
        return response

    @router.post(PATH + "/{form}")
    async def act(request: Request, form: str) -> Response:
        """Do what a form asks for."""
        given = await read(request)
        try:
            gate.check_form(request, given)
        except RefusedRequest as error:
            return refusal(request, error)
        if form not in FORMS:
            return refusal(request, NoPage(f"there is no form {form[:40]}"))
        given.pop("proof", None)
        try:
            where = await (advance(given) if form == "advance" else perform(form, given))
        except Exception as error:
            if not isinstance(error, BenchpoolError):
                log.exception("a form failed")
            return await show(request, form, given, without_folders(str(error)))
        return RedirectResponse(where, 303, headers)

    async def read(request: Request) -> dict[str, str]:
        from benchpool.server.context import read_body  # noqa: PLC0415 - it imports this

        body = await read_body(request, BODY_BYTES)
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)
        except ValueError as error:
            raise RefusedRequest(f"this is no form: {error}", 400) from None
        return dict(pairs)

    async def perform(form: str, given: dict[str, str]) -> str:
        def work() -> str:
            network = context.network
            assert network.home is not None, "the context has looked"
            with Network(
                network.home.folder,
                registry=network.registry,
                limits=network.limits,
                read_only=True,
            ) as look:
                writer = ServedWriter(look, ServerFile(url=context.url, token=context.token))
                return _DEEDS[form](look, writer, given)

        return await get_running_loop().run_in_executor(context.threads, work)

    async def advance(given: dict[str, str]) -> str:
        text = given.get("duration", "").strip()
        if not text:
            raise ConfigError("how long? write it like 90s, 24h or 30d")
        ticks, now_ms = await context.time.advance(parse_duration(text))
        return f"{PATH}/advance?{urlencode({'ticks': ticks, 'until': now_ms})}"

    async def show(request: Request, form: str, given: dict[str, str], error: str = "") -> Response:
        try:
            gate.check_place(request)
            view = views.get(form)
            if view is None:
                raise NoPage(f"there is no form {form[:40]}")
            if gate.find(request) is None:
                query = request.url.query
                then = request.url.path + (f"?{query}" if query else "")
                return page(request, "act_sign_in.html", SignIn(then, ""))
            asked = Asked({}, given)
            shown = await dashboard.reader.look(lambda network: view(network, asked))
        except BenchpoolError as refused:
            return refusal(request, refused)
        if "application/json" in request.headers.get("accept", "") and not error:
            return answer(msgspec.to_builtins(shown), 200, headers)
        return page(request, f"act_{form}.html", shown, 400 if error else 200, error)

    virtual = context.bus.is_virtual
    views: dict[str, Callable[[Network, Asked], msgspec.Struct]] = {
        "hub": lambda network, _asked: forms.hub(network, virtual=virtual),
        "fund": forms.fund,
        "join": forms.join,
        "send": forms.send,
        "advance": lambda network, asked: forms.time(network, asked, virtual=virtual),
    }

    def page(
        request: Request, template: str, view: msgspec.Struct, status: int = 200, error: str = ""
    ) -> Response:
        session = gate.find(request)
        more: dict[str, Any] = {"proof": session.proof if session else "", "error": error}
        url = request.url.path.removeprefix("/ui")
        body = dashboard.renderer.page(template, view, url, **more)
        return Response(body, status, headers, media_type="text/html")

    def refusal(request: Request, error: BenchpoolError) -> Response:
        status = 404 if isinstance(error, NoPage) else getattr(error, "status", None) or 503
        if "application/json" in request.headers.get("accept", ""):
            return answer({"error": str(error)}, status, headers)
        return page(request, "act_refused.html", Done("", str(error)), status)

    return router
