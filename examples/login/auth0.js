// A custom phone provider for Auth0 (Branding, Phone Provider): docs/guides/login-libraries.md, with its function onceward().
// The key and its secret are secrets of the Action: event.secrets.

exports.onExecuteCustomPhoneProvider = async (event) => {
  const { recipient, code } = event.notification;
  await onceward("Messages", { To: recipient, Code: code });
};
