"""A sign-up form that verifies a phone number through onceward. It needs Python's standard library only.

    ONCEWARD_URL=http://localhost:3000 SERVICE=VA... KEY_ID=SK... KEY_SECRET=... python3 server.py 8000
"""

import base64
import html
import http.cookies
import http.server
import json
import os
import secrets
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ONCEWARD = os.environ.get("ONCEWARD_URL", "http://localhost:3000")
SERVICE = os.environ["SERVICE"]
CREDENTIALS = base64.b64encode(f"{os.environ['KEY_ID']}:{os.environ['KEY_SECRET']}".encode()).decode()
RESEND_AFTER = 30

# Use your framework's sessions. What matters: the browser has a random id only, and the rest stays here.
sessions = {}


def onceward(path, **parameters):
    """Posts to the service and returns the status and the answer."""
    request = urllib.request.Request(
        f"{ONCEWARD}/v2/Services/{SERVICE}/{path}",
        data=urllib.parse.urlencode(parameters).encode(),
        headers={"Authorization": f"Basic {CREDENTIALS}"},
    )
    try:
        # Longer than send-budget (10 s).
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 503, {}


def send_code(session, number, address):
    """Sends a code, or sends it again. Returns an error for the person, or None."""
    wait = session.get("sent", -RESEND_AFTER) + RESEND_AFTER - time.monotonic()
    if wait > 0:
        return f"Please wait {wait:.0f} seconds."
    session["sent"] = time.monotonic()
    status, answer = onceward("Verifications", To=number, Channel="sms", DeviceIp=address)
    if status == 201:
        # In E.164 form, however the person typed it.
        session.update(number=answer["to"], verification=answer["sid"])
        return None
    # The answer says more than a stranger should learn: log it, and show one of three sentences.
    code, message = answer.get("code"), answer.get("message", "")
    print("send refused", status, code, message, file=sys.stderr)
    if code in (21610, 60205, 60605) or (code == 60200 and "To" in message):
        session.pop("sent")
        return "We cannot send a message to this number."
    if status == 429 and code != 60202 and "verification" in session:
        return "We could not send another code. Use the last code we sent."
    return "We could not send a code. Please try again later."


def check_code(session, code):
    """Returns an error for the person, or None when the number is verified."""
    if "verification" not in session:
        return "Please ask for a code first."
    status, answer = onceward("VerificationCheck", VerificationSid=session["verification"], Code=code)
    if status == 200 and answer["status"] == "approved":
        session["verified"] = answer["to"]
        del session["verification"]
        return None
    if (status == 200 and answer["status"] == "pending") or answer.get("code") == 60200:
        return "This code is wrong."
    if status in (200, 404) or answer.get("code") == 60202:
        verification = session.pop("verification")
        if status != 404:
            # Its checks are used up. Until it ends, no other one can begin.
            onceward(f"Verifications/{verification}", Status="canceled")
        session.pop("sent", None)
        return "This code can no longer be used. Please ask for a new one."
    return "We could not check the code. Please try again."


def page(session, error):
    problem = f'<p role="alert">{html.escape(error)}</p>' if error else ""
    if "verified" in session:
        return f"<h1>Welcome</h1><p>{html.escape(session['verified'])} is verified.</p>"
    if "verification" in session:
        return f"""<h1>Enter the code</h1>{problem}
<form method="post" action="/check"><label>Code
<input name="code" inputmode="numeric" autocomplete="one-time-code" maxlength="10" required autofocus></label>
<button>Verify</button></form>
<form method="post" action="/send"><button>Send it again</button></form>
<form method="post" action="/change"><button>Use another number</button></form>"""
    return f"""<h1>Sign up</h1>{problem}
<form method="post" action="/send"><label>Mobile number
<input name="number" type="tel" autocomplete="tel" placeholder="+14155552671" required></label>
<p>We will send you one text message.</p><button>Send code</button></form>"""


class Handler(http.server.BaseHTTPRequestHandler):
    def session(self):
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie", "")).get("session")
        key = cookie.value if cookie and cookie.value in sessions else secrets.token_urlsafe(32)
        return key, sessions.setdefault(key, {"lock": threading.Lock()})

    def respond(self, status, key, body="", location=None):
        body = f'<!doctype html><html lang="en"><meta name="viewport" content="width=device-width">{body}</html>'.encode()
        self.send_response(status)
        # SameSite keeps other sites from posting these forms. Add Secure where you serve HTTPS.
        self.send_header("Set-Cookie", f"session={key}; HttpOnly; SameSite=Lax; Path=/")
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        key, session = self.session()
        self.respond(200, key, page(session, session.pop("error", None)))

    def do_POST(self):
        key, session = self.session()
        length = min(int(self.headers.get("Content-Length") or 0), 4096)
        form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode(errors="replace")))
        # One request of a session after the other.
        with session["lock"]:
            if self.path == "/send":
                # Behind a proxy, take the address from its header.
                number = form.get("number", "").replace(" ", "") or session.get("number", "")
                session["error"] = send_code(session, number, self.client_address[0])
            elif self.path == "/check":
                session["error"] = check_code(session, form.get("code", "").replace(" ", ""))
            elif self.path == "/change":
                # A code for another number may be sent at once.
                for known in ("number", "verification", "sent"):
                    session.pop(known, None)
        self.respond(303, key, location="/")


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
