// A Lambda function as custom SMS sender of Cognito: docs/guides/login-libraries.md.

import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { onceward } from "./onceward.mjs";

const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
const keyring = new KmsKeyringNode({ generatorKeyId: process.env.KEY_ALIAS, keyIds: [process.env.KEY_ARN] });

export async function handler(event) {
  if (!event.request.code) return;
  // An invitation has a temporary password, which is no code.
  if (event.triggerSource === "CustomSMSSender_AdminCreateUser") {
    throw new Error("onceward sends codes: invite by email, or send the password yourself");
  }
  const { plaintext } = await decrypt(keyring, Buffer.from(event.request.code, "base64"));
  const { phone_number: To, locale } = event.request.userAttributes;
  const fields = { To, Code: Buffer.from(plaintext).toString() };
  await onceward("Messages", locale ? { ...fields, Locale: locale } : fields);
}
