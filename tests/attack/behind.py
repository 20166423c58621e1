"""What lies behind: reports to forge, a database to read, traces to hide, logs to search."""

import json
import random
import re
import sqlite3
import time

from gateway.signing import SIGNATURE_HEADER, sign
from tests.attack.outcome import Outcome
from tests.attack.site import SECRET_KEY, Site, Target, new_phone
from tests.servers import until

FORGED, STOLEN, LOGS, TRACES = "forged reports", "a stolen database", "secrets in logs", "hiding one's traces"
SENDERS_KEY = "the senders own"


def forged_reports(target: Target, times: int) -> Outcome:
    """Reports that say a message failed, so that it is sent anew by another channel and paid twice."""
    phone = new_phone()
    target.create(phone, "whatsapp")
    until(lambda: target.site.letters(phone), "the message arrives")
    now, dice, through = int(time.time()), random.Random(1), 0
    for number in range(times):
        body = json.dumps({"reference": f"{number}", "state": "failed"}).encode()
        signatures = [
            sign(body, b"another key", now),
            sign(body, b"", now),
            sign(body, SENDERS_KEY.encode(), now - 86_400),
            sign(body + b" ", SENDERS_KEY.encode(), now),
            f"t={now},v1={dice.randbytes(32).hex()}",
            f"t={now},v1=",
            "t=,v1=",
            "",
        ]
        headers = {SIGNATURE_HEADER: signatures[number % len(signatures)]}
        answer = target.site.http.post(f"{target.site.live}/reports/whatsapp/1", content=body, headers=headers)
        through += answer.status_code != 403
    letters = target.site.letters(phone)
    through += len(letters) - 1
    good = b'{"reference": "unknown", "state": "delivered"}'
    headers = {SIGNATURE_HEADER: sign(good, SENDERS_KEY.encode(), now)}
    answer = target.site.http.post(f"{target.site.live}/reports/whatsapp/1", content=good, headers=headers)
    assert answer.status_code == 200, "the sender's own signature is taken"
    return Outcome(FORGED, "wrong, old, empty and moved signatures", times, through)


def hidden_traces(target: Target) -> Outcome:
    """Whoever holds the database as our processes do, without dropping what guards the log."""
    target.create(new_phone())
    time.sleep(3)  # what is begun is written down within AUDIT_FLUSH_SECONDS
    through = times = 0
    with sqlite3.connect(target.site.database_url.removeprefix("sqlite:///")) as db:
        rows = db.execute("SELECT count(*) FROM audit").fetchone()[0]
        assert rows
        for statement in (
            "DELETE FROM audit",
            "UPDATE audit SET reason = ''",
            "UPDATE audit SET at = 0",
            "REPLACE INTO audit SELECT * FROM audit",
            "DELETE FROM audit_floor",
            "UPDATE audit_floor SET number = 1000000000",
            "UPDATE audit_floor SET number = number - 1",
        ):
            times += 1
            try:
                through += db.execute(statement).rowcount > 0
            except sqlite3.DatabaseError:
                continue
        db.rollback()
        through += db.execute("SELECT count(*) FROM audit").fetchone()[0] < rows
    db.close()
    return Outcome(TRACES, "entries deleted, changed, replaced, the floor moved", times, through)


def spoils(site: Site, target: Target, logins: int) -> list[Outcome]:
    """What a copy of the database and all logs tell, after logins whose every secret is known here."""
    secrets = {SECRET_KEY, SENDERS_KEY, *target.public.values(), *target.secret.values(), "3:sandbox"}
    people, codes = set[str](), set[str]()
    for _ in range(logins):
        phone = new_phone()
        session_id = target.create(phone, "sms")["session_id"]
        codes.add(site.code_of(session_id))
        until(lambda phone=phone: site.letters(phone), "the message arrives")  # type: ignore[misc]
        token = target.check(session_id, site.code_of(session_id)).json()["verify_token"]
        secrets.add(token)
        target.verify(token)
        people.add(phone.lstrip("+"))
    for number in range(logins):
        email = f"somebody{number}.special@example.com"
        target.create(email, "email")
        people.add(email)
    time.sleep(3)
    with sqlite3.connect(site.database_url.removeprefix("sqlite:///")) as db:
        dump = "\n".join(db.iterdump())
    db.close()
    raw = b"".join(file.read_bytes() for file in site.folder.glob("kodgate.sqlite3*"))
    public = set(target.public.values())
    stolen = sum(one in dump or one.encode() in raw for one in (secrets - public) | people)
    stolen += sum(f"'{code}'" in dump for code in codes)
    logs = "\n".join(site.log(name) for name in ("web", "bot"))
    found = sum(one in logs for one in secrets | people)
    found += sum(bool(re.search(rf"\b{code}\b", logs)) for code in codes)
    everything = len(secrets | people | codes)
    return [
        Outcome(STOLEN, "phones, emails, codes, tokens, keys searched for in the file", everything, stolen),
        Outcome(LOGS, f"the same in {len(logs) / 1e6:.1f} MB of logs of web and bot", everything, found),
    ]


def few_rows(site: Site) -> Outcome:
    """What a flood's refusals have left in the audit log."""
    time.sleep(3)
    with sqlite3.connect(site.database_url.removeprefix("sqlite:///")) as db:
        rows, refusals = db.execute(
            "SELECT count(*), coalesce(sum(times), 0) FROM audit WHERE reason = 'ChallengeRequired'"
        ).fetchone()
    db.close()
    minutes_and_kinds = 2000  # two processes, AUDIT_DETAILED = 60 a minute, and a row of each kind every 2 s
    return Outcome(
        "drowning the traces, filling the disk", "refusals of the floods in the audit log", refusals,
        max(0, rows - minutes_and_kinds), f"{rows:,} rows",
    )  # fmt: skip
