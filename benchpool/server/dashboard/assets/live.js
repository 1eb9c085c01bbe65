// A page left open follows what it shows: the server says that something changed, the page asks for
// itself again, and the parts marked data-live that differ are put in place. Without this script
// every page is a plain one. Hidden pages hold no connection.

const WAIT_MS = 5000;
const status = document.getElementById("live");
let stream = null;
let asking = false;
let again = false;
let tag = null;
let version = document.body.dataset.version;

/** Give the parts of a page that may change, by id. */
function parts(page) {
  return new Map([...page.querySelectorAll("[data-live]")].map((part) => [part.id, part]));
}

const written = new Map([...parts(document)].map(([id, part]) => [id, part.innerHTML]));

/** Put a new part in the place of an old one; what is open, focused or scrolled stays so. */
function swap(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const open = [...old.querySelectorAll("details[open][id]")].map((each) => each.id);
  const scrolled = [...old.querySelectorAll("[id]")].filter((each) => each.scrollLeft || each.scrollTop)
    .map((each) => [each.id, each.scrollLeft, each.scrollTop]);
  const key = focused && (focused.id || focused.getAttribute("href"));
  old.replaceChildren(...fresh.childNodes);
  for (const id of open) {
    const found = document.getElementById(id);
    if (found) found.open = true;
  }
  for (const [id, left, top] of scrolled) {
    const found = document.getElementById(id);
    if (found) found.scrollTo(left, top);
  }
  if (key) {
    const like = [...old.querySelectorAll("a[href], button, input, select, summary, [tabindex], [id]")];
    like.find((each) => each.id === key || each.getAttribute("href") === key)?.focus({ preventScroll: true });
  }
  old.classList.remove("changed");
  void old.offsetWidth; // else the browser would not begin anew
  old.classList.add("changed");
}

/** Tell whether somebody is filling in a form of a part: it is left alone. */
function busy(part) {
  const active = document.activeElement;
  return part.contains(active) && /^(INPUT|SELECT|TEXTAREA)$/.test(active.tagName);
}

async function ask() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    // Told that it changed: the page lies ready, for all who have it open.
    const headers = { Accept: "text/html", "X-Told": "1" };
    if (tag) headers["If-None-Match"] = tag;
    const answer = await fetch(location.href, { headers, cache: "no-store" });
    if (answer.ok) {
      tag = answer.headers.get("ETag");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      version = page.body.dataset.version;
      const here = parts(document);
      const there = parts(page);
      if ([...here.keys()].join() !== [...there.keys()].join()) {
        location.reload();
        return;
      }
      for (const [id, part] of there) {
        if (part.innerHTML === written.get(id) || busy(here.get(id))) continue;
        written.set(id, part.innerHTML);
        swap(here.get(id), part);
      }
    }
  } catch {
    // The server is gone for a moment; the stream tells when it is back.
  } finally {
    asking = false;
    if (again) {
      again = false;
      setTimeout(ask, 100);
    }
  }
}

function follow() {
  if (stream || document.hidden || !written.size) return;
  const query = new URLSearchParams({ of: location.pathname + location.search, seen: version });
  stream = new EventSource(`/ui/events?${query}`);
  stream.addEventListener("open", () => {
    status.textContent = "Live";
  });
  stream.addEventListener("changed", ask);
  stream.addEventListener("error", () => {
    status.textContent = "Not live: the server does not answer";
    if (stream?.readyState === EventSource.CLOSED) {
      rest();
      setTimeout(follow, WAIT_MS);
    }
  });
}

function rest() {
  stream?.close();
  stream = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? rest() : follow()));
addEventListener("pagehide", rest);
addEventListener("pageshow", follow);
follow();
