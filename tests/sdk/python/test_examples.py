"""The example of a sign-up form, and the manifest for Kubernetes."""

import http.cookiejar
import os
import subprocess
import sys
import unittest
import urllib.parse
import urllib.request
from pathlib import Path

import kubernetes_validate
import yaml

import case
import own_server

ROOT = Path(__file__).resolve().parents[3]


class SignUp(case.Case):
    def setUp(self):
        environment = os.environ | {
            "SERVICE": self.service().sid,
            "KEY_ID": own_server.ACCOUNT_SID,
            "KEY_SECRET": own_server.AUTH_TOKEN,
        }
        program = [sys.executable, str(ROOT / "examples/sign-up/server.py"), "0"]
        self.form = subprocess.Popen(
            program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.addCleanup(self.form.wait)
        self.addCleanup(self.form.terminate)
        self.addCleanup(self.form.stdout.close)
        self.address = self.form.stdout.readline().strip()
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def submit(self, path="", **fields):
        """Submits a form, or opens the page, and returns the page that follows."""
        data = urllib.parse.urlencode(fields).encode() if path else None
        with self.browser.open(self.address + path, data) as answer:
            return answer.read().decode()

    def test_a_person_signs_up_after_a_wrong_code(self):
        number = own_server.number()
        self.assertIn('autocomplete="tel"', self.submit())
        self.assertIn('autocomplete="one-time-code"', self.submit("send", number=number))
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
        self.browser = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.assertNotIn("is verified", self.submit("check", code=code))

    def test_a_number_that_no_plan_has_is_refused_in_words(self):
        self.assertIn("We cannot send a message to this number.", self.submit("send", number="+14"))


class Manifest(unittest.TestCase):
    def test_kubernetes_accepts_the_manifest_and_one_process_writes(self):
        with open(ROOT / "dist/kubernetes/onceward.yaml", encoding="utf-8") as file:
            parts = list(yaml.safe_load_all(file))
        for part in parts:
            kubernetes_validate.validate(part, kubernetes_validate.latest_version(), strict=True)
        [workload] = [part for part in parts if part["kind"] == "StatefulSet"]
        self.assertEqual(workload["spec"]["replicas"], 1)
        claim = workload["spec"]["volumeClaimTemplates"][0]
        self.assertEqual(claim["spec"]["accessModes"], ["ReadWriteOncePod"])
