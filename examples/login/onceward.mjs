// Sends a code, or reports an outcome: docs/guides/login-libraries.md. ONCEWARD_SERVICE is the address of your service, such as
// https://codes.example/v2/Services/VA..., KEY_ID and KEY_SECRET are those of a key with the scope `messages`.

const { ONCEWARD_SERVICE: service, KEY_ID: key, KEY_SECRET: secret } = process.env;
const authorization = "Basic " + Buffer.from(`${key}:${secret}`).toString("base64");

export async function onceward(resource, fields) {
  const body = new URLSearchParams(fields);
  const answer = await fetch(`${service}/${resource}`, { method: "POST", headers: { authorization }, body });
  if (!answer.ok) throw new Error(`onceward: ${answer.status} ${(await answer.json()).message}`);
}
