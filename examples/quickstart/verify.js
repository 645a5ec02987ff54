// Verifies a number with Twilio's library: docs/quickstart.md, whose step 2 sets the variables.

const readline = require("node:readline/promises");
const twilio = require("twilio");

const address = process.env.API ?? "http://localhost:3000";

async function main() {
  const client = twilio(process.env.ONCEWARD_ACCOUNT_SID, process.env.ONCEWARD_AUTH_TOKEN);
  client.verify.baseUrl = address;

  const service = client.verify.v2.services(process.env.SERVICE);
  const verification = await service.verifications.create({ to: "+14155552673", channel: "sms" });
  const terminal = readline.createInterface({ input: process.stdin, output: process.stdout });
  const code = await terminal.question(`Code, from ${address}/inbox: `);
  terminal.close();
  const check = await service.verificationChecks.create({ verificationSid: verification.sid, code });
  console.log(check.status);
}

main();
