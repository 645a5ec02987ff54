// A custom phone provider of Auth0: docs/guides/login-libraries.md. An Action is one file: paste the function of onceward.mjs into
// it, with event.secrets in place of process.env.

exports.onExecuteCustomPhoneProvider = async (event) => {
  const { recipient, code } = event.notification;
  await onceward("Messages", { To: recipient, Code: code });
};
