-- Forget up to `_most` rows of each table from before then; how many went. `_oldest` is the first ULID of that moment.
-- What somebody else holds just now is left to the next call.
CREATE FUNCTION purge_1(_oldest text, _before bigint, _most bigint) RETURNS bigint LANGUAGE plpgsql AS $$
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
        (SELECT session_id FROM spent WHERE session_id < _oldest ORDER BY session_id LIMIT _most
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
    DELETE FROM stop WHERE until < _before AND calm_until < _before;
    GET DIAGNOSTICS _rows = ROW_COUNT;
    _gone := _gone + _rows;
    DELETE FROM event WHERE number IN
        (SELECT number FROM (SELECT number, at FROM event ORDER BY number LIMIT _most) AS oldest WHERE at < _before)
        AND number < (SELECT max(number) FROM event);
    GET DIAGNOSTICS _rows = ROW_COUNT;
    RETURN _gone + _rows;
END $$;

-- After a clock was put back: nothing waits for more than `_longest` milliseconds, and what belongs to sessions from
-- then, whose ULIDs are above `_void`, has failed. How many rows changed.
CREATE FUNCTION put_right_1(_now bigint, _longest bigint, _void text) RETURNS bigint LANGUAGE sql AS $$
    WITH failed AS (
        UPDATE message SET state = 'failed', error = 'the clock was put back', finished_at = _now
        WHERE state IN ('parked', 'queued', 'sending') AND session_id COLLATE "C" > _void
            AND session_id NOT IN (SELECT id FROM manual)
        RETURNING 1
    ), sooner AS (
        UPDATE message SET due_at = _now + _longest
        WHERE state IN ('queued', 'sending') AND due_at > _now + _longest
            AND (session_id COLLATE "C" <= _void OR session_id IN (SELECT id FROM manual))
        RETURNING 1
    ), called AS (
        UPDATE callback SET due_at = _now + _longest WHERE due_at > _now + _longest RETURNING 1
    ), free AS (
        UPDATE lease SET until = _now WHERE until > _now + _longest RETURNING 1
    ), taken AS (
        UPDATE taken_update SET until = _now WHERE until > _now + _longest RETURNING 1
    )
    SELECT (SELECT count(*) FROM failed) + (SELECT count(*) FROM sooner) + (SELECT count(*) FROM called)
        + (SELECT count(*) FROM free) + (SELECT count(*) FROM taken)
$$;
