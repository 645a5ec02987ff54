// The field for the code in React: docs/guides/sign-up-form.md. /api/phone/send and /api/phone/check are routes of your backend.

import { useEffect, useState } from "react";

export function CodeForm({ onVerified }) {
  const [error, setError] = useState("");
  const [wait, setWait] = useState(30);

  useEffect(() => {
    if (wait === 0) return;
    const timer = setTimeout(() => setWait(wait - 1), 1000);
    return () => clearTimeout(timer);
  }, [wait]);

  async function post(path, body) {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    const { message } = answer.ok ? {} : await answer.json();
    setError(message ?? "");
    return answer.ok;
  }

  return (
    <form
      onSubmit={async (event) => {
        event.preventDefault();
        const code = new FormData(event.target).get("code");
        if (await post("/api/phone/check", { code })) onVerified();
      }}
    >
      <label>
        Code
        <input name="code" inputMode="numeric" autoComplete="one-time-code" maxLength={10} required autoFocus />
      </label>
      {error && <p role="alert">{error}</p>}
      <button>Verify</button>
      <button
        type="button"
        disabled={wait > 0}
        onClick={async () => {
          if (await post("/api/phone/send", {})) setWait(30);
        }}
      >
        {wait > 0 ? `Send again in ${wait} s` : "Send again"}
      </button>
    </form>
  );
}
