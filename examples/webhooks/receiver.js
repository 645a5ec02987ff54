// Receives webhooks: docs/guides/webhooks.md. npm install express standardwebhooks

const express = require("express");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const app = express();
const webhook = new Webhook(process.env.WEBHOOK_SECRET);

app.post("/hooks", express.raw({ type: "application/json" }), (req, res) => {
  let event;
  try {
    event = webhook.verify(req.body, req.headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return res.sendStatus(400);
    throw error;
  }
  console.log(req.headers["webhook-id"], event.type, event.data.verification_sid);
  res.sendStatus(204);
});

app.listen(8000);
