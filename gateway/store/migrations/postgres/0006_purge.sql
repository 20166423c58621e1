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
