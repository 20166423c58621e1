-- Functions that code from before calls, too; each replaces its former self but `purge_2`, which goes beside it. That code
-- takes `queue_1`'s new word, `repeated`, for a message that was queued.

-- A channel's newest message says whether it carries the code: of two that went there, the first may fail late.
-- Whoever calls this for several sessions holds them, and the rows of their ceilings, beforehand (`hold_failed`).
CREATE OR REPLACE FUNCTION take_over(_id text, _failed text, _instead text[], _ceilings json, _now bigint) RETURNS void
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
        ) AS newest WHERE state NOT IN ('failed', 'parked')
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

-- The locks that `take_over` needs for these messages, all of a kind at once and in the order of all: a visitor's send
-- has its session when it comes to a ceiling's row.
CREATE FUNCTION hold_failed(_ids bigint[], _outcomes json) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM session WHERE id IN (SELECT session_id FROM message WHERE message.id = ANY (_ids))
        ORDER BY id FOR UPDATE;
    PERFORM 1 FROM usage WHERE key IN (
        SELECT decode(ceiling.value ->> 'key', 'hex')
        FROM json_array_elements(_outcomes) AS o, json_each(o -> 'ceilings') AS ceiling
        WHERE (o ->> 'message_id')::bigint = ANY (_ids)
    ) ORDER BY key FOR UPDATE;
END $$;

