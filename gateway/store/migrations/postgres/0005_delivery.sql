-- Activations, and what becomes of messages.

-- Link the chat; whether that was news, and how many parked codes went. The caller holds the destination.
CREATE FUNCTION link_chat(
    _project_id bigint, _destination bytea, _bot_id bigint, _chat_id bigint, _user_id bigint, _now bigint,
    OUT changed boolean, OUT released bigint, OUT again boolean
) LANGUAGE plpgsql AS $$
DECLARE
    _old record;
BEGIN
    SELECT bot_id, chat_id, user_id, active INTO _old FROM activation
        WHERE project_id = _project_id AND destination = _destination FOR UPDATE;
    again := FOUND AND (_old.bot_id, _old.chat_id, _old.user_id) = (_bot_id, _chat_id, _user_id);
    changed := NOT (again AND _old.active);
    IF changed THEN
        -- A Telegram account has one number: proving another one ends the link of the former.
        DELETE FROM activation WHERE bot_id = _bot_id AND chat_id = _chat_id AND project_id = _project_id
            AND destination <> _destination;
        INSERT INTO activation VALUES (_project_id, _destination, _bot_id, _chat_id, _user_id, true, _now)
        ON CONFLICT (project_id, destination) DO UPDATE SET bot_id = excluded.bot_id, chat_id = excluded.chat_id,
            user_id = excluded.user_id, active = true, changed_at = excluded.changed_at;
    END IF;
    UPDATE message SET state = 'queued', created_at = _now, due_at = 0
        WHERE state = 'parked' AND session_id = (SELECT id FROM session WHERE project_id = _project_id
            AND destination = _destination AND state = 'live' AND expires_at > _now
            AND era = (SELECT i.era FROM incarnation AS i));
    GET DIAGNOSTICS released = ROW_COUNT;
END $$;

