// A Lambda function as custom SMS sender of Cognito: docs/guides/login-libraries.md.

import { buildClient, CommitmentPolicy, KmsKeyringNode } from "@aws-crypto/client-node";
import { onceward } from "./onceward.mjs";

const { decrypt } = buildClient(CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT);
const keyring = new KmsKeyringNode({ generatorKeyId: process.env.KEY_ALIAS, keyIds: [process.env.KEY_ARN] });

export async function handler(event) {
  if (!event.request.code) return;
  const { plaintext } = await decrypt(keyring, Buffer.from(event.request.code, "base64"));
  const To = event.request.userAttributes.phone_number;
  await onceward("Messages", { To, Code: Buffer.from(plaintext).toString() });
}