CREATE OR REPLACE FUNCTION write_down_1(_outcomes json, _now bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    _one record;
    _message record;
    _early record;
    _told text[] := '{}';
    _final bigint[] := '{}';
    _ids bigint[];
    _failed bigint[];
BEGIN
    FOR _one IN SELECT DISTINCT o ->> 'reference' AS reference FROM json_array_elements(_outcomes) AS o
        WHERE o ->> 'reference' <> '' ORDER BY 1
    LOOP
        PERFORM hold_reference(_one.reference);
    END LOOP;
    SELECT array_agg(o.message_id), array_agg(o.message_id) FILTER (WHERE o.state = 'failed' OR o.reference <> ''
            AND EXISTS (SELECT FROM early_report AS e WHERE e.reference = o.reference AND e.state = 'failed'))
        INTO _ids, _failed FROM json_to_recordset(_outcomes) AS o (message_id bigint, state text, reference text);
    IF _failed IS NOT NULL THEN
        PERFORM hold_failed(_failed, _outcomes);
    END IF;
    PERFORM 1 FROM message WHERE id = ANY (_ids) ORDER BY id FOR UPDATE;
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
    RETURN array_remove(_told, NULL);
END $$;

CREATE OR REPLACE FUNCTION report_1(
    _channel text, _reference text, _state text, _error text, _instead text[], _ceilings json, _now bigint
) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _number bigint;
    _session_id text;
BEGIN
    PERFORM at_ease(), hold_reference(_reference);
    SELECT id, session_id INTO _number, _session_id FROM message
        WHERE reference = _reference AND reference <> '' AND channel = _channel LIMIT 1;
    IF NOT FOUND THEN
        -- Of several early reports the last word stays: delivered.
        INSERT INTO early_report VALUES (_reference, _channel, _state, _error, _now)
        ON CONFLICT (reference, channel) DO UPDATE SET state = excluded.state, error = excluded.error
            WHERE excluded.state = 'delivered';
        RETURN FOUND;
    END IF;
    IF _state = 'failed' THEN
        PERFORM 1 FROM session WHERE id = _session_id FOR UPDATE;  -- before its message: see `hold_failed`
    END IF;
    _session_id := apply_report(_number, _state, _error, _instead, _ceilings, _now);
    IF _session_id IS NULL THEN
        RETURN false;
    END IF;
    PERFORM announce(ARRAY[_session_id], _now);
    RETURN true;
END $$;

-- All of the chat's destinations are held before the first is told of: the lock of events is the last that is taken.
CREATE OR REPLACE FUNCTION reactivate_1(_bot_id bigint, _chat_id bigint, _now bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _link record;
    _one record;
    _released bigint;
    _told text[] := '{}';
BEGIN
    PERFORM at_ease();
    PERFORM hold_destination(held.project_id, held.destination) FROM (
        SELECT project_id, destination FROM activation WHERE bot_id = _bot_id AND chat_id = _chat_id
        ORDER BY project_id, destination
    ) AS held;
    FOR _link IN SELECT project_id, destination, user_id FROM activation
        WHERE bot_id = _bot_id AND chat_id = _chat_id ORDER BY project_id, destination
    LOOP
        SELECT changed, released INTO _one
            FROM link_chat(_link.project_id, _link.destination, _bot_id, _chat_id, _link.user_id, _now);
        IF _one.changed THEN
            PERFORM note(_now, 'telegram', 'bot.activate', _link.project_id, '', _link.destination, '', 'again');
        END IF;
        IF _one.changed OR _one.released > 0 THEN
            _told := _told || ARRAY(SELECT id FROM session WHERE project_id = _link.project_id
                AND destination = _link.destination AND state = 'live' AND expires_at > _now);
        END IF;
        _released := coalesce(_released, 0) + _one.released;
    END LOOP;
    PERFORM announce(_told, _now);
    RETURN _released;
END $$;

-- Queue a session's code, or park it; otherwise as `gateway.store.Queued` says.
CREATE OR REPLACE FUNCTION queue_message_1(
    _id text, _channel text, _now bigint, _cooldown bigint, _active boolean, _parks boolean,
    _mac bytea, _sealed bytea, _length bigint, _discreet boolean
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    _newest record;
    _rests boolean;
    _state text;
BEGIN
    SELECT state, created_at, began_parked INTO _newest FROM message
        WHERE session_id = _id AND channel = _channel ORDER BY id DESC LIMIT 1;
    _rests := FOUND AND _newest.created_at + _cooldown > _now;
    IF _rests AND _newest.state <> 'parked' AND (_newest.state <> 'failed' OR _discreet) THEN
        IF _mac IS NOT NULL AND NOT EXISTS (SELECT FROM session WHERE id = _id AND code_mac = _mac) THEN
            RETURN 'cooling';
        END IF;
        RETURN CASE WHEN _newest.began_parked THEN 'unchanged' WHEN _mac IS NOT NULL THEN 'repeated' ELSE 'cooling' END;
    END IF;
    IF _mac IS NOT NULL THEN
        UPDATE session SET code_mac = _mac, own_code = _sealed, code_length = _length WHERE id = _id;
    END IF;
    IF _newest.state = 'parked' THEN
        IF _rests THEN
            RETURN 'unchanged';
        END IF;
        UPDATE message SET created_at = _now WHERE session_id = _id AND state = 'parked';
        RETURN 'parked';
    END IF;
    _state := CASE WHEN _channel = 'telegram' AND NOT _active AND _parks THEN 'parked' ELSE 'queued' END;
    INSERT INTO message (session_id, channel, state, began_parked, created_at, due_at)
        VALUES (_id, _channel, _state, _state = 'parked', _now, 0);
    IF _state = 'queued' THEN
        PERFORM wake();
    END IF;
    RETURN _state;
END $$;

-- As `purge_1`, which code from before calls; but spent tokens and stops from before `_settled` go, of which `_over` is
-- the first ULID.
CREATE FUNCTION purge_2(_oldest text, _before bigint, _over text, _settled bigint, _most bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _gone bigint := 0;
    _rows bigint;
    _messages bigint[];
BEGIN
    PERFORM at_ease();
    DELETE FROM session WHERE id IN
        (SELECT id FROM session WHERE id < _oldest ORDER BY id LIMIT _most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM message WHERE id IN
        (SELECT id FROM message WHERE session_id < _oldest ORDER BY session_id LIMIT _most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM spent WHERE session_id IN
        (SELECT session_id FROM spent WHERE session_id < _over ORDER BY session_id LIMIT _most
            FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    WITH gone AS (
        DELETE FROM manual WHERE id IN
            (SELECT id FROM manual WHERE id < _oldest ORDER BY id LIMIT _most FOR UPDATE SKIP LOCKED)
        RETURNING message_id
    )
    SELECT array_agg(message_id) INTO _messages FROM gone;
    DELETE FROM callback WHERE message_id = ANY (_messages);
    _gone := _gone + coalesce(cardinality(_messages), 0);
    DELETE FROM early_report WHERE (reference, channel) IN
        (SELECT reference, channel FROM early_report WHERE at < _before LIMIT _most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM taken_update WHERE (bot_id, update_id) IN
        (SELECT bot_id, update_id FROM taken_update WHERE at < _before ORDER BY at LIMIT _most
            FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM expected WHERE (bot_id, chat_id) IN
        (SELECT bot_id, chat_id FROM expected WHERE session_id < _oldest ORDER BY session_id LIMIT _most
            FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM stop WHERE until < _settled AND calm_until < _settled;
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM event WHERE number IN
        (SELECT number FROM (SELECT number, at FROM event ORDER BY number LIMIT _most) AS oldest WHERE at < _before)
        AND number < (SELECT max(number) FROM event);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    RETURN _gone + _rows;
END $$;
