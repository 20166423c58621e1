-- A round of delivery is one statement. `claim_1` is a part of it; `finish_1` is called by code from before alone.
--
-- The planner knows a young table by its size when a plan was made, and plans stay: it would read all of a table that
-- was empty then, and is not any more, until its first ANALYZE. So these functions read by index in any case, and
-- need no JIT, which the price that is put on a sequential scan would call.

-- Write down how sending went, which nobody is told yet; the sessions of which there is news. `_outcomes` is JSON, an
-- array of `gateway.store.Outcome`.
CREATE FUNCTION write_down_1(_outcomes json, _now bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    _one record;
    _message record;
    _early record;
    _told text[] := '{}';
    _final bigint[] := '{}';
    _ids bigint[] := ARRAY(SELECT (o ->> 'message_id')::bigint FROM json_array_elements(_outcomes) AS o);
BEGIN
    FOR _one IN SELECT DISTINCT o ->> 'reference' AS reference FROM json_array_elements(_outcomes) AS o
        WHERE o ->> 'reference' <> '' ORDER BY 1
    LOOP
        PERFORM hold_reference(_one.reference);
    END LOOP;
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

CREATE OR REPLACE FUNCTION finish_1(_outcomes json, _now bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM at_ease();
    PERFORM announce(write_down_1(_outcomes, _now), _now);
END $$;

CREATE FUNCTION soonest(_channels text[]) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT m.due_at FROM message AS m WHERE m.state IN ('queued', 'sending') AND m.channel = ANY (_channels)
        ORDER BY m.due_at LIMIT 1);
END $$;

-- Write down how sending went, take what is due then (`claim_1`). The last row is no message: it
-- has the time when the next is due, NULL where none waits. A round without news writes nothing and takes no lock:
-- most wake-ups are for others.
CREATE FUNCTION deliver_1(_outcomes json, _now bigint, _lease bigint, _channels text[], _most bigint) RETURNS TABLE (
    id bigint, session_id text, project_id bigint, channel text, lang text, sealed bytea, code_length bigint,
    own_code bytea, attempts bigint, created_at bigint, expires_at bigint, chat_id bigint, given_up bigint,
    provider bigint, browser text, place text, tap boolean, next_due bigint
) LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _told text[];
BEGIN
    IF json_array_length(_outcomes) > 0 THEN
        PERFORM at_ease();
        _told := write_down_1(_outcomes, _now);
    END IF;
    next_due := soonest(_channels);
    IF next_due <= _now AND _most > 0 THEN
        RETURN QUERY SELECT claimed.*, NULL::bigint FROM claim_1(_now, _lease, _channels, _most) AS claimed;
        next_due := soonest(_channels);
    END IF;
    PERFORM announce(_told, _now);  -- the lock of events is held from here to the commit
    RETURN NEXT;
END $$;

CREATE FUNCTION events_1(_number bigint, _missing bigint[], _most bigint) RETURNS TABLE (
    number bigint, session_id text
) LANGUAGE plpgsql STABLE SET enable_seqscan = off SET jit = off AS $$
BEGIN
    RETURN QUERY
        SELECT e.number, e.session_id FROM event AS e WHERE e.number = ANY (_missing)
        UNION ALL
        (SELECT e.number, e.session_id FROM event AS e WHERE e.number > _number ORDER BY e.number LIMIT _most)
        ORDER BY 1 LIMIT _most;
END $$;
