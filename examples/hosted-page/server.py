"""A page that verifies a telephone number on the hosted page: docs/guides/hosted-page.md. Python 3.9, no packages."""

import base64, http.server, json, os, secrets, sys, urllib.error, urllib.parse, urllib.request

API, SERVICE = os.environ["API"], os.environ["SERVICE"]
PORT = int(sys.argv[1]) if sys.argv[1:] else 8000
HERE = f"http://localhost:{PORT}/verified"
KEY = base64.b64encode(f"{os.environ['KEY_ID']}:{os.environ['KEY_SECRET']}".encode()).decode()
sessions = {}  # What this site knows of its visitors: keep it in your session store.


def call(path, **form):
    body = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(f"{API}/v2/Services/{SERVICE}/{path}", body, {"Authorization": f"Basic {KEY}"})
    return json.load(urllib.request.urlopen(request, timeout=15))


class Site(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text="", **headers):
        self.send_response(status)
        for name, value in {"Content-Type": "text/html; charset=utf-8", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(200, '<form method="post"><button>Verify my number</button></form>') if self.path == "/" else self.back()

    def do_POST(self):
        state = secrets.token_urlsafe()
        made = call("HostedSessions", ReturnUrl=HERE, State=state)
        sessions[state] = made["sid"]
        self.answer(303, Location=made["url"], Set_Cookie=f"state={state}; HttpOnly; SameSite=Lax")

    def back(self):
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
        state = query.get("state", "")
        is_own = f"state={state}" in self.headers.get("Cookie", "").split("; ")  # The visitor who began, and no other.
        sid = sessions.pop(state, None) if is_own else None
        if sid is None or "code" not in query:
            return self.answer(400, "Your number is not verified.")
        try:
            result = call(f"HostedSessions/{sid}/Result", Code=query["code"])
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            # Another code, or this one is used or older than a minute.
            return self.answer(400, "Your number is not verified.")
        self.answer(200, f"Your number {result['to']} is verified.")


http.server.ThreadingHTTPServer(("localhost", PORT), Site).serve_forever()
