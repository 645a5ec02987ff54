// A custom phone provider of Auth0: docs/guides/login-libraries.md. Give the Action three secrets: ONCEWARD_SERVICE is the
// address of your service, such as https://codes.example/v2/Services/VA..., KEY_ID and KEY_SECRET are those of a key with the
// scope `messages`.

exports.onExecuteCustomPhoneProvider = async (event) => {
  const { ONCEWARD_SERVICE: service, KEY_ID: key, KEY_SECRET: secret } = event.secrets;
  const { recipient, code, locale, delivery_method: method, message_type: type } = event.notification;
  // A notice, such as of a blocked account, has no code: Auth0 logs the error, and nobody gets a message without a code.
  if (!code) throw new Error(`onceward sends codes, and ${type} has none`);
  const fields = { To: recipient, Code: code };
  if (method === "voice") fields.Channel = "call";
  if (locale) fields.Locale = locale;
  const answer = await fetch(`${service}/Messages`, {
    method: "POST",
    headers: { authorization: "Basic " + Buffer.from(`${key}:${secret}`).toString("base64") },
    body: new URLSearchParams(fields),
  });
  if (!answer.ok) throw new Error(`onceward: ${answer.status} ${(await answer.json()).message}`);
};
