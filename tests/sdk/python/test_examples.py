"""The examples, and the manifest for Kubernetes."""

import ast
import base64
import contextlib
import http.cookiejar
import importlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import unittest
import unittest.mock
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

import _gojsonnet
import kubernetes_validate
import yaml
from standardwebhooks.webhooks import Webhook
from tree_sitter import Language, Parser

import case
import own_server

ROOT = Path(__file__).resolve().parents[3]


def browser(cookies=None):
    """A browser with these cookies, or none yet."""
    cookies = urllib.request.HTTPCookieProcessor(cookies)
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)


def blocks(document, language):
    """The fenced blocks of a document in this language."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.+?)```", text, re.DOTALL)


class Example(case.Case):
    def start(self, path, port, service):
        """Starts a program, which the end of the test stops."""
        environment = os.environ | {
            "API": own_server.URL,
            "SERVICE": service,
            "KEY_ID": own_server.ACCOUNT_SID,
            "KEY_SECRET": own_server.AUTH_TOKEN,
        }
        program = [sys.executable, str(ROOT / "examples" / path), port]
        started = subprocess.Popen(
            program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.addCleanup(started.wait)
        self.addCleanup(started.terminate)
        self.addCleanup(started.stdout.close)
        return started


class SignUp(Example):
    def setUp(self):
        self.address = self.start("sign-up/server.py", "0", self.service().sid).stdout.readline().strip()
        self.browser = browser()

    def submit(self, path="", **fields):
        """Submits a form, or opens the page, and returns the page that follows."""
        data = urllib.parse.urlencode(fields).encode() if path else None
        with self.browser.open(self.address + path, data) as answer:
            return answer.read().decode()

    def test_a_person_signs_up_after_a_wrong_code(self):
        number = own_server.number()
        [field] = blocks("guides/sign-up-form.md", "html")
        self.assertIn('autocomplete="tel"', self.submit())
        self.assertIn(field.strip(">\n"), self.submit("send", number=number))
        self.assertIn("Please wait", self.submit("send", again="1"))
        code = own_server.code_for(number)
        wrong = code.translate(str.maketrans("0123456789", "1234567890"))
        self.assertIn("This code is wrong.", self.submit("check", code=wrong))
        self.assertIn(f"{number} is verified.", self.submit("check", code=code))
        self.assertEqual(len(own_server.inbox(number)), 1)

    def test_another_session_cannot_check_the_code(self):
        number = own_server.number()
        self.submit("send", number=number)
        code = own_server.code_for(number)
        self.browser = browser()
        self.assertNotIn("is verified", self.submit("check", code=code))

    def test_a_number_that_no_plan_has_is_refused_in_words(self):
        self.assertIn("We cannot send a message to this number.", self.submit("send", number="+14"))


class HostedPage(Example):
    def test_the_visitor_who_began_is_verified_and_no_other(self):
        with socket.create_server(("localhost", 0)) as free:
            port = free.getsockname()[1]
        form = {"FriendlyName": "Owl Bank", "ReturnUrls": f"http://localhost:{port}/verified"}
        service = json.loads(self.client.request("POST", f"{own_server.URL}/v2/Services", data=form).text)["sid"]
        self.addCleanup(self.verify.services(service).delete)
        site = self.start("hosted-page/server.py", str(port), service)
        cookies, number = http.cookiejar.CookieJar(), own_server.number()
        visitor = browser(cookies)

        def post(address, **fields):
            with visitor.open(address, urllib.parse.urlencode(fields).encode()) as answer:
                return answer.url, answer.read().decode()

        def submit(step, page, **fields):
            token = re.search('name="token" value="(.+?)"', page)[1]
            return post(f"{own_server.URL}/verify/{step}", token=token, **fields)

        while True:
            try:
                address, _ = post(f"http://localhost:{port}/")
                break
            except urllib.error.URLError:
                self.assertIsNone(site.poll())
        [state] = [cookie.value for cookie in cookies if cookie.name == "state"]
        with self.assertRaises(urllib.error.HTTPError) as refused:
            browser().open(f"http://localhost:{port}/verified?state={state}&code=c")
        self.assertEqual(refused.exception.code, 400)
        _, page = post(address)
        _, page = submit("send", page, number=number)
        _, page = submit("check", page, code=own_server.code_for(number))
        self.assertIn(f"Your number {number} is verified.", page)


class Receiver(unittest.TestCase):
    def test_it_takes_only_events_with_the_signature_of_its_secret(self):
        secret, now = "whsec_c2VjcmV0LW9mLXRoZS1yZWNlaXZlcg==", datetime.now(timezone.utc)
        text = (ROOT / "examples/webhooks/receiver.py").read_text(encoding="utf-8")
        program = {"__name__": __name__}
        with unittest.mock.patch.dict(os.environ, WEBHOOK_SECRET=secret):
            exec(text.replace("app.run(port=8000)", ""), program)
        event = json.dumps({"type": "verification.approved", "data": {"verification_sid": "VE1"}})
        signature = Webhook(secret).sign("msg_1", now, event)
        headers = {"webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            for message, status in [("msg_2", 400), ("msg_1", 204)]:
                answer = program["app"].test_client().post("/hooks", data=event, headers=headers | {"webhook-id": message})
                self.assertEqual(answer.status_code, status)
        self.assertEqual(printed.getvalue(), "msg_1 verification.approved VE1\n")


class Manifest(unittest.TestCase):
    def parts_of(self, name):
        with open(ROOT / "dist/kubernetes" / name, encoding="utf-8") as file:
            parts = list(yaml.safe_load_all(file))
        for part in parts:
            kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)
        return {part["kind"]: part for part in parts}

    def test_kubernetes_accepts_the_manifest_and_one_process_writes(self):
        workload = self.parts_of("onceward.yaml")["StatefulSet"]
        self.assertEqual(workload["spec"]["replicas"], 1)
        claim = workload["spec"]["volumeClaimTemplates"][0]
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOncePod"])

    def test_kubernetes_accepts_a_cluster_whose_ingress_repeats_only_what_got_503(self):
        parts = self.parts_of("cluster.yaml")
        repeated = parts["Ingress"]["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-next-upstream"]
        self.assertEqual(repeated, "http_503 non_idempotent")
        [container] = parts["StatefulSet"]["spec"]["template"]["spec"]["containers"]
        self.assertEqual(container["readinessProbe"]["httpGet"]["path"], "/readyz")


class Compose(unittest.TestCase):
    def test_it_mounts_where_the_image_has_the_data_and_stops_after_the_server(self):
        [service] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
        image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
        directory = re.search(r"ONCEWARD_DATA_DIR=(\S+)", image)[1]
        self.assertEqual(service["volumes"], [f"data:{directory}"])
        self.assertIn(f"VOLUME {directory}\n", image)
        self.assertGreater(int(service["stop_grace_period"].removesuffix("s")), 30)


class Workflows(unittest.TestCase):
    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shellcheck_finds_nothing_in_their_steps(self):
        files = (ROOT / ".github/workflows").glob("*.yml")
        jobs = [job for file in files for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()]
        scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
        self.assertGreater(len(scripts), 5)
        for script in scripts:
            # As a runner starts it, with a word in the place of each expression.
            script = "set -e\n" + re.sub(r"\$\{\{.+?\}\}", "true", script)
            ended = subprocess.run(["shellcheck", "--shell=bash", "-"], input=script, text=True, capture_output=True)
            self.assertEqual(ended.stdout, "", script)


class Scrape(unittest.TestCase):
    def test_it_has_a_credential_and_the_certificate(self):
        [block] = blocks("operate/monitoring.md", "yaml")
        [job] = yaml.safe_load(block)["scrape_configs"]
        self.assertEqual(job["job_name"], "onceward")
        self.assertEqual(set(job["basic_auth"]), {"username", "password_file"})
        self.assertEqual(set(job["tls_config"]), {"ca_file"})


class Kratos(case.Case):
    def test_a_message_of_its_courier_is_sent(self):
        text = (ROOT / "examples/login/kratos.yaml").read_text(encoding="utf-8")
        [channel] = yaml.safe_load(text)["courier"]["channels"]
        self.assertEqual(channel["id"], "sms")
        config = channel["request_config"]
        number = own_server.number()
        template = re.search(r"sms\.jsonnet is `(.*)`", text)[1]
        # What the courier fills in: courier/http_channel.go of ory/kratos.
        message = {"recipient": number, "body": "271828 opens the door", "message_type": "sms", "template_data": {}}
        body = _gojsonnet.evaluate_snippet("sms.jsonnet", f"({template})({json.dumps(message)})")
        address = config["url"].replace("https://codes.example", own_server.URL).replace("$SERVICE", self.service().sid)
        self.assertEqual(config["auth"]["type"], "basic_auth")
        self.assertEqual(config["auth"]["config"], {"user": "SK...", "password": "SECRET"})
        key = base64.b64encode(f"{own_server.ACCOUNT_SID}:{own_server.AUTH_TOKEN}".encode()).decode()
        headers = config["headers"] | {"Authorization": f"Basic {key}"}
        request = urllib.request.Request(address, body.encode(), headers, method=config["method"])
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            self.assertEqual(answer.status, 201)
        [sent] = own_server.inbox(number)
        self.assertIn("271828", sent["text"])


class Switch(case.Case):
    def test_a_verification_is_checked_where_it_began(self):
        services = {"own": self.service(), "twilio": self.service()}
        number = own_server.number()
        program = {"services": services, "session": {}, "is_chosen": {number}.__contains__}
        exec((ROOT / "examples/twilio-libraries/switch.py").read_text(encoding="utf-8"), program)
        for place, to in [("own", number), ("twilio", own_server.number())]:
            program["begin"](to)
            self.assertEqual(program["session"]["verification"][0], place)
            self.assertTrue(program["check"](own_server.code_for(to)))


class Grammar(unittest.TestCase):
    """Languages whose libraries for Twilio no test runs."""

    def parsed(self, language, text):
        """Expects what the grammar of this language accepts."""
        grammar = importlib.import_module(f"tree_sitter_{language}")
        described = getattr(grammar, "language", None) or grammar.language_php
        places = [Parser(Language(described())).parse(text.encode()).root_node]
        while places:
            place = places.pop()
            self.assertFalse(place.is_error or place.is_missing, f"{language}, {place.start_point}: {place.text[:60]}")
            places.extend(place.children)

    def test_the_examples_keep_the_grammar(self):
        languages = {"cs": "c_sharp", "go": "go", "java": "java", "kt": "kotlin", "php": "php", "rb": "ruby"}
        files = [path for path in (ROOT / "examples").rglob("*") if path.suffix[1:] in languages]
        self.assertEqual(len(files), len(languages))
        for path in files:
            self.parsed(languages[path.suffix[1:]], path.read_text(encoding="utf-8"))

    def test_the_commands_and_programs_in_the_documents_keep_the_grammar(self):
        for document in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
            text = document.read_text(encoding="utf-8")
            for program in re.findall(r"```python\n(.+?)```", text, re.DOTALL):
                ast.parse(program)
            for commands in re.findall(r"```sh\n((?!# \.env).+?)```", text, re.DOTALL):
                ended = subprocess.run(["bash", "-n"], input=commands, text=True, capture_output=True)
                self.assertEqual(ended.stderr, "", document)

    def test_the_modifiers_of_swift_ui_keep_the_grammar(self):
        guide = (ROOT / "docs/guides/sign-up-form.md").read_text(encoding="utf-8")
        modifiers = re.search(r"`TextField` `(.+)` and `(.+)`", guide).groups()
        self.parsed("swift", "\n".join(['TextField("Code", text: $code)', *modifiers]))
