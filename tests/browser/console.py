#!/usr/bin/env python3
"""The console in a real browser, on a real venue: what its users do, and what they see.

Usage: console.py VENUE-PROGRAM [FOLDER-FOR-WHAT-WAS-SEEN]

Starts the venue on free ports in a folder of its own, trades over its binary door with the program's
own client, and drives headless Chromium. Screenshots are compared with those beside this file, with
what differs by its nature (times, rates, latencies) painted over; UPDATE=1 writes them anew. ONLY=text
runs the tests with that in their names, CONSOLE=src/admin/console takes the page's files from there, so
that work on them needs no build.
"""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops
from playwright.sync_api import expect, sync_playwright

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = HERE / "expected"
# Text is drawn a little otherwise by another build of the fonts or the browser.
PIXELS_DIFFERENT_MAX = 0.03
PATIENCE_MS = 10_000


class Venue:
    """A venue of its own: DEMO without the maker bot, so that the books hold what the test enters."""

    def __init__(self, program, folder):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.ports = {"PORT": "0", "METRICS_PORT": "0", "FIX_PORT": "0", "BINARY_PORT": "0"}
        self.process = None
        self.start()

    def start(self):
        environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "TZ")}
        environment |= self.ports | {"DATA_DIR": str(self.folder), "MAKER_BOT": "false", "LOG_LEVEL": "warn", "JOURNAL_POLICY": "os"}
        log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([self.program], env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        addresses = {}
        for line in self.process.stdout:
            words = line.split()
            if len(words) == 2 and ":" in words[1]:
                addresses[words[0]] = words[1]
            if line.strip() == "ready":
                break
        else:
            raise SystemExit(f"the venue did not start:\n{(self.folder / 'log').read_text()}")
        self.address = addresses["HTTP"]
        self.binary = addresses["binary"]
        names = {"HTTP": "PORT", "metrics": "METRICS_PORT", "FIX": "FIX_PORT", "binary": "BINARY_PORT"}
        self.ports = {names[name]: address.rsplit(":", 1)[1] for name, address in addresses.items()}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)

    def credentials(self):
        return tomllib.loads((self.folder / "demo" / "credentials.toml").read_text())

    def console_user(self, role):
        return next(user for user in self.credentials()["console"] if user["role"] == role)

    def _client(self, key):
        name = self.credentials()["binary"][key]["key_id"]
        return [self.program, "client", "--address", self.binary, "--credentials", str(self.folder / "demo" / "credentials.toml"), "--key", name]

    def client(self, words, key=0):
        """Trades; gives what the client printed."""
        done = subprocess.run([*self._client(key), *words.split()], capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def trader(self, key=0):
        """A client that stays connected and takes its words, a line each."""
        process = subprocess.Popen(self._client(key), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        try:
            yield process
        finally:
            # It may still have words to say.
            process.kill()
            process.wait(30)


class Browser:
    """A page that remembers what went wrong on it."""

    def __init__(self, browser, venue, width=1440, height=900, scheme="light"):
        self.venue = venue
        self.context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", timezone_id="UTC", locale="en-GB")
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        self.wrong = []
        # A refused login, and the stream while the venue is away, are what the tests do on purpose.
        self.allowed = re.compile(r"status of (401|503)|ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE")
        self.page.on("console", lambda message: self._note(message.text) if message.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda request: None if request.url.startswith(f"http://{venue.address}/") else self._note(f"asks elsewhere: {request.url}"))
        if folder := os.environ.get("CONSOLE"):
            self.page.route(re.compile(r":\d+/(console/.*)?$"), lambda route: route.fulfill(path=f"{folder}/{route.request.url.rsplit('/', 1)[1] or 'index.html'}"))
        self.page.goto(f"http://{venue.address}/")

    def _note(self, text):
        if not self.allowed.search(text):
            self.wrong.append(text)

    def login(self, role):
        user = self.venue.console_user(role)
        self.page.get_by_label("User", exact=True).fill(user["name"])
        self.page.get_by_label("Password", exact=True).fill(user["password"])
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.locator("#desk")).to_be_visible()
        return self

    def choose(self, symbol):
        self.page.get_by_role("button", name=symbol, exact=True).click()
        expect(self.page.locator("#book-title")).to_have_text(symbol)

    def agree(self, typed=None):
        dialog = self.page.locator("#confirm")
        expect(dialog).to_be_visible()
        if typed is not None:
            expect(dialog.locator("#confirm-yes")).to_be_disabled()
            dialog.locator("#confirm-input").fill(typed)
        dialog.locator("#confirm-yes").click()
        expect(dialog).to_be_hidden()

    def close(self):
        self.context.close()
        assert not self.wrong, f"the browser complained: {self.wrong}"


def a_wrong_password_is_refused_and_says_so(browser, venue):
    at = Browser(browser, venue)
    at.page.get_by_label("User", exact=True).fill("operator")
    at.page.get_by_label("Password", exact=True).fill("not it, and long enough")
    at.page.get_by_role("button", name="Log in").click()
    expect(at.page.locator("#login-error")).not_to_be_empty()
    expect(at.page.locator("#desk")).to_be_hidden()
    at.close()


def a_book_changes_as_orders_trade(browser, venue):
    at = Browser(browser, venue).login("viewer")
    at.choose("ACME")
    venue.client("buy ACME 10 100.02")
    expect(at.page.locator("#ladder td.p.bid").first).to_have_text("100.02")
    venue.client("sell ACME 25 100.07", key=1)
    expect(at.page.locator("#ladder tr.gap")).to_contain_text("spread 0.05")
    expect(at.page.locator("#trades-empty")).to_be_visible()
    venue.client("sell ACME 4 100.02", key=1)
    row = at.page.locator("#trades tbody tr").first
    expect(row).to_contain_text("sell")
    expect(row).to_contain_text("100.02")
    ladder = at.page.locator("#ladder tbody tr", has_text="100.02")
    expect(ladder.locator("td.b")).to_have_text("6")
    expect(at.page.locator("#markets-table tr", has_text="ACME")).to_contain_text("100.02")
    at.close()


def an_address_that_names_nothing_shows_the_desk(browser, venue):
    for end in ("#%", "#%FF", "#NOTHING"):
        at = Browser(browser, venue)
        at.page.goto(f"http://{venue.address}/{end}")
        at.page.reload()
        at.login("viewer")
        at.choose("ACME")
        at.close()


def a_halt_stops_trading_until_it_is_resumed(browser, venue):
    at = Browser(browser, venue).login("risk")
    at.choose("ACME")
    at.page.get_by_role("button", name="Halt").click()
    at.agree()
    expect(at.page.locator("#book-phase")).to_contain_text("halted")
    refused = venue.client("sell ACME 1 100.02", key=1)
    assert "reject" in refused.lower(), refused
    at.page.get_by_role("button", name="Resume").click()
    at.agree()
    expect(at.page.locator("#book-phase")).to_contain_text("continuous")
    expect(at.page.locator("#audit li").first).to_contain_text("risk")
    at.close()


def a_kill_switch_wants_its_target_typed_and_can_be_released(browser, venue):
    at = Browser(browser, venue).login("risk")
    form = at.page.locator("#kill")
    form.get_by_label("Scope").select_option("instrument")
    form.get_by_label("Target").select_option(label="ACME")
    form.get_by_role("button", name="Kill").click()
    at.agree(typed="ACME")
    expect(at.page.locator("#blocks li")).to_contain_text("ACME")
    at.choose("ACME")
    expect(at.page.locator("#ladder tr.gap")).to_contain_text("one side is empty")
    at.page.get_by_role("button", name="Release ACME").click()
    at.agree()
    expect(at.page.locator("#blocks-empty")).to_be_visible()
    at.close()


def a_kill_switch_of_a_desk_is_released_without_touching_the_venues_own(browser, venue):
    desk = next(at for at, key in enumerate(venue.credentials()["binary"]) if "risk" in key.get("roles", []))
    said = venue.client("kill firm 1", key=desk)
    assert "reject" not in said.lower(), said
    at = Browser(browser, venue).login("risk")
    block = at.page.locator("#blocks li")
    expect(block).to_contain_text("DEMO-ALPHA (by the firm's desk)")
    assert "reject" in venue.client("buy ACME 1 100.02").lower()
    form = at.page.locator("#kill")
    form.get_by_label("Scope").select_option("instrument")
    form.get_by_label("Target").select_option(label="ACME")
    form.get_by_role("button", name="Kill").click()
    at.agree(typed="ACME")
    expect(block).to_have_count(2)
    at.page.get_by_role("button", name="Release DEMO-ALPHA").click()
    at.agree()
    expect(block).to_have_count(1)
    expect(block).to_contain_text("ACME")
    said = venue.client("buy TEST-A 1 50")
    assert "accepted" in said.lower(), said
    at.close()


def sessions_and_stages_show_numbers_while_orders_come(browser, venue):
    at = Browser(browser, venue).login("viewer")
    name = venue.credentials()["binary"][0]["key_id"]
    cells = at.page.locator("#sessions-table tbody tr", has_text=name).locator("td")
    expect(cells.nth(3)).to_have_text("away")
    expect(at.page.locator("#charts figure").first).to_contain_text("idle")
    with venue.trader() as trader:
        expect(cells.nth(3)).to_have_text("connected")
        until = time.monotonic() + PATIENCE_MS / 1_000
        seen, entered = {}, 0
        while len(seen) < 3:
            assert time.monotonic() < until, f"{seen}: {cells.all_text_contents()}"
            for _ in range(5):
                trader.stdin.write("buy ACME 1 100.02\n")
                entered += 1
            trader.stdin.flush()
            for what, at_cell in (("orders", 4), ("told", 5)):
                text = cells.nth(at_cell).text_content()
                if text not in ("", "0"):
                    seen[what] = int(text.replace(",", ""))
            stages = at.page.locator("#charts figure b").all_text_contents()
            measured = [text for text in stages if re.fullmatch(r"[\d.]+ (µs|ms|s)( · [\d.]+ (µs|ms|s)){2}", text)]
            if measured:
                seen["stages"] = measured
            time.sleep(0.1)
        assert 0 < seen["orders"] <= entered, (seen, entered)
        # It reads what it is told, so nothing waits for it.
        assert cells.nth(7).text_content() == "0"
        drawn = at.page.locator("#charts polyline.p50").evaluate_all("lines => lines.some(line => line.getAttribute('points').split(' ').length > 0 && line.getAttribute('points') !== '')")
        assert drawn, "no stage has a line"
    expect(cells.nth(3)).to_have_text("away")
    expect(cells.nth(4)).to_have_text("0")
    at.close()


def a_viewer_can_look_and_no_more(browser, venue):
    at = Browser(browser, venue).login("viewer")
    at.choose("ACME")
    expect(at.page.get_by_role("button", name="Halt")).to_be_disabled()
    expect(at.page.locator("#kill button")).to_be_disabled()
    at.page.reload()
    expect(at.page.locator("#desk")).to_be_visible()
    expect(at.page.locator("#book-title")).to_have_text("ACME")
    at.page.get_by_role("button", name="Log out").click()
    expect(at.page.locator("#login")).to_be_visible()
    at.page.reload()
    expect(at.page.locator("#login")).to_be_visible()
    at.close()


def the_page_says_when_the_venue_is_away_and_comes_back_with_it(browser, venue):
    at = Browser(browser, venue).login("viewer")
    at.choose("ACME")
    venue.stop()
    expect(at.page.locator("#venue")).to_contain_text("No connection")
    venue.start()
    # In development a new start draws a new secret, and the login ends; a kept one goes on.
    expect(at.page.locator("#login").or_(at.page.locator("#venue", has_text="Sequence"))).to_be_visible(timeout=30_000)
    at.close()


def nothing_is_out_of_reach_on_a_phone(browser, venue):
    at = Browser(browser, venue, width=360, height=740, scheme="dark").login("operator")
    at.choose("ACME")
    wide = at.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 360, f"the page is {wide} px wide"
    for name in ("Markets", "Book", "Sessions", "Latency", "Controls"):
        at.page.get_by_role("link", name=name).click()
        expect(at.page.locator(f"#{name.lower()}")).to_be_in_viewport()
    at.page.get_by_role("button", name="Halt").scroll_into_view_if_needed()
    expect(at.page.get_by_role("button", name="Halt")).to_be_in_viewport()
    at.close()


def it_can_be_used_without_seeing_it(browser, venue):
    for scheme in ("light", "dark"):
        at = Browser(browser, venue, scheme=scheme)
        found = Axe().run(at.page)
        assert found.violations_count == 0, found.generate_report()
        at.login("operator").choose("ACME")
        expect(at.page.locator("#sessions-table tbody tr").first).to_be_visible()
        found = Axe().run(at.page)
        assert found.violations_count == 0, found.generate_report()
        at.close()


def it_looks_as_it_did(browser, venue, seen):
    venue.client("buy ACME 10 100.02, buy ACME 30 100.01, sell ACME 25 100.07, sell ACME 5 100.08")
    for name, width, height, scheme in (("desk-light", 1440, 900, "light"), ("desk-dark", 1440, 900, "dark"), ("phone", 360, 740, "light")):
        at = Browser(browser, venue, width, height, scheme).login("operator")
        at.choose("ACME")
        expect(at.page.locator("#charts figure").first).to_be_visible()
        expect(at.page.locator("#ladder td.p.bid").first).to_have_text("100.02")
        moving = [at.page.locator(one) for one in ("#venue", "#charts", "#audit", "#trades tbody", "#sessions-table tbody", "#book-facts", "#toasts", "#who")]
        picture = seen / f"{name}.png"
        at.page.screenshot(path=picture, mask=moving, animations="disabled", caret="hide")
        expected = EXPECTED / f"{name}.png"
        if os.environ.get("UPDATE") == "1":
            EXPECTED.mkdir(exist_ok=True)
            expected.write_bytes(picture.read_bytes())
        with Image.open(picture) as now, Image.open(expected) as then:
            assert now.size == then.size, f"{name}: {now.size}, expected {then.size}"
            difference = ImageChops.difference(now.convert("L"), then.convert("L")).point(lambda level: 255 if level > 48 else 0)
            share = difference.histogram()[255] / (now.size[0] * now.size[1])
        assert share <= PIXELS_DIFFERENT_MAX, f"{name}: {share:.1%} of the picture is another; see {picture}"
        at.close()


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    seen = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    seen.mkdir(parents=True, exist_ok=True)
    only = os.environ.get("ONLY", "")
    tests = [
        it_looks_as_it_did,
        a_wrong_password_is_refused_and_says_so,
        a_book_changes_as_orders_trade,
        an_address_that_names_nothing_shows_the_desk,
        a_halt_stops_trading_until_it_is_resumed,
        a_kill_switch_wants_its_target_typed_and_can_be_released,
        a_kill_switch_of_a_desk_is_released_without_touching_the_venues_own,
        sessions_and_stages_show_numbers_while_orders_come,
        a_viewer_can_look_and_no_more,
        nothing_is_out_of_reach_on_a_phone,
        it_can_be_used_without_seeing_it,
        the_page_says_when_the_venue_is_away_and_comes_back_with_it,
    ]
    failed = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox", "--force-color-profile=srgb"])
        for test in tests:
            if only not in test.__name__:
                continue
            with tempfile.TemporaryDirectory() as folder:
                venue = Venue(program, folder)
                begun = time.monotonic()
                try:
                    test(*((browser, venue, seen) if test is it_looks_as_it_did else (browser, venue)))
                    print(f"ok      {test.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)
                except Exception as error:  # noqa: BLE001 the next test still runs
                    failed += 1
                    print(f"FAILED  {test.__name__}: {error}", flush=True)
                finally:
                    venue.stop()
        browser.close()
    print(f"console: {len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
