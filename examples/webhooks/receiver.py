"""Receives webhooks: docs/guides/webhooks.md. pip install flask standardwebhooks"""

import os

from flask import Flask, request
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

app = Flask(__name__)
webhook = Webhook(os.environ["WEBHOOK_SECRET"])

@app.post("/hooks")
def hooks():
    try:
        event = webhook.verify(request.get_data(), dict(request.headers))
    except WebhookVerificationError:
        return "", 400
    print(request.headers["webhook-id"], event["type"], event["data"].get("verification_sid"), flush=True)
    return "", 204

app.run(port=8000)
