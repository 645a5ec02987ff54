// better-auth: docs/guides/login-libraries.md.

import { betterAuth } from "better-auth";
import { phoneNumber } from "better-auth/plugins";
import { onceward } from "./onceward.mjs";

export const auth = betterAuth({
  plugins: [phoneNumber({
    sendOTP: ({ phoneNumber, code }) => onceward("Messages", { To: phoneNumber, Code: code }),
    callbackOnVerification: ({ phoneNumber }) => onceward("Outcomes", { To: phoneNumber }),
  })],
});
