"""Acting from pages: who may not, and what comes of it when somebody may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from pages import EVIL, Served
from signing_in import client, sign_in, token_of

from benchpool.ao.clock import GENESIS_MS, VirtualClock
from benchpool.server.sockets import Options

Look = Callable[..., Any]
Serve = Callable[..., Served]
FORMS = ("fund", "join", "send", "advance")


def wish(served: Served, proof: str) -> dict[str, str]:
    given = {"target": served.home.good, "wallet": "ann", "other": "Hello", "proof": proof}
    return given | {"action": "", "duration": "1d"}


def end(served: Served) -> int:
    served.settle()
    return int(served.json("/ui/messages.json")["messages"][0]["place"])


def test_the_cookie_is_kept_from_scripts_and_from_other_sites(served: Served) -> None:
    with client(served) as http:
        answer = http.post("/ui/act/sign-in", data={"token": token_of(served)})
    said = answer.headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=strict" in said
    assert "Path=/ui/act" in said
    assert token_of(served) not in said
    assert token_of(served) not in answer.text


@pytest.mark.parametrize("form", FORMS)
def test_forged_requests_do_nothing(served: Served, form: str) -> None:
    with client(served) as http:
        proof = sign_in(served, http)
        given = wish(served, proof)
        before = end(served)

        def post(headers: dict[str, str], data: dict[str, str] = given, **more: Any) -> int:
            return http.post(f"/ui/act/{form}", data=data, headers=headers, **more).status_code

        host = urlsplit(served.url).netloc
        assert post({}, {**given, "proof": ""}) == 403
        assert post({}, {**given, "proof": proof[:-1]}) == 403
        assert post({}, {k: v for k, v in given.items() if k != "proof"}) == 403
        for origin in (
            "null",
            "https://evil.example",
            f"https://{host}",
            "http://127.0.0.1:1",
            "http://localhost:3000",
            f"http://{host}.evil.example",
        ):
            assert post({"Origin": origin}) == 403, origin
        assert post({"Origin": ""}) == 403
        assert post({"Sec-Fetch-Site": "cross-site"}) == 403
        assert post({"Host": "evil.example"}) == 421
        assert post({"Host": "evil.example", "Origin": "http://evil.example"}) in (403, 421)
        assert post({"Host": "192.168.1.5", "Origin": "http://192.168.1.5"}) == 403
        assert post({"Cookie": "benchpool=x"}) == 403
        for method in ("GET", "HEAD", "PUT", "PATCH", "DELETE"):
            answer = http.request(method, f"/ui/act/{form}", params=given)
            assert answer.status_code in (200, 404, 405), method
        with client(served) as stranger:
            assert stranger.post(f"/ui/act/{form}", data=given).status_code == 403
        assert end(served) == before


def test_without_origin_nothing_is_done(served: Served) -> None:
    with client(served) as http:
        proof = sign_in(served, http)
        del http.headers["Origin"]
        assert http.post("/ui/act/send", data=wish(served, proof)).status_code == 403
        assert http.post("/ui/act/sign-in", data={"token": token_of(served)}).status_code == 403


def test_a_wrong_token_opens_nothing(served: Served) -> None:
    with client(served) as http:
        for token in ("", "x", token_of(served)[:-1], "\x00", "é"):
            answer = http.post("/ui/act/sign-in", data={"token": token})
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers
        assert "Sign in to act" in http.get("/ui/act/fund").text
        assert http.get("/ui/act/fund", params={"token": token_of(served)}).status_code == 200
        assert "Sign in to act" in http.get("/ui/act").text


@pytest.mark.parametrize(
    "then", ["https://evil.example", "//evil.example", "/ui/act/\\evil", "/mu", "javascript:1"]
)
def test_signing_in_leads_to_no_other_place(served: Served, then: str) -> None:
    with client(served) as http:
        answer = http.post("/ui/act/sign-in", data={"token": token_of(served), "then": then})
        assert answer.headers["location"] == "/ui/act"


def test_a_session_ends_when_somebody_signs_out(served: Served) -> None:
    with client(served) as http:
        proof = sign_in(served, http)
        cookies = dict(http.cookies)
        assert http.post("/ui/act/sign-out", data={"proof": proof}).status_code == 303
        http.cookies.update(cookies)
        assert http.post("/ui/act/send", data=wish(served, proof)).status_code == 403


def test_a_read_only_server_has_no_forms(serve: Serve) -> None:
    served = serve(options=Options(port=0, read_only=True))
    assert served.running.addresses.token == ""
    with client(served) as http:
        assert http.get("/ui/act").status_code == 403
        answer = http.post("/ui/act/sign-in", data={"token": token_of(served)})
        assert answer.status_code == 403
        assert http.post("/ui/act/send", data=wish(served, "")).status_code == 403


def test_what_is_refused_is_told_on_the_form_with_all_that_was_written(served: Served) -> None:
    with client(served) as http:
        given = {"proof": sign_in(served, http), "benchmark": "Benchmark", "wallet": "ann"}
        given |= {"dataset": "SiqaDataset", "funds": "1000000", "title": EVIL, "entries": "5"}
        answer = http.post("/ui/act/fund", data=given | {"allocation": "Equal"})
        assert answer.status_code == 400
        assert "Insufficient" in answer.text
        assert "<script>document.title" not in answer.text
        assert "&lt;script&gt;document.title" in answer.text
        for funds in ("0", "-1", "nan", "1e9", "", "9" * 5000):
            assert http.post("/ui/act/fund", data=given | {"funds": funds}).status_code == 400
        bad = {**wish(served, given["proof"]), "tags": "no equals sign"}
        answer = http.post("/ui/act/send", data=bad)
        assert (answer.status_code, "Name=Value" in answer.text) == (400, True)


def test_the_wall_clock_is_not_moved(served: Served) -> None:
    with client(served) as http:
        proof = sign_in(served, http)
        answer = http.post("/ui/act/advance", data={"proof": proof, "duration": "1d"})
        assert (answer.status_code, "wall clock" in answer.text) == (400, True)


def enter(served: Served, look: Look, path: str, **options: Any) -> Any:
    """Open a page that acts, and sign in."""
    page = look(f"{served.url}{path}", **options)
    page.get_by_label("Token").fill(token_of(served))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**{path}")
    return page


@pytest.mark.parametrize("scripts", [True, False])
def test_send_any_message_from_the_page(serve: Serve, look: Look, *, scripts: bool) -> None:
    served = serve()
    page = enter(served, look, "/ui/act/send", java_script_enabled=scripts)
    page.get_by_label("To").fill("WrappedAR")
    page.get_by_role("button", name="Choose").click()
    page.locator("select[name=action]").select_option("Transfer")
    page.get_by_role("button", name="Choose").click()
    page.get_by_label("Wallet").select_option("ann")
    bob = served.running.network.resolve("bob")
    page.get_by_label("Recipient").fill(bob)
    page.get_by_label("Quantity").fill("5")
    page.get_by_label("Data").fill(EVIL)
    page.get_by_role("button", name="Send").click()
    page.wait_for_url("**/ui/messages/**")
    assert page.get_by_role("heading", level=1).inner_text() == "Transfer"
    assert EVIL in page.locator("#data").inner_text()
    assert "Credit-Notice" in page.locator("#caused").inner_text()


def test_fund_join_move_on_and_settle_from_the_page(serve: Serve, look: Look) -> None:
    served = serve(clock=VirtualClock(GENESIS_MS + 10 * 86_400_000))
    page = enter(served, look, "/ui/act/fund")
    page.get_by_label("Funds in wAR").fill("3")
    page.get_by_label("For how long").fill("2d")
    page.get_by_label("Title").fill("From a page")
    page.get_by_label("Paid by").select_option("WinnerTakesAll")
    page.get_by_role("button", name="Work out the plan").click()
    assert "payouts are finer" in page.locator("main").inner_text()
    assert page.get_by_label("Title").input_value() == "From a page"
    page.get_by_role("button", name="Fund", exact=True).click()
    page.wait_for_url("**/ui/pools/**")
    assert page.get_by_role("heading", level=1).inner_text() == "From a page"
    page.get_by_role("link", name="from here").click()
    for model in (served.home.good, served.home.bad):
        page.get_by_label("Model").select_option(model)
        page.get_by_label("Wallet").select_option("bob")
        page.get_by_role("button", name="Enter").click()
        page.wait_for_url("**/ui/pools/**")
        page.locator("#board tbody tr").first.wait_for()
        page.go_back()
    page.goto(f"{served.url}/ui/act/advance")
    page.get_by_label("How far").fill("4d")
    page.get_by_role("button", name="Move on").click()
    page.get_by_role("status").filter(has_text="cron ticks ran").wait_for()
    assert "2025-01-15 00:00:00" in page.locator("main").inner_text()
    page.goto(f"{served.url}/ui/pools")
    page.get_by_role("link", name="From a page").click()
    assert page.locator("#head .status").inner_text() == "paid"
    assert page.locator(".settlement .amount").first.inner_text() == "3 wAR"
    page.get_by_role("link", name="Its life in messages").click()
    assert page.locator("svg.sequence .arrow").count() > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_in_forms(
    served: Served, look: Look, check: Callable[[Any], None], scheme: str, width: int
) -> None:
    page = look(f"{served.url}/ui/act", width=width, scheme=scheme, bypass_csp=True)
    check(page)  # signing in is a form too
    page.context.close()
    page = enter(served, look, "/ui/act", width=width, scheme=scheme, bypass_csp=True)
    paths = [f"/ui/act/{each}" for each in FORMS]
    token = served.running.network.resolve("WrappedAR")
    paths += [f"/ui/act/send?target={token}", f"/ui/act/send?target={token}&action=Transfer"]
    for path in ["/ui/act", *paths, "/ui/act/fund?funds=nothing", "/ui/act/send?target=nobody"]:
        page.goto(served.url + path)
        check(page)
