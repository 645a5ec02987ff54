// The recipe Passwordless of SuperTokens: docs/guides/login-libraries.md.

import Passwordless from "supertokens-node/recipe/passwordless";
import { onceward } from "./onceward.mjs";

export const passwordless = Passwordless.init({
  contactMethod: "PHONE", flowType: "USER_INPUT_CODE",
  smsDelivery: { override: (original) => ({
    ...original,
    sendSms: ({ phoneNumber, userInputCode }) => onceward("Messages", { To: phoneNumber, Code: userInputCode }),
  }) },
});
