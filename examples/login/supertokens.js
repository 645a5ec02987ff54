// The recipe Passwordless of SuperTokens: docs/guides/login-libraries.md, with its function onceward().

Passwordless.init({
  contactMethod: "PHONE", flowType: "USER_INPUT_CODE",
  smsDelivery: { override: (original) => ({
    ...original,
    sendSms: ({ phoneNumber, userInputCode }) => onceward("Messages", { To: phoneNumber, Code: userInputCode }),
  }) },
});
