// Kodgate's side of a login: the one call that a server makes.

export const KODGATE_URL = process.env.KODGATE_URL || "http://localhost:8000";
export const PUBLIC_KEY = process.env.KODGATE_PUBLIC_KEY || "pk_development";
const SECRET_KEY = process.env.KODGATE_SECRET_KEY || "sk_development";

/** Forged, expired, used before, or another project's. */
export class TokenRefused extends Error {}

/** The phone or email whose login this token proves; throws TokenRefused, or what else went wrong. */
export async function verify(token) {
  const answer = await fetch(`${KODGATE_URL}/session/verify`, {
    method: "POST",
    headers: { "content-type": "application/json", "x-api-key": SECRET_KEY },
    body: JSON.stringify({ verify_token: token }),
    signal: AbortSignal.timeout(10_000),
  });
  if (answer.status === 400 || answer.status === 410) throw new TokenRefused();
  const { to } = await answer.json();
  if (!answer.ok || !to) throw new Error(`Kodgate answered ${answer.status}`);
  return to;
}