CREATE FUNCTION announce_destination(_project_id bigint, _destination bytea, _now bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM announce(ARRAY(SELECT id FROM session WHERE project_id = _project_id AND destination = _destination
        AND state = 'live' AND expires_at > _now), _now);
END $$;

-- The caller makes it durable (`durably`) before anybody is answered. `outcome` 'over' a limit, else 'linked'.
CREATE FUNCTION activate_1(
    _project_id bigint, _destination bytea, _bot_id bigint, _chat_id bigint, _user_id bigint, _now bigint,
    _keys bytea[], _costs bigint[], _bounds bigint[],
    OUT outcome text, OUT changed boolean, OUT released bigint
) LANGUAGE plpgsql AS $$
DECLARE
    _again boolean;
BEGIN
    PERFORM at_ease(), hold_destination(_project_id, _destination);
    BEGIN
        SELECT l.changed, l.released, l.again INTO changed, released, _again
            FROM link_chat(_project_id, _destination, _bot_id, _chat_id, _user_id, _now) AS l;
        IF changed AND _keys IS NOT NULL THEN
            PERFORM charge_1(_keys, _costs, _bounds, _now);
        END IF;
    EXCEPTION WHEN SQLSTATE 'KG001' THEN
        outcome := 'over';
        RETURN;
    END;
    outcome := 'linked';
    IF changed THEN
        PERFORM note(_now, 'telegram', 'bot.activate', _project_id, '', _destination, '',
            CASE WHEN _again THEN 'again' ELSE '' END);
    END IF;
    IF changed OR released > 0 THEN
        PERFORM announce_destination(_project_id, _destination, _now);
    END IF;
END $$;

-- Every link of a chat is reachable again; how many parked codes went, NULL: it has no link.
CREATE FUNCTION reactivate_1(_bot_id bigint, _chat_id bigint, _now bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    _link record;
    _one record;
    _released bigint;
BEGIN
    PERFORM at_ease();
    FOR _link IN SELECT project_id, destination, user_id FROM activation
        WHERE bot_id = _bot_id AND chat_id = _chat_id ORDER BY project_id, destination
    LOOP
        SELECT outcome, released INTO _one FROM activate_1(
            _link.project_id, _link.destination, _bot_id, _chat_id, _link.user_id, _now, NULL, NULL, NULL
        );
        _released := coalesce(_released, 0) + _one.released;
    END LOOP;
    RETURN _released;
END $$;

CREATE FUNCTION deactivate_1(_bot_id bigint, _chat_id bigint, _now bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _links record;
BEGIN
    PERFORM at_ease();
    WITH stopped AS (
        UPDATE activation SET active = false, changed_at = _now
        WHERE bot_id = _bot_id AND chat_id = _chat_id AND active RETURNING project_id, destination
    ), noted AS (
        INSERT INTO audit (at, lasting, actor, action, project_id, session_id, destination, reason, detail, times)
        SELECT _now, false, 'telegram', 'bot.stop', project_id, '', destination, '', '', 1 FROM stopped
    )
    SELECT count(*) AS number, coalesce(array_agg(s.id) FILTER (WHERE s.id IS NOT NULL), '{}') AS ids INTO _links
        FROM stopped LEFT JOIN session AS s ON s.project_id = stopped.project_id
            AND s.destination = stopped.destination AND s.state = 'live' AND s.expires_at > _now;
    PERFORM announce(_links.ids, _now);
    RETURN _links.number > 0;
END $$;

-- A message is final: if it is a server's own and has a callback, that is due.
CREATE FUNCTION end_messages(_ids bigint[], _now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO callback SELECT message_id, _now, 0 FROM manual
        WHERE message_id = ANY (_ids) AND callback_url IS NOT NULL ON CONFLICT DO NOTHING;
    IF FOUND THEN
        PERFORM wake();
    END IF;
END $$;

-- Due messages, oldest first, each with its session's or, for a server's own (manual/send), its order's part. A look
-- where nothing is due writes nothing and takes no lock: most wake-ups are for others.
CREATE FUNCTION claim_1(_now bigint, _lease bigint, _channels text[], _most bigint) RETURNS TABLE (
    id bigint, session_id text, project_id bigint, channel text, lang text, sealed bytea, code_length bigint,
    own_code bytea, attempts bigint, created_at bigint, expires_at bigint, chat_id bigint, given_up bigint,
    provider bigint, browser text, place text, tap boolean
) LANGUAGE plpgsql AS $$
DECLARE
    _ids bigint[];
    _dead bigint[];
    _sessions text[];
BEGIN
    _ids := ARRAY(
        SELECT m.id FROM message AS m
        WHERE m.channel = ANY (_channels) AND m.state IN ('queued', 'sending') AND m.due_at <= _now
        ORDER BY m.due_at, m.id LIMIT _most FOR UPDATE SKIP LOCKED
    );
    IF cardinality(_ids) = 0 THEN
        RETURN;
    END IF;
    PERFORM at_ease();
    _dead := ARRAY(
        SELECT m.id FROM message AS m
        WHERE m.id = ANY (_ids)
            AND NOT EXISTS (SELECT FROM session AS s
                WHERE s.id = m.session_id AND s.state = 'live' AND s.expires_at > _now
                    AND s.created_at <= latest(_now) AND s.era = (SELECT era FROM incarnation))
            AND NOT EXISTS (SELECT FROM manual AS o WHERE o.id = m.session_id AND o.expires_at > _now)
    );
    IF cardinality(_dead) > 0 THEN
        WITH failed AS (
            UPDATE message AS m SET state = 'failed', reference = '', error = 'the session was over', due_at = 0,
                finished_at = _now, tap = false
            WHERE m.id = ANY (_dead) RETURNING m.session_id
        )
        SELECT array_agg(failed.session_id) INTO _sessions FROM failed;
        PERFORM end_messages(_dead, _now);
    END IF;
    RETURN QUERY
        WITH taken AS (
            UPDATE message AS m SET state = 'sending', attempts = m.attempts + 1, due_at = _now + _lease
            WHERE m.id = ANY (_ids) AND NOT m.id = ANY (_dead) RETURNING m.*
        )
        SELECT m.id, m.session_id, coalesce(s.project_id, o.project_id), m.channel, coalesce(s.lang, o.lang),
            coalesce(s.sealed, o.sealed), coalesce(s.code_length, o.code_length), coalesce(s.own_code, o.own_code),
            m.attempts, m.created_at, coalesce(s.expires_at, o.expires_at), a.chat_id, m.given_up, o.provider,
            coalesce(s.browser, ''), coalesce(s.place, ''), coalesce(s.browser_mac <> '' AND NOT s.joined, false)
        FROM taken AS m LEFT JOIN session AS s ON s.id = m.session_id LEFT JOIN manual AS o ON o.id = m.session_id
        LEFT JOIN activation AS a ON a.project_id = coalesce(s.project_id, o.project_id)
            AND a.destination = coalesce(s.destination, o.destination) AND a.active
        ORDER BY array_position(_ids, m.id);
    PERFORM announce(_sessions, _now);
END $$;

-- Queue a live session's code on the first channel not tried yet, unless another one carries it already. A channel
-- whose ceiling is reached is passed over; `_ceilings` is JSON, by channel: what `gateway.store.Limit` says, the key
-- in hexadecimal.
CREATE FUNCTION take_over(_id text, _failed text, _instead text[], _ceilings json, _now bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    _next text;
BEGIN
    -- Of two channels that fail at once, the second to come here sees what became of the first.
    PERFORM 1 FROM session WHERE id = _id AND state = 'live' AND expires_at > _now
        AND era = (SELECT i.era FROM incarnation AS i) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT ON (channel) channel, state FROM message WHERE session_id = _id
            ORDER BY channel, id DESC
        ) AS newest WHERE channel <> _failed AND state NOT IN ('failed', 'parked')
    ) THEN
        RETURN;
    END IF;
    FOREACH _next IN ARRAY _instead LOOP
        CONTINUE WHEN EXISTS (SELECT FROM message WHERE session_id = _id AND channel = _next);
        IF _ceilings -> _next IS NOT NULL THEN
            BEGIN
                PERFORM charge_1(ARRAY[decode(_ceilings -> _next ->> 'key', 'hex')],
                    ARRAY[(_ceilings -> _next ->> 'cost')::bigint], ARRAY[(_ceilings -> _next ->> 'window')::bigint],
                    _now);
            EXCEPTION WHEN SQLSTATE 'KG001' THEN
                CONTINUE;
            END;
        END IF;
        INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at, instead_of)
            VALUES (_id, _next, 'queued', false, _now, 0, _failed);
        PERFORM wake();
        RETURN;
    END LOOP;
END $$;

-- What a report says of a message, unless it is known, or delivered, which is the last word; its session, if news.
CREATE FUNCTION apply_report(
    _number bigint, _state text, _error text, _instead text[], _ceilings json, _now bigint
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    _message record;
BEGIN
    UPDATE message SET state = _state, error = _error
        WHERE id = _number AND state <> 'delivered' AND state <> _state RETURNING session_id, channel INTO _message;
    IF FOUND AND _state = 'failed' THEN
        PERFORM take_over(_message.session_id, _message.channel, _instead, _ceilings, _now);
    END IF;
    RETURN _message.session_id;
END $$;

-- A report and the note of the message that it is about may come at once: one of them waits.
CREATE FUNCTION hold_reference(_reference text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(hashtextextended(_reference, -2))
$$;

-- Write down how sending went; `_outcomes` is JSON, an array of `gateway.store.Outcome`.
CREATE FUNCTION finish_1(_outcomes json, _now bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    _one record;
    _message record;
    _early record;
    _told text[] := '{}';
    _final bigint[] := '{}';
BEGIN
    PERFORM at_ease();
    FOR _one IN SELECT DISTINCT o ->> 'reference' AS reference FROM json_array_elements(_outcomes) AS o
        WHERE o ->> 'reference' <> '' ORDER BY 1
    LOOP
        PERFORM hold_reference(_one.reference);
    END LOOP;
    PERFORM 1 FROM message
        WHERE id IN (SELECT (o ->> 'message_id')::bigint FROM json_array_elements(_outcomes) AS o)
        ORDER BY id FOR UPDATE;
    FOR _one IN SELECT * FROM json_to_recordset(_outcomes) AS o (
        message_id bigint, state text, reference text, error text, due_at bigint, given_up bigint, instead json,
        tap boolean, ceilings json
    ) LOOP
        UPDATE message AS m SET state = _one.state, reference = _one.reference, error = _one.error,
            due_at = _one.due_at, finished_at = CASE WHEN _one.state <> 'queued' THEN _now END,
            given_up = m.given_up | _one.given_up, tap = _one.tap
        WHERE m.id = _one.message_id AND m.state IN ('queued', 'sending')
        RETURNING m.session_id, m.channel INTO _message;
        CONTINUE WHEN NOT FOUND OR _one.state = 'queued';
        IF _one.state = 'failed' THEN
            PERFORM take_over(_message.session_id, _message.channel,
                ARRAY(SELECT json_array_elements_text(_one.instead)), _one.ceilings, _now);
        END IF;
        IF _one.reference <> '' THEN
            -- A report that was faster than our own note of the message: now it has its message.
            DELETE FROM early_report WHERE reference = _one.reference AND channel = _message.channel
                RETURNING state, error INTO _early;
            IF FOUND THEN
                _told := _told || apply_report(_one.message_id, _early.state, _early.error,
                    ARRAY(SELECT json_array_elements_text(_one.instead)), _one.ceilings, _now);
            END IF;
        END IF;
        _told := _told || _message.session_id;
        _final := _final || _one.message_id;
    END LOOP;
    IF cardinality(_final) > 0 THEN
        PERFORM end_messages(_final, _now);
    END IF;
    PERFORM announce(array_remove(_told, NULL), _now);
END $$;

-- What a provider tells of a message; whether it was news.
CREATE FUNCTION report_1(
    _channel text, _reference text, _state text, _error text, _instead text[], _ceilings json, _now bigint
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    _number bigint;
    _session_id text;
BEGIN
    PERFORM at_ease(), hold_reference(_reference);
    SELECT id INTO _number FROM message
        WHERE reference = _reference AND reference <> '' AND channel = _channel LIMIT 1;
    IF NOT FOUND THEN
        -- Of several early reports the last word stays: delivered.
        INSERT INTO early_report VALUES (_reference, _channel, _state, _error, _now)
        ON CONFLICT (reference, channel) DO UPDATE SET state = excluded.state, error = excluded.error
            WHERE excluded.state = 'delivered';
        RETURN FOUND;
    END IF;
    _session_id := apply_report(_number, _state, _error, _instead, _ceilings, _now);
    IF _session_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM announce(ARRAY[_session_id], _now);
    RETURN true;
END $$;

-- A server's own message. `outcome`: 'new', 'former', 'other', 'unreachable' or 'over' a limit; `number` is the
-- message's.
CREATE FUNCTION add_manual_1(
    _id text, _project_id bigint, _destination bytea, _sealed bytea, _own_code bytea, _code_length bigint, _lang text,
    _channel text, _now bigint, _expires_at bigint, _callback_url text, _repeat_key bytea, _fingerprint bytea,
    _provider bigint, _keys bytea[], _costs bigint[], _bounds bigint[],
    OUT outcome text, OUT number bigint
) LANGUAGE plpgsql AS $$
DECLARE
    _former record;
BEGIN
    PERFORM at_ease(), this_era();
    IF _repeat_key IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(encode(_repeat_key, 'hex'), _project_id));
        SELECT fingerprint, message_id INTO _former FROM manual
            WHERE project_id = _project_id AND repeat_key = _repeat_key;
        IF FOUND THEN
            outcome := CASE WHEN _former.fingerprint = _fingerprint THEN 'former' ELSE 'other' END;
            number := _former.message_id;
            RETURN;
        END IF;
    END IF;
    IF _channel = 'telegram' AND NOT EXISTS (SELECT FROM activation WHERE project_id = _project_id
        AND destination = _destination AND active)
    THEN
        outcome := 'unreachable';
        RETURN;
    END IF;
    BEGIN
        INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)
            VALUES (_id, _channel, 'queued', false, _now, 0) RETURNING message.id INTO number;
        INSERT INTO manual VALUES (_id, number, _project_id, _destination, _sealed, _own_code, _code_length, _lang,
            _expires_at, _callback_url, _repeat_key, _fingerprint, _provider);
        IF _keys IS NOT NULL THEN
            PERFORM charge_1(_keys, _costs, _bounds, _now);
        END IF;
        PERFORM note(_now, 'secret key', 'manual.send', _project_id, '', _destination, '',
            _channel || ': message ' || number);
        PERFORM wake();
    EXCEPTION WHEN SQLSTATE 'KG001' THEN
        outcome := 'over';
        RETURN;
    END;
    outcome := 'new';
END $$;

CREATE FUNCTION claim_callbacks_1(_now bigint, _lease bigint, _most bigint) RETURNS TABLE (
    attempts bigint, url text, id text, message_id bigint, project_id bigint, sealed bytea, own_code bytea,
    code_length bigint, channel text, state text, error text, finished_at bigint
) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM at_ease();
    RETURN QUERY
        WITH taken AS (
            UPDATE callback AS c SET attempts = c.attempts + 1, due_at = _now + _lease
            WHERE c.message_id IN (SELECT d.message_id FROM callback AS d WHERE d.due_at <= _now
                ORDER BY d.due_at LIMIT _most FOR UPDATE SKIP LOCKED)
            RETURNING c.attempts, c.message_id
        )
        SELECT t.attempts, o.callback_url, o.id, o.message_id, o.project_id, o.sealed, o.own_code, o.code_length,
            m.channel, m.state, m.error, m.finished_at
        FROM taken AS t JOIN manual AS o ON o.message_id = t.message_id JOIN message AS m ON m.id = t.message_id;
END $$;

-- What verbs return that must outlive the power: a commit that waits for the disk takes all before it along.
CREATE FUNCTION durably() RETURNS void LANGUAGE sql AS $$
    SELECT set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
        ELSE current_setting('synchronous_commit') END, true), pg_logical_emit_message(true, 'kodgate', '')
$$;
