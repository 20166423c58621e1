// A site whose visitors log in by Kodgate: copy kodgate.js and `/login/done`, and the form in pages.js.

import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import express from "express";
import session from "express-session";
import { KODGATE_URL, PUBLIC_KEY, TokenRefused, verify } from "./kodgate.js";
import * as pages from "./pages.js";

const PORT = process.env.PORT || 8013;
const SITE_URL = process.env.SITE_URL || `http://localhost:${PORT}`;
const POLICY =
  `default-src 'self'; script-src ${KODGATE_URL}; frame-src ${KODGATE_URL}; ` +
  `form-action 'self' ${KODGATE_URL}; base-uri 'none'; frame-ancestors 'none'`;

const app = express();
app.disable("x-powered-by");
app.set("trust proxy", "loopback"); // it says whether the visitor came by https
app.use("/static", express.static("static"));
app.use((req, res, next) => {
  res.set("Content-Security-Policy", POLICY);
  res.set("X-Content-Type-Options", "nosniff");
  res.set("Cache-Control", "no-store"); // the pages hold the session's secrets
  next();
});
app.use(session({
  name: "partner_express",
  secret: process.env.SECRET_KEY || secret(), // a passing one ends all sessions at a restart
  resave: false,
  saveUninitialized: false,
  // sameSite "strict" would not come along from Kodgate to /login/done
  cookie: { httpOnly: true, sameSite: "lax", secure: SITE_URL.startsWith("https://") },
}));

// Kodgate sends the browser here: ?verify_token=&state=
app.get("/login/done", async (req, res) => {
  const { verify_token: token = "", state = "" } = req.query;
  if (!req.session.state || !same(req.session.state, state)) {
    return refuse(res, 403, "This login was not begun here, or not in this browser.");
  }
  delete req.session.state; // each is good for one login
  let user;
  try {
    user = await verify(token);
  } catch (error) {
    if (error instanceof TokenRefused) {
      return refuse(res, 403, "This login has expired or was used already.");
    }
    console.error("Kodgate cannot verify:", error);
    return refuse(res, 502, "We cannot check your login at the moment.");
  }
  await promisify(req.session.regenerate).call(req.session); // nothing from before the login goes on
  Object.assign(req.session, { user, csrf: secret() });
  res.redirect(303, "/");
});

app.post("/logout", express.urlencoded({ extended: false }), async (req, res) => {
  if (!req.session.csrf || !same(req.session.csrf, req.body?.csrf)) {
    return refuse(res, 403, "This form is out of date.");
  }
  await promisify(req.session.destroy).call(req.session);
  res.clearCookie("partner_express").redirect(303, "/");
});

app.get("/", (req, res) => show(req, res, pages.home));
app.get("/inline", (req, res) => show(req, res, pages.inline));

function show(req, res, loginPage) {
  if (req.session.user) return res.send(pages.account(req.session));
  req.session.state ??= secret(); // ties the login to this browser
  const returnTo = `${SITE_URL}/login/done`;
  res.send(loginPage({ kodgate: KODGATE_URL, publicKey: PUBLIC_KEY, returnTo, state: req.session.state }));
}

function refuse(res, status, text) {
  res.status(status).send(pages.problem(text));
}

function secret() {
  return randomBytes(32).toString("base64url");
}

function same(known, given) {
  const digest = (text) => createHash("sha256").update(`${text}`).digest();
  return timingSafeEqual(digest(known), digest(given));
}

app.listen(PORT, "127.0.0.1", (error) => {
  if (error) throw error;
  console.log(`Open ${SITE_URL}`);
});
